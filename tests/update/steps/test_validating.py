"""ParlAI's validations as a table."""

from typing import Any

import parlai.utils.logging as logging
import pytest
from parlai.core.metrics import AverageMetric, SumMetric
from parlai.scripts.train_model import TrainLoop

from parlai_cu.update.steps import validating

TASKS = {"telecom:corrections": "telecom:corrections", "data/old_valid.txt": "telecom:retain"}


def report(step: int, new: float, old: float) -> dict[str, Any]:
    """As ParlAI keeps it, with columns that nobody asked for."""
    return {
        "train_steps": step,
        "exs": 30,
        "ppl": (new + old) / 2,
        "ltpb": 331.7,
        "telecom:corrections/exs": 10,
        "telecom:corrections/ppl": new,
        "telecom:corrections/token_acc": 0.25,
        "data/old_valid.txt/exs": 20,
        "data/old_valid.txt/ppl": old,
        "data/old_valid.txt/token_acc": 0.9,
    }


def cells(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_each_task_with_the_best_so_far() -> None:
    """A task may have been better earlier, while all of them together never were."""
    reports = [report(10, 5.0, 1.25), report(20, 3.0, 1.5)]
    found = cells(validating.as_table("validation at step 20", TASKS, reports, "ppl"))
    assert found[0] == "validation at step 20".split()
    assert "task examples ppl token_acc best ppl so far".split() in found
    assert "telecom:corrections 10 3 0.25 3 at step 20".split() in found
    assert "telecom:retain 20 1.5 0.9 1.25 at step 10".split() in found
    assert "all 30 2.25 2.25 at step 20".split() in found


def test_one_task_and_a_metric_of_which_more_is_better() -> None:
    """No line for all of them; ParlAI's names have no task in front then."""
    reports = [{"train_steps": n, "exs": 8, "accuracy": a} for n, a in ((1, 0.5), (2, 0.25))]
    found = cells(validating.as_table("t", {"x": "knowledge gate"}, reports, "accuracy"))
    assert "knowledge gate 8 0.25 0.5 at step 1".split() in found
    assert not any("all" in line for line in found)


@pytest.mark.parametrize(
    "level, shown, raw",
    [(logging.INFO, True, False), (logging.DEBUG, False, True), (logging.ERROR, False, False)],
)
def test_instead_of_the_log(
    level: int,
    shown: bool,
    raw: bool,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At info level; a person who asks for more is shown ParlAI's own, and one for less nothing."""
    told: list[str] = []

    class World:
        def getID(self) -> str:
            """ParlAI's name of the task."""
            return "telecom:corrections"

    class Loop:
        _train_steps = 20
        valid_reports: list[Any] = []

    def stock(loop: Any, worlds: Any, opt: Any, datatype: str, **more: Any) -> Any:
        logging.report("valid: ltpb 331.7")
        logging.warning("a warning")
        return {"exs": SumMetric(8), "ppl": AverageMetric(6, 2), "ltpb": AverageMetric(331)}

    monkeypatch.setattr(TrainLoop, "_run_eval", stock)
    monkeypatch.setattr(logging.logger, "level", level)
    shown_by = logging.logger.streamHandler
    monkeypatch.setattr(shown_by, "emit", lambda record: told.append(record.getMessage()))
    logging.logger._cache.clear()
    with validating.training_shown(["the update"]):
        found = TrainLoop._run_eval(Loop(), [World()], {"validation_metric": "ppl"}, "valid")  # type: ignore
    logging.logger._cache.clear()
    assert found["ppl"].value() == 3.0 and TrainLoop._run_eval is stock
    printed = capsys.readouterr().out
    assert ("the update" in printed and "3 at step 20" in printed) == shown
    assert ("valid: ltpb 331.7" in told) == raw
    assert ("a warning" in told) == (level < logging.ERROR)
