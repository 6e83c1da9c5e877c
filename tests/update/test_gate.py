"""The gate: what passes, what fails, and when there is not enough data."""

from typing import Any

import numpy as np
import pytest

from parlai_cu.errors import UsageError
from parlai_cu.retention.paired import Sums
from parlai_cu.update import gate
from parlai_cu.update.gate import GateLimits, check_retained, check_update, verdict


def sums(values: Any) -> Sums:
    """One value an example."""
    values = np.asarray(values, dtype=float)
    return Sums(values, np.ones(len(values)))


def noise(count: int, mean: float, spread: float = 0.05) -> Sums:
    """Values around a mean, always the same."""
    return sums(np.random.default_rng(0).normal(mean, spread, count))


@pytest.mark.parametrize(
    "before, after, result",
    [
        (0.50, 0.50, "pass"),
        (0.50, 0.49, "pass"),
        (0.50, 0.40, "fail"),
        (0.50, 0.60, "pass"),
    ],
)
def test_retained_skill_may_fall_as_far_as_allowed(
    before: float, after: float, result: str
) -> None:
    """f1 may fall by .03."""
    check = check_retained("old", "f1", 0.03, noise(200, before), noise(200, after), GateLimits())
    assert check.result == result, check.reason


def test_a_loss_that_chance_may_hide_is_not_accepted() -> None:
    """The estimate is within the limit, its bound is not: not enough data, never a pass."""
    rng = np.random.default_rng(1)
    before, after = sums(rng.integers(0, 2, 60)), sums(rng.integers(0, 2, 60))
    check = check_retained("old", "accuracy", 0.03, before, after, GateLimits())
    assert check.result == "not enough data" and "60 conversations do not tell" in check.reason


def test_perplexity_is_compared_by_its_logarithm() -> None:
    """ppl=0.05 allows a rise by 5 percent: 10 to 10.4 passes, 10 to 11 fails."""
    before = sums(np.full(100, np.log(10.0)))
    for after, result in ((10.4, "pass"), (11.0, "fail")):
        candidate = sums(np.full(100, np.log(after)))
        check = check_retained("old", "ppl", 0.05, before, candidate, GateLimits())
        assert check.result == result
        assert check.figures["base"] == pytest.approx(10.0)
        assert check.figures["candidate"] == pytest.approx(after)
        assert check.figures["change"] == pytest.approx(-np.log(after / 10))


@pytest.mark.parametrize(
    "before, after, result", [(0.2, 0.5, "pass"), (0.5, 0.2, "fail"), (0.5, 0.5, "fail")]
)
def test_the_update_must_be_learnt(before: float, after: float, result: str) -> None:
    """A gain above the minimum passes; none, or a loss, fails."""
    check = check_update("new", "f1", 0.01, noise(400, before), noise(400, after), GateLimits())
    assert check.result == result, check.reason


@pytest.mark.parametrize("less, result", [(1.0, "pass"), (0.0, "fail")])
def test_answers_have_to_follow_from_questions(less: float, result: str) -> None:
    """Labels in the wrong rows are as likely after any question, however well they are learnt."""
    rng = np.random.default_rng(0)
    own = rng.normal(3.0, 1.0, 200)
    other = own + rng.normal(less, 0.2, 200)
    check = gate.check_dependence(sums(own), sums(other), GateLimits())
    assert (check.kind, check.result) == ("update", result), check.reason


@pytest.mark.parametrize(
    "contradictory, examples, result",
    [(2, 20, "pass"), (3, 20, "fail"), (5, 278, "pass"), (6, 278, "fail")],
)
def test_the_update_has_to_agree_with_itself(
    contradictory: int, examples: int, result: str
) -> None:
    """A slip or two is let pass, an update with two answers to its questions is not."""
    check = gate.check_agreement(contradictory, examples)
    # no sign of anything being learnt
    assert (check.kind, check.result) == ("safety", result), check.reason
    assert f"{contradictory} questions of {examples}" in check.reason


def test_few_conversations_decide_nothing() -> None:
    """Under twenty, however many turns they have and however clear they look."""
    for before, after in ((noise(19, 0.1), noise(19, 0.9)), (noise(190, 0.1), noise(190, 0.9))):
        before.conversation = after.conversation = np.arange(len(before.total)) % 19
        check = check_update("new", "f1", 0.0, before, after, GateLimits())
        assert check.result == "not enough data"
        assert check.reason == "19 held-out conversations, expected 20 or more"


def test_the_one_sided_level_is_kept() -> None:
    """A candidate exactly at the limit passes in about 5 percent of all draws, not more."""
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(100):
        before = rng.normal(0.5, 0.2, 100)
        after = before - 0.03 + rng.normal(0.0, 0.1, 100)
        found = gate.improvement("f1", sums(before), sums(after), 0.95)
        passed += -found.low <= 0.03
    assert 1 <= passed <= 10


def check(kind: str, result: str) -> gate.Check:
    """A check with a result."""
    return gate.Check(f"{kind} {result}", kind, result, "why")


@pytest.mark.parametrize(
    "checks, decision, reasons",
    [
        ([check("update", "pass"), check("retained", "pass")], "accept", 2),
        ([check("update", "pass"), check("retained", "fail")], "refuse", 1),
        ([check("update", "pass"), check("retained", "not enough data")], "not enough data", 1),
        ([check("update", "fail"), check("retained", "not enough data")], "refuse", 1),
        ([check("safety", "pass")], "not enough data", 1),
    ],
)
def test_the_verdict_is_that_of_the_worst_check(
    checks: list[gate.Check], decision: str, reasons: int
) -> None:
    """One failure refuses, one doubt is not enough data; there is always a reason."""
    found = verdict(checks)
    assert (found.decision, len(found.reasons)) == (decision, reasons)
    assert len(found.checks) == len(checks)


def test_limits_by_task_and_metric() -> None:
    """A task's own limit wins; without any the best known metric has a default."""
    limits = GateLimits(losses={"f1": 0.1, "telecom:retain/f1": 0.02})
    assert limits.of_retained("telecom:retain", "", ["f1", "ppl"]) == {"f1": 0.02}
    assert limits.of_retained("other", "", ["f1", "ppl"]) == {"f1": 0.1}
    assert GateLimits().of_retained("other", "", ["f1", "ppl"]) == {"ppl": 0.05}
    assert GateLimits().of_update(["f1", "accuracy"]) == {"accuracy": 0.01}


def test_an_unknown_metric_is_named() -> None:
    """With the nearest there is."""
    with pytest.raises(UsageError, match="--max-loss fact_ac: .* nearest: fact_acc"):
        GateLimits(losses={"fact_ac": 0.1}).of_retained("t", "", ["fact_acc", "ppl"])


@pytest.mark.parametrize("text", ["f1", "f1=high", "=0.1"])
def test_limits_that_cannot_be_read(text: str) -> None:
    """What is expected is said."""
    with pytest.raises(UsageError, match="expected METRIC=NUMBER"):
        gate.parse_limits(text, "--max-loss")


def test_limits_are_read() -> None:
    """Several, with and without a task."""
    found: dict[str, float] = gate.parse_limits("ppl=0.05,telecom:retain/f1=0.1", "--max-loss")
    assert found == {"ppl": 0.05, "telecom:retain/f1": 0.1}
