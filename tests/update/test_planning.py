"""How many conversations a decision takes."""

import numpy as np
import pytest

from parlai_cu.retention.paired import PairedDifference, Sums, paired_difference
from parlai_cu.update.planning import (
    DecisionPlan,
    before_training,
    conversations_do_not_tell,
    needed,
    spread_bounds,
)


def test_the_number_decides_in_four_of_five() -> None:
    """Candidates that lose nothing, judged on as many conversations as were asked for."""
    rng = np.random.default_rng(0)
    limit, spread = 0.05, 0.2
    size = needed(spread / np.sqrt(40), 40, limit, 0.95)
    zero = Sums(np.zeros(size), np.ones(size))
    passed = sum(
        paired_difference(
            zero, Sums(rng.normal(0, spread, size), zero.count), level=0.9, resamples=200
        ).high
        <= limit
        for _ in range(100)
    )
    assert 70 <= passed <= 90


@pytest.mark.parametrize("pilot", [40, 80])
def test_the_prediction_is_near(pilot: int) -> None:
    """From a first sample the number is within 25 % of the right one in the middle of cases."""
    rng = np.random.default_rng(1)
    right = needed(0.2 / np.sqrt(1000), 1000, 0.05, 0.95)
    found = [
        needed(float(np.std(rng.normal(0, 0.2, pilot), ddof=1) / np.sqrt(pilot)), pilot, 0.05, 0.95)
        for _ in range(200)
    ]
    assert np.median(found) == pytest.approx(right, rel=0.1)
    assert np.mean(np.abs(np.array(found) / right - 1) <= 0.25) > (0.7 if pilot == 40 else 0.85)


def test_words_after_an_undecided_verdict() -> None:
    """How many more, and between which two; or that there is no number."""
    found = PairedDifference(0.5, 0.5, -0.1, 0.1, 0.9, 0.05, 30)
    assert conversations_do_not_tell(found, 0.1, 0.95) == (
        "30 conversations do not tell; about 18 more would, if it stays so (6 to 40)"
    )
    assert "near the limit" in conversations_do_not_tell(found, 1e-6, 0.95)
    assert needed(0.1, 30, 0.0, 0.95) == 10**9


def test_the_bounds_of_the_number_hold() -> None:
    """In four of five cases the right number lies between the two that are told."""
    rng = np.random.default_rng(1)
    right = needed(0.2 / np.sqrt(1000), 1000, 0.05, 0.95)
    within = 0
    for _ in range(200):
        error = float(np.std(rng.normal(0, 0.2, 20), ddof=1) / np.sqrt(20))
        least, most = (needed(e, 20, 0.05, 0.95) for e in spread_bounds(error, 20))
        within += least <= right <= most
    assert 0.74 <= within / 200 <= 0.87


def test_before_training() -> None:
    """More spread or a closer limit takes more; there are never fewer than the gate wants."""
    rng = np.random.default_rng(0)

    def plan(spread: float, limit: float) -> int:
        live = Sums(rng.normal(2.0, spread, 200), np.ones(200), np.repeat(np.arange(50), 4))
        found = before_training("old ppl", "ppl", limit, live, 0.95, 20)
        assert found.there == 50 and found.more == max(0, found.needed - 50)
        return found.needed

    assert (
        "50 held-out conversations can decide"
        in before_training("old ppl", "ppl", 0.05, Sums(np.ones(50), np.ones(50)), 0.95, 20).words()
    )
    assert plan(0.1, 0.05) == 20
    assert 20 < plan(2.0, 0.05) < plan(4.0, 0.05) < plan(4.0, 0.02)


def test_earlier_updates_tell_more() -> None:
    """What earlier candidates changed is foreseen of the next; without any there are two bounds."""
    rng = np.random.default_rng(0)
    live = Sums(rng.normal(2.0, 2.0, 50), np.ones(50))
    first = before_training("old ppl", "ppl", 0.05, live, 0.95, 20)
    assert 50 < first.fewest < first.needed
    later = before_training("old ppl", "ppl", 0.05, live, 0.95, 20, earlier=[0.1, 0.1])
    assert later.fewest == later.needed == needed(0.1 / np.sqrt(50), 50, 0.05, 0.95)


def test_words_before_training() -> None:
    """It can, it may, or it hardly will decide, with how many more."""
    assert DecisionPlan("x", 50, 40).words() == "x: 50 held-out conversations can decide"
    assert "may decide; with 30 more it is likely" in DecisionPlan("x", 50, 80, 40).words()
    assert "about 10 to 30 more would" in DecisionPlan("x", 50, 80, 60).words()
    assert "about 30 more would" in DecisionPlan("x", 50, 80, 80).words()
