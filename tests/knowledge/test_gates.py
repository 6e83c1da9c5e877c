"""Gates: each on what it decides by; all on the same contract."""

import importlib
import math
from typing import Any, List, Optional

import pytest
import torch

from parlai_cu import plugin
from parlai_cu.knowledge.gates.classifier import Classifier, threshold_for
from parlai_cu.knowledge.gates.score import Score
from parlai_cu.knowledge.gates.uncertainty import Uncertainty
from parlai_cu.types import Evidence, GateDecision, Turn


def evidence(score: float) -> Evidence:
    """A fact found with that score."""
    return Evidence("f", "a fact", score, "sqlite:///x.db", "s:1")


def make(name: str, threshold: Optional[float] = None) -> Any:
    """A gate by its name."""
    module, kind = plugin.GATES[name].split(":")
    return getattr(importlib.import_module(module), kind)(threshold)


@pytest.mark.parametrize("name", plugin.GATES)
def test_without_facts_the_answer_is_no(name: str) -> None:
    """Whatever the gate, and its score is a share."""
    decision = make(name).decide(Turn("what is it?"), [], 3.0)
    assert isinstance(decision, GateDecision) and not decision.query
    assert 0 <= decision.score <= 1 and decision.gate == name


@pytest.mark.parametrize("name", plugin.GATES)
def test_thresholds_bound_all_but_the_constant_ones(name: str) -> None:
    """At 0 every found fact is used, above 1 none."""
    if name in ("always", "never"):
        decision = make(name).decide(Turn("x"), [evidence(0.5)], 1.0)
        assert decision.query == (name == "always")
        return
    assert make(name, 0.0).decide(Turn("x"), [evidence(0.5)], 1.0).query
    assert not make(name, 1.1).decide(Turn("x"), [evidence(0.5)], 1.0).query


def test_score_goes_by_the_best_fact() -> None:
    """From the threshold on."""
    gate = Score(0.4)
    assert gate.decide(Turn("x"), [evidence(0.4), evidence(0.1)], None).query
    assert not gate.decide(Turn("x"), [evidence(0.39)], None).query


def test_uncertainty_goes_by_the_entropy() -> None:
    """ln 2 is a half: a coin thrown at every token."""
    decision = Uncertainty().decide(Turn("x"), [evidence(0.1)], math.log(2))
    assert decision.score == pytest.approx(0.5) and decision.query
    assert not Uncertainty().decide(Turn("x"), [evidence(0.1)], 0.6).query


def test_the_classifier_learns_from_words_and_match() -> None:
    """It tells questions for facts from the rest by words it saw, and by the match."""
    torch.manual_seed(0)
    needed = ["do they have free parking", "is there wifi in the rooms", "are pets allowed"]
    others = ["book a table for two", "that is all thank you", "i need a train to ely"]
    gate = Classifier()
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.05)
    turns = [Turn(text) for text in needed + others]
    found: List[Any] = [[evidence(0.9)]] * 3 + [[evidence(0.1)]] * 3
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(
            gate(turns, found), torch.tensor([1, 1, 1, 0, 0, 0])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gate.decide(Turn("is there parking"), [evidence(0.9)], None).query
    assert not gate.decide(Turn("book a train"), [evidence(0.1)], None).query
    sure = gate.decide(Turn("what of it"), [evidence(0.95)], None).score
    unsure = gate.decide(Turn("what of it"), [evidence(0.1)], None).score
    assert sure > unsure


def test_an_untrained_classifier_is_undecided() -> None:
    """One half, whatever is asked."""
    assert Classifier().decide(Turn("what?"), [evidence(0.7)], None).score == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("judged", "precision", "expected"),
    [
        ([(0.9, True), (0.8, True), (0.7, False), (0.6, True)], 1.0, 0.8),
        ([(0.9, True), (0.8, True), (0.7, False), (0.6, True)], 0.75, 0.6),
        ([(0.9, False), (0.8, True)], 0.9, 1.0),
        ([(0.5, True), (0.5, False), (0.9, True)], 1.0, 0.9),
        ([], 0.9, 1.0),
    ],
)
def test_the_threshold_gives_the_wanted_precision(
    judged: List[Any], precision: float, expected: float
) -> None:
    """The lowest that does; equal scores pass together or not at all."""
    assert threshold_for(judged, precision) == expected
