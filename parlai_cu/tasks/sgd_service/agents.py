"""
Services of Schema-Guided Dialogue (Rastogi et al. 2020, https://arxiv.org/abs/1909.05855):
``-t sgd_service:service=Restaurants_1``.

``-t sgd_service`` answers the user; ``-t sgd_service:state`` tells the dialogue state. The folder
is named with ``--sgd-path``; without ``service`` all services are read.
"""

import copy
import difflib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parlai.core.message import Message
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import DialogTeacher

from parlai_cu.tasks.sgd_service.dialogues import SGDTurn, read


class SgdServiceTeacher(DialogTeacher):
    """Single-service dialogues, an example for each user's turn."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Add ``--sgd-path`` and ``--service``."""
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Schema-Guided Dialogue")
        group.add_argument(
            "--sgd-path",
            type=str,
            default=None,
            help="folder of the original release or of prepared conversations "
            "(default: sgd in the data path)",
        )
        group.add_argument(
            "--service",
            type=str,
            default=None,
            help="only dialogues about this service, such as Restaurants_1; + between several",
        )
        return parser

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        # the options are shared with the other tasks of the command
        opt = copy.deepcopy(opt)
        self.service = opt.get("service")
        folder = opt.get("sgd_path") or os.path.join(opt["datapath"], "sgd")
        opt["datafile"] = os.path.join(folder, opt["datatype"].split(":")[0])
        super().__init__(opt, shared)
        self.id = opt["task"]

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield the examples, and whether each begins a dialogue.

        :param datafile: the folder, and the split as ParlAI calls it
        """
        for dialogue in read(*os.path.split(datafile), service=self.service):
            for number, turn in enumerate(dialogue.turns):
                where = {"service": dialogue.service, "dialogue_id": dialogue.id, "turn": number}
                yield {"text": turn.user, **self.example(turn), **where}, number == 0

    def example(self, turn: SGDTurn) -> dict[str, Any]:
        """Labels and more of an example."""
        raise NotImplementedError


class DefaultTeacher(SgdServiceTeacher):
    """
    The system's answers. ``knowledge`` holds the rows that its API call returned, one JSON object
    on each line; ``rows`` the same as dictionaries; ``api_call`` the call.

    Metrics: ``slot_r``, the share of the values told by the gold answer that the reply tells too.
    BLEU, which the data set's users report, is ParlAI's: ``--metrics bleu``.
    """

    def example(self, turn: SGDTurn) -> dict[str, Any]:
        """The answer, and what it draws on."""
        return {
            "labels": [turn.system],
            "rows": list(turn.rows),
            "knowledge": "\n".join(json.dumps(row) for row in turn.rows),
            "api_call": turn.call,
            "values": [v for v in turn.values if v.lower() in turn.system.lower()],
        }

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Look for the gold values in the reply."""
        reply = model_response.get("text")
        values = teacher_action.get("values")
        if labels and reply and values:
            repeated = sum(value.lower() in reply.lower() for value in values)
            self.metrics.add("slot_r", AverageMetric(repeated, len(values)))


class StateTeacher(SgdServiceTeacher):
    """
    The dialogue state after the user's turn as text:
    ``intent: FindRestaurants | requested: phone_number | city=San Jose | cuisine=Thai``.

    Metrics, those of the data set's own evaluation: ``intent_acc`` (active intent accuracy),
    ``requested_f1`` (mean F1 over turns), ``avg_goal_acc`` (mean score of the true slots, then
    over turns that have some) and ``joint_goal_acc`` (product of the scores of all slots, 0 with
    a slot too many). A slot scores by its likest listed value: exactly where the schema lists all
    values, else by fuzzy match (token sort ratio).
    """

    def example(self, turn: SGDTurn) -> dict[str, Any]:
        """The state as text, and as it was annotated."""
        state = {slot: list(values) for slot, values in turn.state.items()}
        gold = {"intent": turn.intent, "requested": list(turn.requested), "slots": state}
        gold["categorical"] = sorted(turn.categorical)
        first = {slot: values[0] for slot, values in sorted(state.items())}
        return {"labels": [as_text(turn.intent, turn.requested, first)], "state": gold}

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Compare the state that the model tells with the annotated one."""
        gold, reply = teacher_action.get("state"), model_response.get("text")
        if not labels or not reply or gold is None:
            return
        intent, requested, slots = from_text(reply)
        scores = {
            slot: score(slots.get(slot, ""), values, slot not in gold["categorical"])
            for slot, values in gold["slots"].items()
        }
        joint = math.prod(scores.values()) if slots.keys() <= scores.keys() else 0.0
        self.metrics.add("intent_acc", AverageMetric(int(intent == gold["intent"])))
        self.metrics.add("requested_f1", AverageMetric(f1(gold["requested"], requested)))
        self.metrics.add("joint_goal_acc", AverageMetric(joint))
        if scores:
            mean = sum(scores.values()) / len(scores)
            self.metrics.add("avg_goal_acc", AverageMetric(mean))


def as_text(intent: str, requested: Sequence[str], slots: Mapping[str, str]) -> str:
    """
    A dialogue state (intent, requested slots, values of slots) as the label of
    ``sgd_service:state``.
    """
    parts = [f"intent: {intent}"]
    if requested:
        parts.append(f"requested: {', '.join(requested)}")
    return " | ".join([*parts, *(f"{slot}={value}" for slot, value in slots.items())])


def from_text(text: str) -> tuple[str, Sequence[str], dict[str, str]]:
    """The intent, requested slots and slot values in a text; what cannot be read is left out."""
    intent, requested, slots = "", [], {}
    for part in text.split("|"):
        part = part.strip()
        if part.startswith("intent:"):
            intent = part[len("intent:") :].strip()
        elif part.startswith("requested:"):
            requested = [slot.strip() for slot in part[len("requested:") :].split(",")]
        elif "=" in part:
            slot, _, value = part.partition("=")
            slots[slot.strip()] = value.strip()
    return intent, requested, slots


def score(said: str, values: Sequence[str], fuzzy: bool) -> float:
    """
    How like what was said is to the likest of the values that are right, from 0 to 1.

    :param said: a value
    :param values: those that are right
    :param fuzzy: whether nearly right counts in part: the similarity of the sorted words, in
        hundredths, as the data set's evaluation has it
    """
    if not fuzzy:
        return float(said.lower() in [value.lower() for value in values])
    return max((_alike(said, value) for value in values), default=0.0)


def _alike(one: str, other: str) -> float:
    a, b = (" ".join(sorted(re.findall(r"\w+", text.lower()))) for text in (one, other))
    return round(100 * difflib.SequenceMatcher(None, a, b).ratio()) / 100 if a and b else 0.0


def f1(true: Sequence[str], said: Sequence[str]) -> float:
    """
    F1 of two bags, what is ``true`` and what was ``said``; 1 where both are empty, as in the data
    set's own evaluation.
    """
    common = sum((Counter(true) & Counter(said)).values())
    precision = common / len(said) if said else 1.0
    recall = common / len(true) if true else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
