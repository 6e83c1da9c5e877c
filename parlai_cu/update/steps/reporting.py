"""What an update tells: on the terminal as it goes on, in its report when it is done."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from parlai_cu.types import Verdict
from parlai_cu.update import report
from parlai_cu.update.choice import ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.steps.data import Data
from parlai_cu.update.steps.settings import UpdateContext

# contradictory pairs
_LISTED = 10


def say(text: str) -> None:
    """To the terminal, at once."""
    print(text, flush=True)


def choice_made(
    work: UpdateContext, live: str, diagnosis: Diagnosis, choice: ModeChoice
) -> dict[str, Any]:
    """
    Say what was diagnosed and chosen; the beginning of the report.

    :param work: what all steps work with
    :param live: the version in service
    :param diagnosis: of the update
    :param choice: how it is learnt
    """
    say(report.choice_text(choice, diagnosis, _LISTED))
    return {
        "task": work.settings.task,
        "retained": list(work.settings.retained),
        "live": live,
        "seed": work.settings.seed,
        "data": [_data(data) for data in work.tasks],
        "diagnosis": report.plain(diagnosis, _LISTED),
        "choice": dataclasses.asdict(choice),
        "training": [],
        "replies": [],
        "version": None,
        "promoted": False,
    }


def verdict(
    work: UpdateContext, about: dict[str, Any], found: Verdict, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """
    Say what came of it, and write the report.

    :param work: what all steps work with
    :param about: the report without its end
    :param found: what the gate decided
    :param seconds: that each step took
    :return: the report
    """
    about = {
        **about,
        "verdict": dataclasses.asdict(found),
        "confidence": work.settings.limits.confidence,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    work.kept.write("report.json", about)
    path = work.kept.write_text("report.html", report.html(about))
    say(report.verdict_text(about))
    say(f"report: {path}")
    return about


def _data(data: Data) -> dict[str, Any]:
    count = {split: len(examples) for split, examples in data.examples.items()}
    return {"name": data.name, "own_splits": data.own_splits, **count}
