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
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from parlai.core.message import Message
from parlai.core.metrics import Metric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu.agents import kinds, own_flags
from parlai_cu.agents.kb_augmented import flags
from parlai_cu.agents.kb_augmented.answering import Answering
from parlai_cu.agents.kb_augmented.batched_calls import Act, together
from parlai_cu.agents.kb_augmented.fusing import FusingSearch
from parlai_cu.agents.kb_augmented.gate_training import NEEDED, NOT_NEEDED, GateTraining
from parlai_cu.agents.kb_augmented.model_view import ModelView
from parlai_cu.agents.kb_augmented.rank_training import RankTraining
from parlai_cu.agents.kb_augmented.shown_facts import FactReader
from parlai_cu.agents.parts_beside import PartsBesideModel, is_of_training
from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.parlai_types import Batch
from parlai_cu.types import Evidence, Turn

# facts that are kept for the turns of training
_REMEMBERED = 400_000
_NO_BASE = "-m kb_augmented needs --init-model MODEL (the deployed ParlAI model) or -mf MODEL"


class KBAugmentedAgent(FactReader, FusingSearch, PartsBesideModel):
    """
    A deployed model's own agent, with facts outside its weights.

    Instances are of a composed class: this one on top of the base agent's
    (:func:`parlai_cu.agents.base_agent.compose`). In training only the gate and the ranker learn.

    :raises UsageError: when flags do not go together, or the base cannot do what they ask for
    """

    no_base = _NO_BASE
    agent_name = "kb_augmented"
    rate = 0.03
    epochs = 10

    @classmethod
    def add_ours(cls, parser: ParlaiParser) -> None:
        """The flags of knowledge."""
        flags.add(parser)

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        opt = self.begin(opt, shared)
        self._room: Any = None
        # what was found for the turns of training, and in which state of the knowledge base
        self._remembered: dict[Turn, list[Evidence]] = {}
        self._facts_remembered, self._remembered_of = 0, ""
        if shared is None:
            flags.check(opt)
            flags.check_base(opt, type(self))
            if self.trains:
                _check_learns(opt)
            self._give_room(opt)
        self.parts: flags.Parts = flags.parts(opt) if shared is None else shared["parts"]
        # the base may change its own, and have flags that are called like ours
        ours = Opt(opt) if shared is None else own_flags.of_ours(opt)
        parts, record = self.parts, self._metric
        self.answering = Answering(parts, ours, record)
        self.rank_training = RankTraining(parts.ranker, parts.meant, ours, record)
        self.gate_training = GateTraining(parts.gate, parts.kb, ours, self.answering.ask, record)
        super().__init__(opt, shared)
        if shared is None and not self.trains:
            self._load_learnt()

    def share(self) -> dict[str, Any]:
        """The base's, and one knowledge base, gate and ranker for all."""
        return {**super().share(), "parts": self.parts}

    def __deepcopy__(self, memo: dict[int, Any]) -> "KBAugmentedAgent":
        """Another agent, of the same knowledge base."""
        for one in (self.parts.kb, self._room):
            memo[id(one)] = one
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def _metric(self, name: str, metric: Metric) -> None:
        self.global_metrics.add(name, metric)

    def _give_room(self, opt: Opt) -> None:
        """Rankers keep encoded candidates beside ``-mf``; without one, in a folder of their own."""
        if kinds.kind_of_class(type(self)) == "ranker" and not opt.get("model_file"):
            self._room = tempfile.TemporaryDirectory(prefix="parlai_cu-")
            opt["model_file"] = os.path.join(self._room.name, "model")

    # -- building and loading ----------------------------------------------------------------

    def get_task_candidates_path(self) -> Any:
        """The base's (rankers), which are kept beside ``-mf``."""
        if self._room is not None:
            raise UsageError(
                f"{self.opt['base_agent']} replies with one of its candidates: name them by "
                "--fixed-candidates-path FILE (one a line), as --eval-candidates fixed"
            )
        return super().get_task_candidates_path()

    def _load_learnt(self) -> None:
        for name, part in self.parts.learners().items():
            part.to(next(self.model.parameters()).device)
            learnt = set(self.saved.get(name) or {}) == set(part.state_dict())
            if not learnt and not part.optional:
                flag = {"gate": "--kb-gate classifier", "ranker": "--kb-rank word_pairs"}[name]
                raise UsageError(
                    f"{flag} has to be trained first: parlai train_model -m kb_augmented {flag} "
                    "-t DIALOGUES -mf MODEL"
                )
        self._restore(threshold=flags.threshold(self.own) is None)

    def _restore(self, threshold: bool) -> None:
        """Take over what was learnt, and the gate's threshold where that is wanted."""
        for name, part in self.parts.learners().items():
            learnt = self.saved.get(name) or {}
            if set(learnt) != set(part.state_dict()):
                # nothing, or that of another gate: this one is of use without
                continue
            part.load_state_dict(learnt)
            if name == "gate" and threshold:
                part.threshold = self.saved["threshold"]

    def init_optim(self, params: object, *args: Any, **kwargs: Any) -> bool:
        """An optimizer for our parts alone; every base comes here once its model is loaded."""
        self.bare_model().requires_grad_(False)
        device = next(self.model.parameters()).device
        for part in self.parts.learners().values():
            part.to(device)
        if self.saved and self.is_resumed_from(self.loaded_from):
            self._restore(threshold=True)
            self.resume_point = self.saved.get("resume_point")
        ours = [tensor for part in self.parts.learners().values() for tensor in part.parameters()]
        return super().init_optim(ours, *args, **kwargs)

    # -- training the gate and the ranker ----------------------------------------------------

    def train_step(self, batch: Batch) -> Any:
        """Teach the gate by yes and no, the ranker by facts; the deployed model is left alone."""
        if self.fast_forward or batch.text_vec is None:
            return None
        self.gate_training.begin_step()
        self.rank_training.begin_step()
        losses: list[torch.Tensor] = []
        for seen in batch.observations:
            losses += self._teach(_turn_of(seen), list(seen.get("labels") or [""]))
        if losses:
            self.zero_grad()
            self.backward(torch.stack(losses).mean())
            self.update_params()
        return None

    def _teach(self, turn: Turn, labels: Sequence[str]) -> list[torch.Tensor]:
        """The losses on one example, by what its labels are."""
        if labels[0] in (NEEDED, NOT_NEEDED):
            return self.gate_training.teach(turn, labels[0] == NEEDED, self._ask_again(turn))
        if self.own["kb_gate"] == "classifier" and "ranker" not in self.parts.learners():
            return self.gate_training.teach_unlabelled(turn)
        return self.rank_training.teach(turn, labels, self._ask_again(turn))

    def _ask_again(self, turn: Turn) -> list[Evidence]:
        """What is found, remembered while the facts stay: each epoch asks the same."""
        try:
            now = self.parts.kb.snapshot_id()
        except KnowledgeError:  # is said where the turn asks
            return self.answering.ask(turn)
        if now != self._remembered_of:
            self._remembered, self._facts_remembered, self._remembered_of = {}, 0, now
        if turn in self._remembered:
            return self._remembered[turn]
        found = self.answering.ask(turn)
        if self._facts_remembered < _REMEMBERED:
            self._remembered[turn] = found
            self._facts_remembered += len(found)
        return found

    # -- answering ---------------------------------------------------------------------------

    def batch_act(self, observations: Sequence[Any]) -> list[Message]:
        """Answer each turn by the model, by a fact, or by both."""
        if is_of_training(observations):
            return super().batch_act(observations)
        base = super().batch_act
        turns = [
            functools.partial(self._turn, seen, self._asked(seen), base) for seen in observations
        ]
        return together(turns, base)

    def _turn(
        self, observation: Mapping[str, Any], found: list[Evidence] | None, base: Act, act: Act
    ) -> Message:
        """One turn; ``act`` answers in a batch with the others, ``base`` alone."""
        if found is None:
            (reply,) = act([observation])
            return Message(reply)
        turn, view = _turn_of(observation), ModelView(self, observation, act, base)
        decision = self.answering.decide(turn, found, view)
        if not _asks_the_gate(observation):
            return self.answering.reply(turn, found, view, decision)
        reply = view.empty()
        reply["text"] = self.gate_training.judge(observation.get("eval_labels"), decision)
        reply["kb_gate"] = dataclasses.asdict(decision)
        return reply

    def _asked(self, observation: Mapping[str, Any]) -> list[Evidence] | None:
        """What the knowledge base finds for a turn; None where the model is to answer alone."""
        if observation.get("text_vec") is None:
            return None
        turn = _turn_of(observation)
        found = self.answering.ask(turn)
        gate_alone = _asks_the_gate(observation)
        # candidates: facts may be meant; to look every label of every task up would cost too much
        if observation.get("eval_labels") and observation.get("label_candidates"):
            if not gate_alone:
                self.rank_training.judge(turn, observation["eval_labels"], found)
        return found if found or gate_alone else None

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The deployed model's states and what was learnt."""
        states = super().state_dict()
        learners = self.parts.learners()
        if "model" not in states or not learners:
            return states
        self.gate_training.settle()
        self.rank_training.settle()
        states[self.agent_name] = {
            "format": 1,
            **{
                name: {key: tensor.cpu() for key, tensor in part.state_dict().items()}
                for name, part in learners.items()
            },
            "threshold": self.parts.gate.threshold,
            "resume_point": self.resume_point,
        }
        return states


def _check_learns(opt: Opt) -> None:
    if opt["kb_gate"] not in ("classifier", "score") and opt["kb_rank"] == "search":
        raise UsageError(
            f"--kb-gate {opt['kb_gate']} has nothing to learn, and the model never does here: "
            "train with --kb-gate classifier (or score) or --kb-rank word_pairs, or only use "
            "it (interactive, eval_model)"
        )


def _asks_the_gate(observation: Mapping[str, Any]) -> bool:
    """Whether a message asks if knowledge is needed: its candidates are yes and no."""
    return set(observation.get("label_candidates") or ()) == {NEEDED, NOT_NEEDED}


def _turn_of(observation: Mapping[str, Any]) -> Turn:
    """The last utterance and those before it, as the model reads them."""
    text = observation.get("full_text") or observation.get("text") or ""
    lines = [line for line in str(text).split("\n") if line.strip()]
    return Turn(lines[-1], tuple(lines[:-1])) if lines else Turn("")
