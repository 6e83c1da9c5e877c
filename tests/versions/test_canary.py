"""The canary's guard: when it takes a canary back, and that it seldom does so wrongly."""

import math
import random

import pytest

from parlai_cu.versions.canary import CANARY, LIVE, Guard, interval


def test_the_interval_is_what_its_formula_says() -> None:
    """At its edges the mixture's likelihood ratio is 1 / alpha; numbers worked by hand."""
    for count, total, alpha in ((3, 40, 0.01), (0, 25, 0.05), (10, 10, 0.02)):
        low, high = interval(count, total, alpha)
        beta = math.exp(
            math.lgamma(count + 0.5) + math.lgamma(total - count + 0.5) - math.lgamma(total + 1)
        )
        for edge in (low, high):
            if 0 < edge < 1:
                ratio = beta / math.pi / (edge**count * (1 - edge) ** (total - count))
                assert ratio == pytest.approx(1 / alpha, rel=1e-4)
        assert low <= count / total <= high
    # 0 of 1: B(1/2, 3/2) / B(1/2, 1/2) = 1/2, so (1 - p) > alpha / 2
    assert interval(0, 1, 0.1) == pytest.approx((0.0, 0.95))
    assert interval(0, 0, 0.1) == (0.0, 1.0)


def run(guard: Guard, turns: int, errors: float, slower: float = 1.0, seed: int = 0) -> int:
    """Simulate turns, a quarter of them on the canary; the number at which it went, or 0."""
    draw = random.Random(seed)
    talking: dict[str, tuple[str, int]] = {}
    names: dict[str, str] = {}
    for number in range(1, turns + 1):
        # a few conversations at a time, of five turns each
        who = str(draw.randrange(8))
        if talking.get(who, ("", 0))[1] % 5 == 0:
            talking[who] = (CANARY if draw.random() < 0.25 else LIVE, 0)
            names[who] = f"{who} {number}"
        arm, said = talking[who]
        talking[who] = (arm, said + 1)
        seconds = draw.lognormvariate(-3, 0.3) * (slower if arm == CANARY else 1.0)
        failed = draw.random() < (errors if arm == CANARY else 0.01)
        guard.turn(arm, names[who], seconds, failed)
        if guard.breach():
            return number
    return 0


def test_a_canary_that_fails_goes_soon() -> None:
    """All of its turns fail, or a third: within a few hundred turns of all."""
    assert 0 < run(Guard(), 1000, errors=1.0) < 150
    assert 0 < run(Guard(), 2000, errors=0.33) < 700


def test_a_slow_canary_goes() -> None:
    """Three times as slow is noticed; as fast is not."""
    guard = Guard()
    assert 0 < run(guard, 2000, errors=0.01, slower=3.0) < 700
    assert "slow" in str(guard.breach())


def test_a_canary_as_good_stays() -> None:
    """Looked at after each of 700 turns, in 20 trials: at most one is taken back (5 %)."""
    taken = sum(bool(run(Guard(), 700, errors=0.01, seed=seed)) for seed in range(20))
    assert taken <= 1


def test_ratings_count() -> None:
    """Thumbs down for most of the canary's replies, up for most of the live version's."""
    guard = Guard()
    for number in range(40):
        guard.rating(LIVE, f"live {number}", up=True)
    assert guard.breach() is None
    for number in range(40):
        guard.rating(CANARY, f"new {number}", up=number % 5 == 0)
    assert str(guard.breach()).startswith(
        "rated down: 32 of 40 conversations of the canary (at least "
    )
    assert guard.status()[CANARY]["rated down"] == "32 of 40"


def test_slow_is_judged_by_the_live_median_so_far() -> None:
    """Nothing is slow before the live version's pace is known; old turns are forgotten."""
    guard = Guard()
    for _ in range(19):
        guard.turn(LIVE, "a", 0.1, failed=False)
    guard.turn(CANARY, "b", 9.0, failed=False)
    assert guard.median() is None and guard.counts[CANARY]["slow"].total == 0
    for _ in range(250):
        guard.turn(LIVE, "a", 1.0, failed=False)
    assert guard.median() == 1.0 and len(guard._ranked) == 200
    guard.turn(CANARY, "c", 2.1, failed=False)
    guard.turn(CANARY, "d", 1.9, failed=False)
    assert (guard.counts[CANARY]["slow"].count, guard.counts[CANARY]["slow"].total) == (1, 2)


def test_a_conversation_counts_once() -> None:
    """However often it happens in it, and from when it happens first."""
    guard = Guard()
    for failed in (False, True, True, False):
        guard.turn(CANARY, "a", 0.1, failed)
    guard.turn(CANARY, "b", 0.1, failed=False)
    assert guard.status()[CANARY]["failed"] == "1 of 2"


def test_one_bad_conversation_takes_no_canary_back() -> None:
    """Two hundred turns that fail in one conversation are one observation, not two hundred."""
    guard = Guard()
    for number in range(200):
        guard.turn(LIVE, f"live {number}", 0.1, failed=False)
        guard.turn(CANARY, "one", 0.1, failed=True)
    assert guard.breach() is None
