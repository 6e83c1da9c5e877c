"""
What customers ask and how it is answered: one file for each subject in ``intents/``.

Customers' phrasings are listed for training, validation and test apart: no test phrasing is ever
seen in training. The assistant has one voice in all splits, so its phrasings are shared.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from parlai_cu.tasks.telecom.facts import LABELS, Row

FOLDER = Path(__file__).parent / "intents"
SPLITS = ("train", "valid", "test")
# the C loader is ten times faster where libyaml is there
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class IntentAnswer:
    """
    What is said where ``when`` holds.

    :param say: phrasings in the assistant's ordinary voice
    :param casual: the same in the voice of ``telecom:style``
    :param when: column -> the value that the row must have
    """

    say: Sequence[str]
    casual: Sequence[str]
    when: Mapping[str, str] = field(default_factory=dict)

    def holds(self, row: Row) -> bool:
        """Whether this answer is right for a row."""
        return all(row.get(column) == value for column, value in self.when.items())

    def columns(self) -> list[str]:
        """The columns whose values are stated: the placeholders, and those ``when`` decides by."""
        spoken = placeholders(self.say[0])
        return [*spoken, *(column for column in self.when if column not in spoken)]


@dataclass(frozen=True)
class Intent:
    """
    Something that customers want.

    :param ask: split -> phrasings that can begin a dialogue
    :param follow: split -> phrasings that lean on what was said before about the same row
    :param about: the table whose rows it can be about; None if it states no fact
    :param row: the key of the only row it is about
    """

    name: str
    ask: Mapping[str, Sequence[str]]
    answers: Sequence[IntentAnswer]
    follow: Mapping[str, Sequence[str]] = field(default_factory=dict)
    about: str | None = None
    row: str | None = None

    def answer(self, row: Row) -> IntentAnswer:
        """
        The answer that is right for a row.

        :raises ValueError: there is none
        """
        for answer in self.answers:
            if answer.holds(row):
                return answer
        raise ValueError(f"{self.name} has no answer for {dict(row)}")


def placeholders(template: str) -> list[str]:
    """The columns that a phrasing (template) names, without the labels of the row; each once."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    return [name for name in dict.fromkeys(names) if name not in LABELS]


def read_intents(*subjects: str) -> list[Intent]:
    """The intents of the shipped files of these names."""
    return [intent for subject in subjects for intent in _read(subject)]


@cache
def _read(subject: str) -> list[Intent]:
    with open(FOLDER / f"{subject}.yaml", encoding="utf-8") as file:
        entries: dict[str, dict[str, Any]] = yaml.load(file, _Loader)
    return [_intent(name, **entry) for name, entry in entries.items()]


def _intent(name: str, answers: list[dict[str, Any]], **entry: Any) -> Intent:
    return Intent(name=name, answers=[IntentAnswer(**answer) for answer in answers], **entry)
