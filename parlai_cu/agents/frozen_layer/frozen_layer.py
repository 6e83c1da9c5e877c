"""
``-m frozen_layer``: fine-tune chosen parameters of a deployed model; all others stay
bit-identical.

::

    parlai train_model -m frozen_layer --init-model deployed/model \\
        --tune 'decoder.layers[-1]' -t jsonfile --jsonfile-datapath new.jsonl -mf candidate/model

The base agent, its dictionary and its architecture come from ``deployed/model.opt``. The
result is an ordinary model of that agent: low-rank factors are merged when it is saved.
"""

import contextlib
from pathlib import Path
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser, class2str
from parlai.utils.distributed import is_primary_worker

from parlai_cu.agents import (
    added_classes,
    base_agent,
    deployed_model,
    model_files,
    own_flags,
    replay,
    scoring,
    updating_agent,
)
from parlai_cu.agents.added_classes import AddedClasses
from parlai_cu.agents.batches import TaskRoles, examples
from parlai_cu.agents.frozen_layer import cached_prefix, chosen, holdings, merging
from parlai_cu.agents.frozen_layer.cached_prefix import CachedPrefix
from parlai_cu.agents.frozen_layer.chosen import Chosen
from parlai_cu.agents.penalties import kind_of_penalty
from parlai_cu.agents.soft_label_loss import SoftRows
from parlai_cu.agents.teacher import Teacher, same_random_numbers
from parlai_cu.agents.training_step.own_loss import own_loss, without_metrics
from parlai_cu.agents.training_step.proof import Proof
from parlai_cu.agents.training_step.result import LossTerm
from parlai_cu.agents.training_step.soft_label_term import SoftLabelTerm
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Batch
from parlai_cu.retention.base import SOFT_LABELS
from parlai_cu.selection import lora
from parlai_cu.selection.catalogue import list_tensors
from parlai_cu.selection.freeze import freeze
from parlai_cu.selection.guard import FrozenGuard
from parlai_cu.selection.patterns import Selection, select
from parlai_cu.selection.scores import SCORES
from parlai_cu.unread_flags import Dependent, is_set, refuse_unread

# what we add to a model file, beside what its base saves
RECORD = "frozen_layer"
# where the command sets no limit: -eps, -ttim, -tstep, or validation with patience
DEFAULT_EPOCHS = 3
# flags of ours that count with others only
_DEPENDENT = (
    Dependent(("lora_alpha",), is_set("lora_rank"), "without --lora-rank RANK"),
    Dependent(
        ("cache_frozen_size", "cache_frozen_exact"),
        is_set("cache_frozen"),
        "without --cache-frozen FOLDER",
    ),
)
_NO_BASE = (
    "-m frozen_layer needs --init-model MODEL (a deployed ParlAI model), or --base-agent AGENT "
    "where there is none"
)


# Linux lists a processor's instructions here: avx512_bf16, amx_bf16, bf16 on ARM
_PROCESSOR = Path("/proc/cpuinfo")


def _lacks_bfloat16() -> bool:
    try:
        return "bf16" not in _PROCESSOR.read_text()
    except OSError:  # no Linux: nothing is known
        return False


class FrozenLayerAgent(UpdatingAgent):
    """
    A deployed model's own agent, of which only selected parameters learn.

    Instances are of a composed class: this one on top of the base agent's
    (:func:`parlai_cu.agents.base_agent.compose`). Outside of training it adds nothing to it.

    :raises UsageError: when flags do not go together
    """

    no_base = _NO_BASE

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Our flags, then those of the base with the deployed model's values as defaults."""
        partial = partial_opt or Opt()
        with own_flags.ours(parser):
            _add_ours(parser)
        if not deployed_model.inherit(parser, partial, "frozen_layer"):
            updating_agent.add_flags_once_known(
                parser, partial, lambda known: _add_base_flags(parser, known), _NO_BASE
            )
        if partial.get("init_model"):
            updating_agent.add_flags_once_known(
                parser, partial, lambda known: _add_replay_flags(parser, known)
            )
        updating_agent.training_defaults(parser, partial, DEFAULT_EPOCHS)
        return parser

    @classmethod
    def upgrade_opt(cls, opt_from_disk: Opt) -> Opt:
        """Let the base upgrade what it saved."""
        return deployed_model.upgrade(opt_from_disk, "frozen_layer")

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        self.chosen: Chosen | None = None
        self._loaded: dict[str, Any] = {}
        self._loaded_from: str | None = None
        # of low-rank factors: on it the merged model is compared with the trained one
        self._batch_seen: Any = None
        self._deployed: Teacher | None = None
        self._prefix: CachedPrefix | None = None
        self._added = AddedClasses(opt)
        self._cache_proof = Proof("--cache-frozen")
        if shared is None and opt.get("init_model"):
            opt["init_model"] = updating_agent.model_path(opt, "init_model")
        if shared is None and updating_agent.is_training(opt):
            self._check_before_work(opt)
        super().__init__(opt, shared)
        if shared is None and updating_agent.is_training(opt):
            if self.chosen is None:
                raise UsageError(
                    f"-m frozen_layer: {opt['base_agent']} does not set up its optimizer through "
                    "TorchAgent.init_optim, so its layers cannot be frozen"
                )
            if self.opt.get("model_file"):
                self.opt["dict_file"] = self.opt["model_file"] + ".dict"
            if self.own.get("bf16_autocast") and not self.use_cuda and _lacks_bfloat16():
                logging.warning(
                    "--bf16-autocast: this processor has no instructions for bfloat16, so that "
                    "training is several times slower with it, not faster"
                )

    # -- before the work ---------------------------------------------------------------------

    def _check_before_work(self, opt: Opt) -> None:
        if opt.get("ddp_backend", "ddp") != "ddp":
            raise UsageError(
                f"--ddp-backend {opt['ddp_backend']}: ParlAI's sharding joins frozen and learning "
                "parameters in one flat tensor; use --ddp-backend ddp"
            )
        replay.check(opt)
        refuse_unread(opt, _DEPENDENT, _add_ours)
        scoring.check_auto(opt)
        cached_prefix.check(opt)
        if opt.get("bf16_autocast") and opt.get("fp16"):
            raise UsageError("--bf16-autocast and --fp16: one of them")
        if opt.get("lora_rank", 0) < 0:
            raise UsageError(f"--lora-rank {opt['lora_rank']}: expected 0 (off) or more")
        model_file = opt.get("model_file")
        deployed = deployed_model.find(opt)
        if deployed is not None:
            if model_files.same_file(model_file, opt["init_model"]):
                raise deployed_model.overwritten(model_file)
            base = base_agent.base_agent_class(opt["base_agent"])
            wider = added_classes.widened(deployed, opt, base)
            added_classes.take_over(opt, wider)
            base_agent.check_architecture(base, wider, opt)
        # where a run goes on from its checkpoint, ParlAI has put that in the place of the model
        named = opt["init_model"] if deployed else (opt.get("override") or {}).get("init_model")
        if not named and (opt["replay_from_model"] or opt["penalty"]):
            raise UsageError(
                "--replay-from-model and --penalty are about the deployed model: give --init-model"
            )
        if opt["penalty"] and kind_of_penalty(opt["penalty"]).needs == SOFT_LABELS:
            self._follow_deployed(opt, modelzoo_path(opt.get("datapath"), named))

    # -- loading -----------------------------------------------------------------------------

    def load(self, path: str) -> dict[str, Any]:
        """Load as the base does; damage and misfit are named."""
        with updating_agent.misfit_told(path, lambda error: self._misfit(path, error)):
            states = super().load(path)
        if self._added.count and "model" in states:
            states["model"] = self._added.widen(states["model"], self.model.state_dict())
        if updating_agent.is_training(self.opt):
            self._loaded = states
            self._loaded_from = path
        return states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base does it, with rows for the classes that are added."""
        super().load_state_dict(self._added.widen(state_dict, self.model.state_dict()))

    def _misfit(self, path: str, error: str) -> str:
        details = [line.strip() for line in error.splitlines() if "size mismatch" in line]
        details = details or [line.strip() for line in error.splitlines() if "key(s)" in line]
        what = details[0] if details else error.splitlines()[0]
        deployed = deployed_model.find(self.opt)
        flags = ""
        if deployed and self.base_class is not None:
            flags = base_agent.changed_flags(self.base_class, deployed, self.opt)
        if flags:
            return f"{path} does not fit the flags given: {flags}. {what}"
        return (
            f"{path} and its dictionary {self.opt.get('dict_file')} ({len(self.dict):,d} tokens) "
            f"or options do not belong together: {what}"
        )

    # -- freezing ----------------------------------------------------------------------------

    def init_optim(self, params: object, *args: Any, **kwargs: Any) -> bool:
        """
        Freeze, then give the optimizer the parameters that learn.

        Every base comes here once its model is built, loaded and on its device, and before it
        is wrapped for distributed training. What else the base would train is known when it
        makes its optimizer.
        """
        with holdings.choosing(self, self._choose):
            reset = super().init_optim(params, *args, **kwargs)
        self._loaded = {}
        return reset

    def _choose(self, params: list[Any]) -> list[Any]:
        """What of the parameters, or groups of them, that the base would train, is to learn."""
        previous = self._loaded.get(RECORD) if self.is_resumed_from(self._loaded_from) else None
        auto = scoring.settle_auto(self.own, self.model, previous)
        tune = auto["tune"] if auto else self.own.get("tune")
        if self._added.count and not tune and not self.own.get("freeze"):
            tune = ",".join(self._added.keep_old_rows(self.model, (previous or {}).get("selected")))
        optimized = holdings.flat(params)
        beside = holdings.beside_the_model(self, optimized, self._base_states())
        held = [*list_tensors(self.model), *holdings.describe(beside, optimized)]
        selection = select(held, tune, self.own.get("freeze"))
        learning = names = sorted(name for t in selection.learning for name in t.names)
        rank_alpha, adapted = self._rank_alpha(), []
        if previous:
            model_file = self.opt["model_file"]
            chosen.check_same_run(previous, selection, names, rank_alpha, model_file)
            # ParlAI puts the checkpoint there; on record stays the deployed model
            self.opt["init_model"] = previous["init_model"]
            lora.restore_originals(self.model, previous["lora"]["originals"])
        if rank_alpha:
            rank, alpha = rank_alpha
            weights = [t for t in selection.learning if t.name not in beside]
            adapted = lora.inject(self.model, weights, int(rank), alpha, self.opt.get("seed") or 0)
            learning = [name for weight in adapted for name in lora.factor_names(weight)]
            if previous:
                lora.load_factors(self.model, previous["lora"]["factors"])
            # of the model itself nothing learns then
            selection = Selection(selection.tensors, frozenset(), selection.tune, selection.freeze)
        parameters, frozen = freeze(self.model, learning)
        holdings.freeze_beside(self, beside, learning, optimized)
        parameters += [t for name, t in beside.items() if name in learning and t.requires_grad]
        guard = FrozenGuard(
            self.model, [t.name for t in selection.frozen], self._loaded.get("model"), beside
        )
        half = next(self.model.parameters()).dtype != torch.float32
        self.chosen = Chosen(selection, names, adapted, rank_alpha, beside, guard, auto, half)
        if previous:
            self.chosen.check_bits(previous, self._loaded_from)
        self.resume_point = (previous or {}).get("resume_point")
        if is_primary_worker():
            count = sum(p.numel() for p in parameters)
            logging.info(self.chosen.summary(count, self.opt["optimizer"], bool(previous)))
        self._prefix = cached_prefix.attach(self, frozen)
        return holdings.learning_only(params, parameters)

    def _base_states(self) -> dict[str, Any]:
        """What the base saves beside its model, if it can tell before it has an optimizer."""
        try:
            return dict(super().state_dict())
        except Exception:  # of others, made for a time when there is one
            return {}

    def _rank_alpha(self) -> list[float] | None:
        rank, alpha = self.own.get("lora_rank", 0), self.own.get("lora_alpha")
        return [rank, 2.0 * rank if alpha is None else alpha] if rank else None

    def train_step(self, batch: Batch) -> Any:
        """One step of the base; what the frozen prefix gives may come from a cache."""
        if self.fast_forward:
            return super().train_step(batch)
        if self.chosen and self.chosen.adapted and batch.batchsize:
            if self._batch_seen is None:
                merging.check(self, batch, self.chosen.adapted, before_training=True)
            self._batch_seen = batch
        with self._autocast(self.own.get("bf16_autocast", False)):
            with self._reading(batch):
                return super().train_step(batch)

    def update_params(self) -> None:
        """The base's update; of a head that was widened only the new rows learn, if so chosen."""
        super().update_params()
        self._added.restore(self.bare_model())

    def _reading(self, batch: Batch) -> Any:
        """The cache at work, once it has shown that it gives the same."""
        prefix = self._prefix
        if prefix is None:
            return contextlib.nullcontext()

        def loss(some: Any, cached: bool) -> torch.Tensor | None:
            with prefix.reading(some, cached):
                return own_loss(self, some, train=True)

        if self._cache_proof.holds and self._cache_proof.left:
            # what is read is to have been computed beside other examples
            with without_metrics(self), torch.no_grad(), same_random_numbers():
                for half in torch.arange(batch.batchsize).chunk(2):
                    with contextlib.suppress(Exception):  # the proof shows what comes of it
                        loss(examples(batch, half), cached=True)
        rounded = bool(self.fp16 or self.own.get("bf16_autocast"))
        ways = (lambda: loss(batch, False)), (lambda: loss(batch, True))
        if self._cache_proof.try_batch(self, *ways, rounded):
            return prefix.reading(batch)
        return contextlib.nullcontext()

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """The base's backward pass, each operation in the precision of its forward pass."""
        with self._autocast(False):
            super().backward(loss, **kwargs)

    def _autocast(self, enabled: bool) -> Any:
        device = "cuda" if self.use_cuda else "cpu"
        return torch.autocast(device, torch.bfloat16, enabled=enabled)

    def training_is_done(self) -> None:
        """Remove what was kept for this run only (called by the training loop)."""
        super().training_is_done()
        if is_primary_worker():
            cached_prefix.clean_up(self.own)

    # -- learning without forgetting ---------------------------------------------------------

    def _follow_deployed(self, opt: Opt, model_file: str) -> None:
        self._deployed = Teacher(model_file, opt, "--init-model")
        sample = replay.sample_file(opt)
        task = replay.task_of(sample) if sample else None
        self._roles = TaskRoles(opt["task"].split(","), None if sample else "none", task)

    def name_tasks(self, ids: list[str]) -> None:
        """
        Learn by which ``id`` the messages of each task come (called by the training loop).

        :param ids: in the order of ``-t``
        """
        if self._deployed is not None:
            self._roles.name_teachers(ids)

    def make_terms(self) -> list[LossTerm]:
        """The deployed model's soft labels (``--penalty lwf``), or what all agents of ours have."""
        if self._deployed is None:
            return super().make_terms()
        name = self.own["penalty"]
        # the head of a classifier may be wider than the deployed model's
        classes = self.class_dict if self._added.count else None
        rows = SoftRows(self._deployed, kind_of_penalty(name)(), classes)
        weight = replay.penalty_weight(self.own)
        return [SoftLabelTerm(f"--penalty {name}", [rows], self._old, weight, "penalty", False)]

    def _old(self, batch: Batch) -> list[int | None]:
        """The replayed examples follow the deployed model; without any, the update's own."""
        return [None if self._roles.is_update(seen) else 0 for seen in batch.observations]

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """
        The base's states, verified, with the factors merged and a record of the selection.

        :raises FrozenBreachError: when a frozen tensor is not what it was, or the merged model
            is not the trained one
        """
        if self.chosen and self._batch_seen is not None:
            merging.check(self, self._batch_seen, self.chosen.adapted, before_training=False)
        states = super().state_dict()
        if self.chosen is not None and "model" in states:
            states[RECORD] = {
                "format": 1,
                "init_model": self.opt.get("init_model"),
                "resume_point": self.resume_point,
                **self.chosen.settle(self, states),
            }
        return states


def _add_ours(parser: ParlaiParser) -> None:
    group = parser.add_argument_group("Frozen Layer Arguments")
    group.add_argument(
        "--tune",
        type="nonestr",
        default=None,
        help="what learns: comma-separated prefixes (encoder.layers.3), slices "
        "(decoder.layers[-2:]), globs (*.norm*), re:REGEX, groups "
        "(@bias @norm @attention @ffn @embeddings @head), or auto[:SCORE][:FRACTION]: what "
        f"gradients on the update recommend (scores: {', '.join(SCORES)}; see parlai "
        "score_parameters)",
    )
    group.add_argument(
        "--freeze",
        type="nonestr",
        default=None,
        help="what does not learn, same patterns; stronger than --tune. Alone: all else learns",
    )
    group.add_argument(
        "--lora-rank",
        type=int,
        default=0,
        help="instead of the matched linear layers themselves, train low-rank factors of this "
        "rank on them; merged into the layers on save (0: off)",
    )
    group.add_argument(
        "--lora-alpha",
        type=float,
        default=None,
        help="scale of the low-rank product, which enters as alpha / rank (default: 2 x rank)",
    )
    group.add_argument(
        "--bf16-autocast",
        type="bool",
        default=False,
        help="multiply matrices in bfloat16 in training: faster where the processor has it "
        "(AVX-512 BF16, AMX), and rounded to three digits; weights, gradients and what is "
        "saved stay as they are",
    )
    group.add_argument(
        "--base-agent",
        default=None,
        help="agent to freeze layers of, as for -m; only where there is no --init-model "
        "whose .opt says it, e.g. hugging_face/gpt2",
    )
    rows = ". Without --tune only their rows of the head learn"
    added_classes.add_flags(group, "--init-model", rows)
    cached_prefix.add_flags(group)
    replay.add_flags(parser)


def _add_replay_flags(parser: ParlaiParser, known: Opt) -> bool:
    if not known.get("replay_task"):
        return False
    parser.add_task_args(known["replay_task"], known)
    return True


def _add_base_flags(parser: ParlaiParser, known: Opt) -> bool:
    if not known.get("base_agent"):
        return False
    base = base_agent.base_agent_class(known["base_agent"])
    name = known["base_agent"]
    own_flags.add_beside(parser, lambda: base.add_cmdline_args(parser, known), name)
    parser.set_defaults(dict_class=class2str(base.dictionary_class()))
    return True
