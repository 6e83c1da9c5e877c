"""The verdict by slice: what breaks is named, what is honest passes."""

import numpy as np
import pytest

from parlai_cu.retention.paired import Sums
from parlai_cu.update.gate import FAIL, PASS, UNDECIDED, GateLimits
from parlai_cu.update.slices import REST, check_slices, slice_results, slices_of

TURNS = 5


def losses(sizes: dict[str, int], lost: dict[str, float], seed: int) -> tuple[list, Sums, Sums]:
    """Conversations of each slice, and by how much the candidate is worse on it."""
    rng = np.random.default_rng(seed)
    names = [name for name, count in sizes.items() for _ in range(count * TURNS)]
    ids = np.repeat(np.arange(sum(sizes.values())), TURNS)
    base = rng.gamma(2.0, 1.0, len(names))
    change = np.repeat(rng.normal(0, 0.05, len(names) // TURNS), TURNS)
    change += rng.normal([lost.get(name, 0.0) for name in names], 0.1)
    ones = np.ones(len(names))
    return names, Sums(base, ones, ids), Sums(base + change, ones, ids)


SIZES = {f"intent {i}": 15 for i in range(10)}


def test_a_slice_that_breaks_is_named() -> None:
    """In at least 19 of 20 runs, and no other with it."""
    named = 0
    for seed in range(20):
        names, base, candidate = losses(SIZES, {"intent 3": 0.6}, seed)
        found = slice_results(names, base, candidate, 0.15, 0.95)
        broken = [one for one in found if one.result == FAIL]
        named += [one.name for one in broken] == ["intent 3"]
        for one in broken:
            assert all(names[i] == one.name for i in one.worst) and len(one.worst) == 3
    assert named >= 19


@pytest.mark.parametrize("sizes", [SIZES, {f"s{i}": 3 + i for i in range(12)}])
def test_an_honest_update_passes_everywhere(sizes: dict[str, int]) -> None:
    """It loses nothing: of 20 runs at most two are held up by any slice (5 % is stated)."""
    held = 0
    for seed in range(20):
        found = slice_results(*losses(sizes, {}, seed), 0.15, 0.95)
        held += any(one.result != PASS for one in found)
    assert held <= 2


def test_small_slices_are_tested_together() -> None:
    """A slice of three conversations says little; all small ones that break say enough."""
    sizes = {**SIZES, "rare a": 4, "rare b": 4, "rare c": 4}
    names, base, candidate = losses(sizes, {}, 0)
    assert REST in [one.name for one in slice_results(names, base, candidate, 0.15, 0.95)]
    names, base, candidate = losses(sizes, {f"rare {n}": 1.0 for n in "abc"}, 0)
    found = {one.name: one.result for one in slice_results(names, base, candidate, 0.15, 0.95)}
    assert found[REST] == FAIL and set(found.values()) == {FAIL, PASS}


def test_between_the_two_it_is_open() -> None:
    """A slice near the limit neither passes nor fails."""
    names, base, candidate = losses({"a": 30, "b": 30}, {"a": 0.15}, 1)
    assert slice_results(names, base, candidate, 0.15, 0.95)[0].result == UNDECIDED


def test_slices_are_the_tasks_own_or_clusters() -> None:
    """The task's field where it has one; else questions that are alike."""
    ids = np.arange(120)
    assert slices_of(["x", "y"] * 60, ["hello"] * 120, ids) == ["x", "y"] * 60
    questions = ["my invoice is wrong"] * 60 + ["the train leaves when"] * 60
    found = slices_of([""] * 120, questions, ids)
    assert len(set(found[:60])) >= 1 and not set(found[:60]) & set(found[60:])
    assert "invoice" in found[0]
    # one value says nothing, and few conversations make no clusters
    assert set(slices_of(["x"] * 20, questions[:20], ids[:20])) == {""}
    assert set(slices_of([""] * 120, ["?"] * 120, ids)) == {""}


@pytest.mark.parametrize("metric, sign", [("ppl", 1.0), ("quality", -1.0)])
def test_the_gates_check(metric: str, sign: float) -> None:
    """Fine on average, one intent destroyed: refused, and named with what was asked there."""
    names, base, candidate = losses(SIZES, {"intent 3": 1.0}, 0)
    for one in (base, candidate):
        one.total = sign * one.total
    texts = [f"question {i} of {name}" for i, name in enumerate(names)]
    found = check_slices("old", metric, 0.05, names, texts, base, candidate, GateLimits())
    assert found is not None and (found.kind, found.result) == ("retained", "fail")
    assert "intent 3 is broken: 15 conversations" in found.reason
    assert found.reason.count(" of intent 3'") == 3
    same = check_slices("old", metric, 0.05, names, texts, base, base, GateLimits())
    assert same is not None and same.result == "pass" and "10 slices" in same.reason
    assert (
        check_slices("old", metric, 0.05, [""] * len(names), texts, base, base, GateLimits())
        is None
    )
