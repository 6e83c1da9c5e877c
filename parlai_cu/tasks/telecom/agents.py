"""
``-t telecom``: what the deployed assistant of a telecommunications company knows.

Over the same world, the updates that such a service gets: ``telecom:corrections``,
``telecom:new_plans``, ``telecom:roaming``, ``telecom:style``; and ``telecom:retain``, what must
not change. ``telecom:intent`` asks for the name of the intent instead of an answer.
"""

import copy
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from parlai.core.message import Message
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.teachers import DialogTeacher

from parlai_cu.tasks.telecom.build import build
from parlai_cu.tasks.telecom.updates import base_intents, small_talk


class TelecomTeacher(DialogTeacher):
    """
    Dialogues of one data set, an example each time the customer speaks.

    Beside text and labels, an example has ``intent``; ``facts``, the ids and values of the facts
    that its answer states; ``spoken``, those of the values that stand in the answer; and in the
    test of ``telecom:corrections`` a ``probe``. Metric: ``fact_acc``, the share of answers with
    facts in which every spoken value stands.
    """

    data_set = ""

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        opt = copy.deepcopy(opt)
        split = opt["datatype"].split(":")[0]
        opt["datafile"] = os.path.join(build(opt), f"{self.data_set}_{split}.jsonl")
        super().__init__(opt, shared)
        self.id = opt["task"]

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield the exchanges, and whether each begins a dialogue.

        :param datafile: a file that build.py wrote
        """
        with open(datafile, encoding="utf-8") as file:
            for line in file:
                for number, exchange in enumerate(json.loads(line)):
                    yield self.example(exchange), number == 0

    def example(self, exchange: dict[str, Any]) -> dict[str, Any]:
        """What ParlAI is given for an exchange."""
        labels = [exchange.pop("answer")]
        return {**exchange, "labels": labels}

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Count whether the facts are told as they are; by probe as well, where there is one."""
        spoken = teacher_action.get("spoken")
        if not spoken or not model_response.get("text"):
            return
        right = AverageMetric(int(all(says(model_response["text"], v) for v in spoken)))
        self.metrics.add("fact_acc", right)
        if teacher_action.get("probe"):
            self.metrics.add(teacher_action["probe"], right)


class DefaultTeacher(TelecomTeacher):
    """
    The deployed assistant's skill: plans, add-ons, devices, bills, contracts, shops, outages.

    Train a base model on it.
    """

    data_set = "deployed"


class CorrectionsTeacher(TelecomTeacher):
    """
    Twenty wrong answers put right.

    Mode: ``frozen_layer``. A handful of answers changes, so a few parameters can hold the change
    and the rest cannot forget. The test reports ``efficacy`` (the corrected questions as
    trained), ``generalisation`` (the same in other words) and ``locality`` (questions nearby,
    whose answers must stay), after Meng et al. 2022
    (https://arxiv.org/abs/2202.05262, section 3.3).
    """

    data_set = "corrections"


class NewPlansTeacher(TelecomTeacher):
    """
    Known questions about plans that did not exist before: new facts, no new skill.

    Mode: ``kb_augmented``. Facts change more often than a model should; the next price change is
    a row in a table then.
    """

    data_set = "new_plans"


class RoamingTeacher(TelecomTeacher):
    """
    Questions about using the phone abroad: new intents, new words, new facts.

    Mode: ``distill_student``. A domain is too much for a few layers; a student learns it from
    these labels, and the old from the deployed model.
    """

    data_set = "roaming"


class StyleTeacher(TelecomTeacher):
    """
    The old content in another voice.

    Mode: ``distill_student`` with little of the old data. What is said stays, how it is said
    changes everywhere, so the old wording is what has to go.
    """

    data_set = "style"


class RetainTeacher(TelecomTeacher):
    """
    What must not change: the old skill without the facts that ``telecom:corrections`` changes.

    Not an update: replay its training split (``-t telecom:corrections,telecom:retain``), and
    gate any mode's candidate on its test split.
    """

    data_set = "retain"


class IntentTeacher(TelecomTeacher):
    """The deployed data set for classifiers: the label is the intent's name."""

    data_set = "deployed"

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        self.intents = intent_names()
        super().__init__(opt, shared)

    def example(self, exchange: dict[str, Any]) -> dict[str, Any]:
        """What ParlAI is given for an exchange."""
        return {
            "text": exchange["text"],
            "labels": [exchange["intent"]],
            "label_candidates": self.intents,
        }


def intent_names() -> list[str]:
    """The intents of the deployed assistant: the classes of ``telecom:intent``."""
    return sorted(intent.name for intent in [*base_intents(), *small_talk()])


def says(text: str, value: str) -> bool:
    """Whether a value stands in a text, as whole words, however the text was tokenised."""
    words = _words(text)
    wanted = _words(value)
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words)))


def _words(text: str) -> list[str]:
    # "1 . 50" is a tokenised 1.50; in "5: 1" a sentence goes on
    joined = re.sub(r"(?<=\d)(\s?)([.:-])\1(?=\d)", r"\2", text.lower())
    return re.findall(r"\d+(?:[.:-]\d+)*|[^\W\d_]+", joined)
