"""
``-m domain_adapters``: one deployed model, a set of tensors for each new domain, and a router.

::

    parlai train_model -m domain_adapters --init-model deployed/model \\
        --adapters roaming=roaming/model -t OLD,UPDATE -mf assistant/model

Each of ``--adapters`` is a candidate that ``frozen_layer`` tuned from the same deployed model.
Only the router learns here: which conversations are for whom. What it leaves to the deployed model
is answered by the deployed model, bit for bit.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.build_data import modelzoo_path
from parlai.core.message import Message
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils.distributed import is_distributed, is_primary_worker

from parlai_cu import checkpoints
from parlai_cu.agents import model_files
from parlai_cu.agents.batches import TASK_OF_MESSAGE
from parlai_cu.agents.parts_beside import PartsBesideModel, is_of_training
from parlai_cu.errors import ModelFileError, UsageError, check_one_of
from parlai_cu.parlai_types import Act, Batch
from parlai_cu.retention.adapters import Adapters, Tensors, changed_tensors
from parlai_cu.token_classifier import TokenClassifier

# the deployed model's own domain
OLD = "old"
_NO_BASE = (
    "-m domain_adapters needs --init-model MODEL (the deployed ParlAI model) to be trained, and "
    "-mf MODEL to be used"
)


class DomainAdaptersAgent(PartsBesideModel):
    """
    A deployed model's own agent, which answers each domain with that domain's tensors.

    Instances are of a composed class: this one on top of the base agent's
    (:func:`parlai_cu.agents.base_agent.compose`). A reply says in ``adapter`` who gave it.

    :raises UsageError: when flags do not go together
    :raises ModelFileError: when an adapter is damaged, or was not tuned from the deployed model
    """

    no_base = _NO_BASE
    agent_name = "domain_adapters"
    rate = 0.02
    epochs = 1

    @classmethod
    def add_ours(cls, parser: ParlaiParser) -> None:
        """The flags of adapters."""
        group = parser.add_argument_group("Domain Adapters Arguments")
        group.add_argument(
            "--adapters",
            help="candidates tuned from the deployed model, NAME=MODEL_FILE,...: one for each of "
            "the last tasks of -t, in that order; the tasks before are the deployed model's",
        )
        group.add_argument(
            "--adapter",
            default="auto",
            help="who answers: 'auto' (the router decides by the conversation), 'old' (the "
            "deployed model) or the name of an adapter. A message's own field 'adapter' goes first",
        )

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        opt = self.begin(opt, shared)
        self._files: dict[str, str] = {}
        # of rankers with fixed candidates: their encodings, by domain
        self._encodings: dict[str, Any] = {}
        # the domain of each task of -t, in their order, and by the ids of their messages
        self._places: list[int] = []
        self._ids: dict[str, int] = {}
        if self.trains:
            self._check_before_work(opt)
        super().__init__(opt, shared)
        if shared is not None:
            self.domains, self.router = shared["domains"], shared["router"]
            self.adapters, self._encodings = shared["adapters"], shared["encodings"]
        elif not self.trains:
            self._set_up(self._saved_record())
        check_one_of("--adapter", self.own["adapter"], ("auto", *self.domains))

    def share(self) -> dict[str, Any]:
        """The base's, and one router and one set of adapters for all."""
        names = ("domains", "router", "adapters")
        own = {name: getattr(self, name) for name in names}
        return {**super().share(), **own, "encodings": self._encodings}

    # -- before the work ---------------------------------------------------------------------

    def _check_before_work(self, opt: Opt) -> None:
        if is_distributed():
            raise UsageError("-m domain_adapters: a router takes seconds; train it in one process")
        if not opt.get("adapters"):
            raise UsageError(
                "-m domain_adapters needs --adapters NAME=MODEL_FILE,... to be trained: candidates "
                "that -m frozen_layer tuned from the deployed model"
            )
        for word in opt["adapters"].split(","):
            name, _, path = word.rpartition("=")
            name = name or os.path.basename(os.path.dirname(path)) or path
            if name in (OLD, "auto", *self._files):
                raise UsageError(f"--adapters {word}: the name {name} is taken; say NAME={path}")
            self._files[name] = modelzoo_path(opt.get("datapath"), path)
            model_files.read_opt(self._files[name], "--adapters")
        tasks = opt["task"].split(",")
        if len(tasks) <= len(self._files):
            raise UsageError(
                f"-t {opt['task']}: expected the deployed model's own data first, then one task "
                f"for each of the {len(self._files)} adapters; a router that never saw old "
                "conversations takes them all for new ones. A candidate's sample of old data "
                "will do (-t messages:messages_path=CANDIDATE.replay.jsonl)"
            )

        if opt.get("eval_candidates") == "vocab":
            raise UsageError(
                "--eval-candidates vocab: encoded once, for the deployed model alone; use another"
            )

    def _read_sets(self) -> dict[str, Tensors]:
        own = {name: tensor.cpu() for name, tensor in self.bare_model().state_dict().items()}
        dictionary = f"{self.opt['init_model']}.dict"
        sets = {}
        for name, path in self._files.items():
            with checkpoints.translate_errors(path):
                found = checkpoints.load(path)["model"]
            other = f"{path}.dict"
            if os.path.isfile(other) and not model_files.same_dictionary(other, dictionary, True):
                raise ModelFileError(f"--adapters {path}: its dictionary is not {dictionary}")
            try:
                sets[name] = changed_tensors(own, found)
            except ValueError as error:
                raise ModelFileError(
                    f"--adapters {path} was not tuned from {self.opt['init_model']}: {error}"
                ) from error
            if not sets[name]:
                raise ModelFileError(f"--adapters {path} is the deployed model: nothing differs")
        return sets

    # -- building and loading ----------------------------------------------------------------

    def _saved_record(self) -> dict[str, Any]:
        if not self.saved:
            raise ModelFileError(
                f"{self.opt.get('model_file') or self.opt.get('init_model')} holds no adapters; "
                "make them by parlai train_model -m domain_adapters --adapters ..."
            )
        return self.saved

    def _set_up(self, record: dict[str, Any]) -> None:
        device = next(self.model.parameters()).device
        self.domains: list[str] = record["domains"]
        self.adapters = Adapters(self.bare_model(), record["sets"])
        self.router = TokenClassifier(len(self.dict), len(self.domains), self.NULL_IDX).to(device)
        if "router" in record:
            self.router.load_state_dict(record["router"])

    def init_optim(self, params: Any, *args: Any, **kwargs: Any) -> bool:
        """An optimizer for the router alone; every base comes here once its model is loaded."""
        self.bare_model().requires_grad_(False)
        record = self.saved
        if record and not self.is_resumed_from(self.loaded_from):
            raise UsageError(
                f"--init-model {self.loaded_from} has adapters already ("
                f"{', '.join(record['domains'][1:])}); name the deployed model they were tuned "
                "from, and all adapters, old and new"
            )
        if record and record["domains"][1:] != list(self._files):
            raise UsageError(
                f"-mf {self.opt['model_file']} was begun with the adapters "
                f"{', '.join(record['domains'][1:])}, this command names "
                f"{', '.join(self._files)}; repeat those, or choose another -mf"
            )
        self._set_up(record or {"domains": [OLD, *self._files], "sets": self._read_sets()})
        self.resume_point = record.get("resume_point")
        if is_primary_worker():
            for name, tensors in self.adapters.sets.items():
                count = sum(tensor.numel() for tensor in tensors.values())
                logging.info(f"adapter {name}: {count:,d} numbers in {len(tensors)} tensors")
        return super().init_optim(list(self.router.parameters()), *args, **kwargs)

    def name_tasks(self, ids: list[str]) -> None:
        """
        Learn by which ``id`` the messages of each task come (called by the training loop).

        :param ids: in the order of ``-t``
        """
        first = len(ids) - len(self.domains) + 1
        self._places = [max(i - first + 1, 0) for i in range(len(ids))]
        # two tasks may share an id, as two of one teacher do
        self._ids = dict(zip(ids, self._places))

    # -- training ----------------------------------------------------------------------------

    def train_step(self, batch: Batch) -> Any:
        """Teach the router of which task each example is; the deployed model is left alone."""
        if self.fast_forward or batch.text_vec is None:
            return None
        logits = self.router(batch.text_vec)
        wanted = torch.tensor([self._domain_of(o) for o in batch.observations])
        wanted = wanted.to(logits.device)
        losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        right = logits.argmax(dim=1).eq(wanted)
        self.record_local_metric("router_loss", AverageMetric.many(losses.tolist()))
        self.record_local_metric("router_acc", AverageMetric.many(right.int().tolist()))
        self.zero_grad()
        self.backward(losses.mean())
        self.update_params()
        return None

    def _domain_of(self, observation: Act) -> int:
        place = observation.get(TASK_OF_MESSAGE)
        if place is not None:
            return self._places[place]
        if observation.get("id") not in self._ids:
            raise UsageError(
                f"an example says it is from {observation.get('id')!r}, none of the tasks of -t "
                f"({', '.join(self._ids)}), so it is unknown which adapter it is for"
            )
        return self._ids[observation["id"]]

    # -- answering ---------------------------------------------------------------------------

    def batch_act(self, observations: list[Any]) -> list[Message]:
        """Each domain's turns as one batch of the base, with that domain's tensors in place."""
        if is_of_training(observations):
            return super().batch_act(observations)
        domains = self.route(observations)
        replies: list[Any] = [None] * len(observations)
        for domain in sorted(set(domains), key=self.domains.index):
            which = [i for i, other in enumerate(domains) if other == domain]
            with self._answering(domain):
                answers = super().batch_act([observations[i] for i in which])
            for i, reply in zip(which, answers):
                reply["adapter"] = domain
                replies[i] = reply
        return replies

    @torch.no_grad()
    def route(self, observations: list[Any]) -> list[str]:
        """
        Who is to answer each turn.

        :param observations: as ``observe`` returned them; their ``adapter`` goes first, then
            ``--adapter``, then the router, which reads the whole conversation
        """
        domains: list[str] = []
        for seen in observations:
            choice = seen.get("adapter") or self.own["adapter"]
            if choice not in ("auto", *self.domains):
                logging.warning(f"a message asks for adapter {choice!r}, which is not there")
                choice = "auto"
            if choice == "auto" and seen.get("text_vec") is None:
                choice = OLD
            domains.append(choice)
        open_ones = [i for i, choice in enumerate(domains) if choice == "auto"]
        if open_ones:
            vectors = [observations[i]["text_vec"] for i in open_ones]
            tokens, _ = self._pad_tensor(vectors)
            best = self.router(tokens.to(self.router.bias.device)).argmax(dim=1).tolist()
            for i, number in zip(open_ones, best):
                domains[i] = self.domains[number]
        return domains

    @contextlib.contextmanager
    def _answering(self, domain: str) -> Iterator[None]:
        caches = hasattr(self, "fixed_candidate_encs")
        if caches and self.fixed_candidate_encs is not None:
            self._encodings.setdefault(OLD, self.fixed_candidate_encs)
        if caches:
            # None lets the base encode them, now with this domain's tensors
            self.fixed_candidate_encs = self._encodings.get(domain)
        try:
            with self.adapters.using(domain):
                yield
        finally:
            if caches:
                self._encodings[domain] = self.fixed_candidate_encs
                self.fixed_candidate_encs = self._encodings.get(OLD)

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The deployed model's states, the adapters and the router."""
        states = super().state_dict()
        if "model" not in states:
            return states
        sets = self.adapters.sets
        states[self.agent_name] = {
            "format": 1,
            "domains": self.domains,
            "sets": {d: {n: t.cpu() for n, t in sets[d].items()} for d in sets},
            "router": {n: t.cpu() for n, t in self.router.state_dict().items()},
            "resume_point": self.resume_point,
        }
        return states
