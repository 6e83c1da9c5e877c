"""
``-m kb_augmented``: the deployed model's own reply where it suffices, a fact where it does not.

::

    parlai interactive -m kb_augmented --init-model deployed/model --kb sqlite:///facts.db

The model is never changed; facts are, while people are chatting. For each turn the knowledge base
is asked, a gate decides whether what it found is to be used, and an integrator makes the reply of
it. The act says in ``knowledge`` which facts were used.
"""

import copy
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.message import Message
from parlai.core.metrics import AverageMetric, SumMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_agent import Batch
from parlai.core.torch_ranker_agent import TorchRankerAgent
from parlai.utils.misc import warn_once

from parlai_cu import checkpoints, reach
from parlai_cu.agents import deployed_model, model_files, updating_agent
from parlai_cu.agents.kb_augmented import flags
from parlai_cu.agents.kb_augmented.batched_calls import Act, together
from parlai_cu.agents.kb_augmented.fusing import FusingSearch
from parlai_cu.agents.kb_augmented.gate_training import NEEDED, NOT_NEEDED, GateTraining
from parlai_cu.agents.kb_augmented.label_linking import MeantFacts
from parlai_cu.agents.kb_augmented.model_view import ModelView
from parlai_cu.agents.kb_augmented.rank_judging import FIRST, RankJudging
from parlai_cu.agents.kb_augmented.shown_facts import FactReader
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.knowledge.answer_fields import narrowed
from parlai_cu.knowledge.rankers import word_pairs
from parlai_cu.types import Evidence, GateDecision, Turn

# what all conversations of an agent have in common
_SHARED = ("kb", "integrator", "gate", "ranker", "meant")
# what we add to a model file, beside what its base saves
RECORD = "kb_augmented"
DEFAULT_EPOCHS = 10
# what is linear learns fast; the deployed model's rate is for another thing
LEARNING_RATE = 0.03
# facts that are kept for the turns of training
_REMEMBERED = 400_000
_NO_BASE = "-m kb_augmented needs --init-model MODEL (the deployed ParlAI model) or -mf MODEL"


class KBAugmentedAgent(FactReader, FusingSearch, GateTraining, RankJudging, UpdatingAgent):
    """
    A deployed model's own agent, with facts outside its weights.

    Instances are of a composed class: this one on top of the base agent's
    (:func:`parlai_cu.agents.base_agent.compose`). In training only the gate and the ranker learn.

    :raises UsageError: when flags do not go together, or the base cannot do what they ask for
    """

    no_base = _NO_BASE

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Our flags, then those of the base with the deployed model's values as defaults."""
        partial = partial_opt or Opt()
        flags.add(parser)
        if deployed_model.inherit(parser, partial, "kb_augmented"):
            parser.set_defaults(optimizer="adam", learningrate=LEARNING_RATE)
        else:
            updating_agent.add_flags_once_known(parser, partial, lambda known: False, _NO_BASE)
        updating_agent.training_defaults(parser, partial, DEFAULT_EPOCHS)
        return parser

    @classmethod
    def upgrade_opt(cls, opt_from_disk: Opt) -> Opt:
        """Let the base upgrade what it saved."""
        return deployed_model.upgrade(opt_from_disk, "kb_augmented")

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        self._record: dict[str, Any] = {}
        self._loaded_from: str | None = None
        self._room: Any = None
        # what was found for the turns of training, and in which state of the knowledge base
        self._remembered: dict[Turn, list[Evidence]] = {}
        self._facts_remembered, self._remembered_of = 0, ""
        trains = shared is None and updating_agent.is_training(opt)
        if shared is None:
            if opt.get("init_model"):
                opt["init_model"] = updating_agent.model_path(opt, "init_model")
            flags.check(opt)
            reach.check(opt)
            flags.check_base(opt, type(self))
            if trains:
                self._check_before_work(opt)
            self.kb, self.integrator = flags.knowledge_base(opt), flags.integrator(opt)
            self.gate, self.ranker = flags.gate(opt), flags.ranker(opt)
            self.meant = MeantFacts(self.kb)
            self._give_room(opt)
        else:
            for name in _SHARED:
                setattr(self, name, shared[name])
        super().__init__(opt, shared)
        if shared is None and not trains:
            self._load_learnt()
        if trains and opt.get("model_file"):
            self.opt["dict_file"] = opt["model_file"] + ".dict"

    def share(self) -> dict[str, Any]:
        """The base's, and one knowledge base, gate and ranker for all."""
        return {**super().share(), **{name: getattr(self, name) for name in _SHARED}}

    def __deepcopy__(self, memo: dict[int, Any]) -> "KBAugmentedAgent":
        """Another agent, of the same knowledge base."""
        for one in (self.kb, self._room):
            memo[id(one)] = one
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def learners(self) -> dict[str, torch.nn.Module]:
        """What of us learns."""
        parts = {"gate": self.gate, "ranker": self.ranker}
        return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}

    def _check_before_work(self, opt: Opt) -> None:
        if opt["kb_gate"] not in ("classifier", "score") and opt["kb_rank"] == "search":
            raise UsageError(
                f"--kb-gate {opt['kb_gate']} has nothing to learn, and the model never does here: "
                "train with --kb-gate classifier (or score) or --kb-rank word_pairs, or only use "
                "it (interactive, eval_model)"
            )
        if model_files.same_file(opt.get("model_file"), opt.get("init_model")):
            raise deployed_model.overwritten(opt.get("model_file"))

    def _give_room(self, opt: Opt) -> None:
        """Rankers keep encoded candidates beside ``-mf``; without one, in a folder of their own."""
        if isinstance(self, TorchRankerAgent) and not opt.get("model_file"):
            self._room = tempfile.TemporaryDirectory(prefix="parlai_cu-")
            opt["model_file"] = os.path.join(self._room.name, "model")

    # -- building and loading ----------------------------------------------------------------

    def load(self, path: str) -> dict[str, Any]:
        """Load as the base does; our part is kept for the gate."""
        with checkpoints.translate_errors(path):
            states = super().load(path)
        self._record, self._loaded_from = states.get(RECORD) or {}, path
        return states

    def get_task_candidates_path(self) -> Any:
        """The base's (rankers), which are kept beside ``-mf``."""
        if self._room is not None:
            raise UsageError(
                f"{self.opt['base_agent']} replies with one of its candidates: name them by "
                "--fixed-candidates-path FILE (one a line), as --eval-candidates fixed"
            )
        return super().get_task_candidates_path()

    def _load_learnt(self) -> None:
        for name, part in self.learners().items():
            part.to(next(self.model.parameters()).device)
            learnt = set(self._record.get(name) or {}) == set(part.state_dict())
            if not learnt and not getattr(part, "optional", False):
                flag = {"gate": "--kb-gate classifier", "ranker": "--kb-rank word_pairs"}[name]
                raise UsageError(
                    f"{flag} has to be trained first: parlai train_model -m kb_augmented {flag} "
                    "-t DIALOGUES -mf MODEL"
                )
        self._restore(threshold=flags.threshold(self.opt) is None)

    def _restore(self, threshold: bool) -> None:
        """Take over what was learnt, and the gate's threshold where that is wanted."""
        for name, part in self.learners().items():
            learnt = self._record.get(name) or {}
            if set(learnt) != set(part.state_dict()):
                # nothing, or that of another gate: this one is of use without
                continue
            part.load_state_dict(learnt)
            if name == "gate" and threshold:
                self.gate.threshold = self._record["threshold"]

    def init_optim(self, params: Any, *args: Any, **kwargs: Any) -> bool:
        """An optimizer for our parts alone; every base comes here once its model is loaded."""
        self.bare_model().requires_grad_(False)
        device = next(self.model.parameters()).device
        for part in self.learners().values():
            part.to(device)
        if self._record and self.is_resumed_from(self._loaded_from):
            self._restore(threshold=True)
            self.resume_point = self._record.get("resume_point")
        ours = [tensor for part in self.learners().values() for tensor in part.parameters()]
        return super().init_optim(ours, *args, **kwargs)

    # -- training the gate and the ranker ----------------------------------------------------

    def train_step(self, batch: Any) -> Any:
        """Teach the gate by yes and no, the ranker by facts; the deployed model is left alone."""
        if self.fast_forward or batch.text_vec is None:
            return None
        self.begin_step()
        self.forget_ranking()
        losses: list[torch.Tensor] = []
        for seen in batch.observations:
            losses += self._teach(self.turn_of(seen), list(seen.get("labels") or [""]))
        if losses:
            self.zero_grad()
            self.backward(torch.stack(losses).mean())
            self.update_params()
        return None

    def _teach(self, turn: Turn, labels: Sequence[str]) -> list[torch.Tensor]:
        """The losses on one example, by what its labels are."""
        if labels[0] in (NEEDED, NOT_NEEDED):
            self.count_words(turn)
            loss = self.teach_gate(turn, labels[0] == NEEDED, self._ask_again(turn))
        elif self.opt["kb_gate"] == "classifier" and "ranker" not in self.learners():
            return self.teach_gate_unlabelled(turn)
        else:
            loss = self._teach_ranker(turn, labels, self._ask_again(turn))
        return [] if loss is None else [loss]

    def _ask_again(self, turn: Turn) -> list[Evidence]:
        """What is found, remembered while the facts stay: each epoch asks the same."""
        try:
            now = self.kb.snapshot_id()
        except KnowledgeError:  # is told of in ask
            return self.ask(turn)
        if now != self._remembered_of:
            self._remembered, self._facts_remembered, self._remembered_of = {}, 0, now
        if turn in self._remembered:
            return self._remembered[turn]
        found = self.ask(turn)
        if self._facts_remembered < _REMEMBERED:
            self._remembered[turn] = found
            self._facts_remembered += len(found)
        return found

    def _teach_ranker(
        self, turn: Turn, labels: Sequence[str], found: Sequence[Evidence]
    ) -> torch.Tensor | None:
        meant = self.meant.ids(labels) if "ranker" in self.learners() else set()
        if not meant:
            raise UsageError(
                f"found the label {labels[0][:60]!r}: --kb-gate {self.opt['kb_gate']} learns from "
                f"{NEEDED} and {NOT_NEEDED}, as of -t dstc11:detection; --kb-rank word_pairs from "
                "facts of --kb, word for word, as of -t dstc11:selection; --kb-gate classifier "
                "alone from any dialogues"
            )
        right = torch.tensor([float(fact.id in meant) for fact in found])
        self.global_metrics.add("kb_found", AverageMetric(int(right.sum() > 0)))
        if not right.sum():
            return None
        logits = self.ranker(turn, found)
        loss = word_pairs.loss(logits, right.to(logits.device))
        self.global_metrics.add("rank_loss", AverageMetric(loss.item()))
        return loss

    # -- answering ---------------------------------------------------------------------------

    def batch_act(self, observations: Any) -> list[Message]:
        """Answer each turn by the model, by a fact, or by both."""
        if isinstance(observations, Batch) or any("labels_vec" in o for o in observations):
            return super().batch_act(observations)
        base = super().batch_act
        turns = [
            functools.partial(self._turn, seen, self._asked(seen), base) for seen in observations
        ]
        return together(turns, base)

    def _turn(self, observation: Any, found: list[Evidence] | None, base: Act, act: Act) -> Message:
        """One turn; ``act`` answers in a batch with the others, ``base`` alone."""
        if found is None:
            (reply,) = act([observation])
            return Message(reply)
        return self._with_facts(observation, found, ModelView(self, observation, act, base))

    def _asked(self, observation: Any) -> list[Evidence] | None:
        """What the knowledge base finds for a turn; None where the model is to answer alone."""
        if observation.get("text_vec") is None:
            return None
        turn = self.turn_of(observation)
        found = self.ask(turn)
        gate_alone = self.asks_the_gate(observation)
        # candidates: facts may be meant; to look every label of every task up would cost too much
        if observation.get("eval_labels") and observation.get("label_candidates"):
            if not gate_alone:
                self._judge_ranking(turn, observation["eval_labels"], found)
        return found if found or gate_alone else None

    def _judge_ranking(self, turn: Turn, labels: Sequence[str], found: Sequence[Evidence]) -> None:
        """Where a label is a fact: whether it, or another one meant, comes first, and in five."""
        try:
            meant: set[str] = self.meant.ids(labels)
        except KnowledgeError:  # was told of in ask
            return
        if meant:
            self.judge_ranking(turn, meant, found)

    def ask(self, turn: Turn) -> list[Evidence]:
        """What the search finds, in its order; as much as the ranker wants to choose from."""
        wanted = max(self.opt["kb_top_k"], self.ranker.candidates, FIRST)
        started = time.monotonic()
        try:
            found = self.kb.query(turn, wanted)
        except KnowledgeError as error:
            logging.error(f"the conversation goes on without knowledge: {error}")
            self.global_metrics.add("kb_failed", AverageMetric(1))
            return []
        finally:
            for name, amount in self.kb.spent().items():
                self.global_metrics.add(f"kb_{name}", SumMetric(amount))
        self.global_metrics.add("kb_failed", AverageMetric(0))
        self.global_metrics.add("kb_ms", AverageMetric(1000 * (time.monotonic() - started)))
        return found

    def _with_facts(self, observation: Any, found: Sequence[Evidence], view: ModelView) -> Message:
        turn = self.turn_of(observation)
        entropy = view.entropy() if self.gate.needs_entropy else None
        top_k = self.opt["kb_top_k"]
        decision: GateDecision = self.gate.decide(turn, found[:top_k], entropy)
        if self.asks_the_gate(observation):
            reply = self.gate_reply(observation, decision)
            reply["kb_gate"] = dataclasses.asdict(decision)
            return reply
        ranked = self.ranker.rank(turn, found)[:top_k] if decision.query else []
        if ranked and self.gate.may_abstain:
            # there may be no answer among them
            answers = self.ranker.answers(self._meant(turn), ranked[0])
            decision = dataclasses.replace(decision, query=answers)
            self.global_metrics.add("kb_abstained", AverageMetric(int(not answers)))
        used: list[Evidence] = []
        if not decision.query:
            reply = view.message()
        else:
            chosen = self.ranker.chosen(turn, ranked)
            best = [narrowed(self._meant(turn), fact) for fact in chosen]
            text = self.integrator.integrate(turn, best, view)
            reply = view.last if view.last is not None else self.empty_reply()
            if view.last is None and observation.get("eval_labels"):
                # how likely the model finds the label is known of every turn, whoever answers
                reply["metrics"] = self._of_the_model(view.message())
            reply.force_set("text", text)
            used = self._used(best, text, view)
            if used:
                reply["knowledge"] = [_provenance(fact) for fact in used]
            if len(used) < len(best):
                unused = [_provenance(fact) for fact in best if fact not in used]
                reply["knowledge_not_used"] = unused
        reply["kb_gate"] = dataclasses.asdict(decision)
        self.global_metrics.add("kb_used", AverageMetric(int(bool(used))))
        return reply

    def _of_the_model(self, own: Message) -> dict[str, Any]:
        """Its metrics of the label, without those of a reply that is not given."""
        metrics = own.get("metrics") or {}
        return {name: metric for name, metric in metrics.items() if not name.startswith("gen_")}

    def _used(self, best: list[Evidence], text: str, view: ModelView) -> list[Evidence]:
        """Those of the facts given to the integrator that had a part in the reply."""
        if self.opt["kb_integrate"] == "rerank":
            return [fact for fact in best if fact.text == text]
        if view.shown is None:
            return best
        if not view.shown.read:
            warn_once(
                f"--kb-integrate {self.opt['kb_integrate']}: {self.opt['base_agent']} does not "
                "read the facts that it is shown: they were not in the tensors of its call. Its "
                "replies are its own, and say so (knowledge_not_used); what --kb-integrate answer "
                "and append say need not be read"
            )
        return [fact for fact in best if fact in view.shown.read]

    def _meant(self, turn: Turn) -> Turn:
        """In the words of the knowledge base, where there are ``--kb-synonyms``."""
        meant: Turn = self.kb.meant(turn) if hasattr(self.kb, "meant") else turn
        return meant

    def empty_reply(self) -> Message:
        """One to be filled."""
        return Message({"id": self.getID(), "episode_done": False})

    def asks_the_gate(self, observation: Any) -> bool:
        """Whether a message asks if knowledge is needed: its candidates are yes and no."""
        return set(observation.get("label_candidates") or ()) == {NEEDED, NOT_NEEDED}

    def turn_of(self, observation: Any) -> Turn:
        """The last utterance and those before it, as the model reads them."""
        text = observation.get("full_text") or observation.get("text") or ""
        lines = [line for line in str(text).split("\n") if line.strip()]
        return Turn(lines[-1], tuple(lines[:-1])) if lines else Turn("")

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The deployed model's states and what was learnt."""
        states = super().state_dict()
        if "model" not in states or not self.learners():
            return states
        if "gate" in self.learners():
            self.settle_gate()
        if "ranker" in self.learners():
            self.settle_ranker()
        states[RECORD] = {
            "format": 1,
            **{
                name: {key: tensor.cpu() for key, tensor in part.state_dict().items()}
                for name, part in self.learners().items()
            },
            "threshold": self.gate.threshold,
            "resume_point": self.resume_point,
        }
        return states


def _provenance(evidence: Evidence) -> dict[str, Any]:
    """What the act says of a fact."""
    names = ("id", "text", "score", "source", "snapshot")
    return {name: getattr(evidence, name) for name in names}
