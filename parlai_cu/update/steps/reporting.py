"""What an update tells: on the terminal as it goes on, in its report when it is done."""

from typing import Any

from parlai_cu.update import report
from parlai_cu.update.choice import ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.steps.data import Data
from parlai_cu.update.steps.settings import UpdateContext
from parlai_cu.update.update_report import UpdateReport

# contradictory pairs
_LISTED = 10


def say(text: str) -> None:
    """To the terminal, at once."""
    print(text, flush=True)


def choice_made(
    work: UpdateContext, live: str, diagnosis: Diagnosis, choice: ModeChoice
) -> UpdateReport:
    """
    Say what was diagnosed and chosen; the beginning of the report.

    :param work: what all steps work with
    :param live: the version in service
    :param diagnosis: of the update
    :param choice: how it is learnt
    """
    say(report.choice_text(choice, diagnosis, _LISTED))
    return UpdateReport(
        task=work.settings.task,
        retained=list(work.settings.retained),
        live=live,
        seed=work.settings.seed,
        data=[_data(data) for data in work.tasks],
        diagnosis=report.plain(diagnosis, _LISTED),
        choice=choice,
        confidence=work.settings.limits.confidence,
    )


def written(folder: str, about: UpdateReport) -> UpdateReport:
    """Say what came of an update, and write its report into a folder; the report."""
    path = about.write(folder)
    say(report.verdict_text(about.plain()))
    say(f"report: {path}")
    return about


def _data(data: Data) -> dict[str, Any]:
    count = {split: len(examples) for split, examples in data.examples.items()}
    return {
        "name": data.name,
        "own_splits": data.own_splits,
        "content": data.fingerprint,
        **count,
    }
