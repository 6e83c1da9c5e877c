"""Two models on the same conversations: the interval of their difference."""

import numpy as np
import pytest

from parlai_cu.retention.paired import Sums, both_measured, paired_difference


def sums(values: object) -> Sums:
    """Each example counts alike."""
    total = np.asarray(values, dtype=float)
    return Sums(total, np.ones_like(total))


def test_a_constant_gain_has_no_uncertainty() -> None:
    """Each example better by .1: the interval is a point, though the examples vary widely."""
    base = np.random.default_rng(0).random(200)
    found = paired_difference(sums(base), sums(base + 0.1))
    assert found.difference == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)
    assert found.is_significant


def test_noise_is_not_a_difference() -> None:
    """Two models that differ by chance: the interval holds zero about as often as it says."""
    rng = np.random.default_rng(1)
    held = 0
    for i in range(100):
        one, other = rng.normal(size=(2, 100))
        held += not paired_difference(sums(one), sums(other), resamples=400, seed=i).is_significant
    assert 88 <= held <= 100


def test_the_interval_is_that_of_the_normal_distribution() -> None:
    """For a mean of many it is 1.96 standard errors to either side."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=2000)
    candidate = base + rng.normal(0.05, 1.0, size=2000)
    found = paired_difference(sums(base), sums(candidate), resamples=4000)
    half = 1.96 * np.std(candidate - base) / np.sqrt(2000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)


def test_perplexity_is_of_all_tokens() -> None:
    """exp(sum of losses / sum of tokens), not a mean of examples."""
    base = Sums(np.array([2.0, 30.0]), np.array([1.0, 10.0]))
    candidate = Sums(np.array([1.0, 10.0]), np.array([1.0, 10.0]))
    found = paired_difference(base, candidate, exponential=True)
    assert found.base == pytest.approx(np.exp(32 / 11))
    assert found.candidate == pytest.approx(np.e)
    assert found.difference == pytest.approx(np.e - np.exp(32 / 11))


def conversations(count: int, turns: int, correlation: float, seed: int) -> Sums:
    """Differences around zero, alike within a conversation."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(size=count), turns) * np.sqrt(correlation)
    own = rng.normal(size=count * turns) * np.sqrt(1 - correlation)
    ids = np.repeat(np.arange(count), turns)
    return Sums(shared + own, np.ones(count * turns), ids)


@pytest.mark.parametrize("correlation", [0.1, 0.5])
def test_turns_of_a_conversation_are_no_evidence_of_their_own(correlation: float) -> None:
    """A one-sided bound of 95 % misses about 5 % of the time; turn by turn it misses far more."""
    missed = {"conversation": 0, "turn": 0}
    for seed in range(100):
        change = conversations(30, 8, correlation, seed)
        zero = Sums(np.zeros(len(change.total)), change.count, change.conversation)
        for unit in missed:
            if unit == "turn":
                zero.conversation = change.conversation = None
            found = paired_difference(zero, change, level=0.9, resamples=200)
            missed[unit] += found.high < 0
    assert missed["conversation"] <= 10
    assert missed["turn"] > missed["conversation"]


def test_the_names_and_order_of_conversations_do_not_matter() -> None:
    """Texts or numbers, one after the other or mixed: the same interval."""
    change = conversations(12, 5, 0.3, 0)
    zero = Sums(np.zeros(60), change.count, change.conversation)
    found = paired_difference(zero, change)
    assert found.conversations == 12
    mixed = np.random.default_rng(0).permutation(60)
    other = paired_difference(zero.of(mixed), change.of(mixed))
    names = np.array([f"{i:02d}" for i in change.conversation])  # type: ignore[union-attr]
    named = paired_difference(
        Sums(zero.total, zero.count, names), Sums(change.total, change.count, names)
    )
    for again in (other, named):
        assert (again.low, again.high) == pytest.approx((found.low, found.high))


def test_no_change_in_a_few_examples_is_no_proof() -> None:
    """A share: 0 of 20 worse leaves room for 14 % (1 - .05 ** (1/20)); 0 of 200 for 1.5 %."""
    for count, room in ((20, 0.139), (200, 0.0149)):
        right = sums(np.ones(count))
        found = paired_difference(right, right, level=0.9)
        assert found.low == pytest.approx(-room, rel=0.01)


def test_one_conversation_tells_nothing() -> None:
    """However many turns it has."""
    one = conversations(1, 50, 0.0, 0)
    found = paired_difference(Sums(np.zeros(50), one.count, one.conversation), one)
    assert (found.low, found.high) == (-np.inf, np.inf) and not found.is_significant


def test_other_examples_cannot_be_paired() -> None:
    """Both numbers are named."""
    with pytest.raises(ValueError, match="2 examples of the base and 3 of the candidate"):
        paired_difference(sums([1, 2]), sums([1, 2, 3]))
    with pytest.raises(ValueError, match="at least one"):
        paired_difference(sums([]), sums([]))


def test_examples_without_the_metric_are_left_out() -> None:
    """Only what both models were measured on is paired."""
    ids = np.array(["a", "b", "b"])
    one = Sums(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0]), ids)
    other = Sums(np.array([0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0]), ids)
    base, candidate = both_measured(one, other)
    assert base.total.tolist() == [1.0] and candidate.total.tolist() == [0.0]
    assert base.conversation is not None and base.conversation.tolist() == ["a"]
