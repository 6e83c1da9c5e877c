"""Stratified samples: each stratum has its share, the same each time."""

import collections

import pytest

from parlai_cu.retention.sampling import stratified_sample


def test_shares_are_proportional() -> None:
    """70, 20 and 10 percent of the items are so of the sample."""
    strata = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    chosen = stratified_sample(strata, 10, seed=1)
    assert collections.Counter(strata[i] for i in chosen) == {"a": 7, "b": 2, "c": 1}


def test_small_strata_are_not_left_out() -> None:
    """With room for it, a class of few examples is there."""
    strata = ["common"] * 96 + ["rare"] * 4
    assert {strata[i] for i in stratified_sample(strata, 20, seed=1)} == {"common", "rare"}


def test_the_same_seed_the_same_sample() -> None:
    """And another seed another one, without an item twice."""
    strata = [i % 3 for i in range(60)]
    one = stratified_sample(strata, 12, seed=1)
    assert one == stratified_sample(strata, 12, seed=1) != stratified_sample(strata, 12, seed=2)
    assert len(set(one)) == 12 and one == sorted(one)


@pytest.mark.parametrize("size", [1, 5, 17, 1000])
def test_size_counts_weights(size: int) -> None:
    """Items that count three each fill the sample three times as fast; one is always taken."""
    chosen = stratified_sample([0] * 30, size, seed=1, weights=[3] * 30)
    assert len(chosen) == max(1, min(30, size // 3))


def test_nothing() -> None:
    """No items, no sample."""
    assert stratified_sample([], 5, seed=1) == []
