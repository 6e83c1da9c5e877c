"""All that is reported of an update, as one typed value that serialises itself."""

import dataclasses
import json
import os
from typing import Any

from pydantic import TypeAdapter

from parlai_cu import files
from parlai_cu.types import NOT_ENOUGH_DATA, Verdict
from parlai_cu.update import report
from parlai_cu.update.choice import ModeChoice
from parlai_cu.update.planning import DecisionPlan

JSON, HTML = "report.json", "report.html"


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """
    A training of a candidate.

    :param command: as one would type it
    :param train: the loss in training: rows with ``step``
    :param valid: the metrics of validation: rows with ``step``
    :param part: how much of what was learnt the candidate has
    """

    command: str
    train: list[dict[str, float]] = dataclasses.field(default_factory=list)
    valid: list[dict[str, float]] = dataclasses.field(default_factory=list)
    part: float | None = None


@dataclasses.dataclass(frozen=True)
class UpdateReport:
    """
    What came in, what was done, and what came of it.

    :param task: the update's
    :param retained: what must not be lost
    :param live: id of the version in service
    :param seed: of splits and training
    :param data: each task, its content's fingerprint and how many examples it has
    :param diagnosis: as :func:`~parlai_cu.update.report.plain` gives it
    :param choice: how it was learnt
    :param plans: of each test of the gate what it takes, foreseen before the training
    :param training: each run
    :param replies: before and after, those that changed most first
    :param version: id of the candidate
    :param promoted: whether it went live
    :param verdict: of the gate
    :param confidence: of each of its tests
    :param seconds: that each step took
    """

    task: str
    retained: list[str]
    live: str
    seed: int
    data: list[dict[str, Any]]
    diagnosis: dict[str, Any]
    choice: ModeChoice
    plans: list[DecisionPlan] = dataclasses.field(default_factory=list)
    training: list[TrainingRun] = dataclasses.field(default_factory=list)
    replies: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    version: str | None = None
    promoted: bool = False
    verdict: Verdict = Verdict(NOT_ENOUGH_DATA)
    confidence: float = 0.95
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As values of JSON."""
        held: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return held

    @classmethod
    def read(cls, folder: str) -> "UpdateReport":
        """The report that was written into a folder."""
        with open(os.path.join(folder, JSON), encoding="utf-8") as f:
            return _ADAPTER.validate_python(json.load(f))

    def write(self, folder: str) -> str:
        """
        Write it into a folder, as JSON and as a page; the page's path.

        :raises SaveError: when it cannot be written
        """
        held = self.plain()
        files.write_text(os.path.join(folder, JSON), json.dumps(held, indent=1))
        path = os.path.join(folder, HTML)
        files.write_text(path, report.html(held))
        return path


_ADAPTER: TypeAdapter[UpdateReport] = TypeAdapter(UpdateReport)
