"""The R matrix and its measures, paired differences: numbers worked by hand."""

import numpy as np
import pytest

from parlai_cu.retention.metrics import (
    Sums,
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
    paired_difference,
)

# rows: after task 1, 2, 3; columns: tasks
R = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.5, 0.8, 0.6]])


def test_by_hand() -> None:
    """ACC (.5+.8+.6)/3; BWT ((.5-.9)+(.8-.7))/2; forgetting ((.9-.5)+(.7-.8))/2."""
    assert average_accuracy(R) == pytest.approx(1.9 / 3)
    assert backward_transfer(R) == pytest.approx(-0.15)
    assert forgetting(R) == pytest.approx(0.15)
    # FWT: ((.2 - .1) + (.3 - .1)) / 2
    assert forward_transfer(R, np.full(3, 0.1)) == pytest.approx(0.15)


def test_forgetting_is_from_the_best_ever() -> None:
    """A task that got better later, then worse, is forgotten from its best."""
    r = np.array([[0.5, 0.0, 0.0], [0.9, 0.5, 0.0], [0.6, 0.5, 0.5]])
    assert forgetting(r) == pytest.approx(0.15)
    assert backward_transfer(r) == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (0, 0), (3,)])
def test_wrong_shapes(shape: tuple) -> None:
    """The shape found is named."""
    with pytest.raises(ValueError, match="expected .*scores"):
        backward_transfer(np.zeros(shape))


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
    assert found.high < 0


def test_other_examples_cannot_be_paired() -> None:
    """Both numbers are named."""
    with pytest.raises(ValueError, match="2 examples of the base and 3 of the candidate"):
        paired_difference(sums([1, 2]), sums([1, 2, 3]))
    with pytest.raises(ValueError, match="at least one"):
        paired_difference(sums([]), sums([]))
