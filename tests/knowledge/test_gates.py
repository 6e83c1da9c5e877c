"""Gates: each on what it decides by; all on the same contract."""

import importlib
import math
from typing import Any

import pytest
import torch

from parlai_cu import plugin
from parlai_cu.knowledge.gates.calibration import (
    calibration_error,
    scale_for,
    scaled,
    threshold_for,
)
from parlai_cu.knowledge.gates.classifier import Classifier
from parlai_cu.knowledge.gates.score import Score
from parlai_cu.knowledge.gates.uncertainty import Uncertainty
from parlai_cu.types import Evidence, GateDecision, Turn


def evidence(score: float) -> Evidence:
    """A fact found with that score."""
    return Evidence("f", "a fact", score, "sqlite:///x.db", "s:1")


def make(name: str, threshold: float | None = None) -> Any:
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
    found: list[Any] = [[evidence(0.9)]] * 3 + [[evidence(0.1)]] * 3
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            gate(turns, found), torch.tensor([1.0, 1, 1, 0, 0, 0])
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
    judged: list[Any], precision: float, expected: float
) -> None:
    """The lowest that does; equal scores pass together or not at all."""
    assert threshold_for(judged, precision) == expected


def test_runs_of_letters_see_what_is_misspelt() -> None:
    """A word that was never seen counts by its parts."""
    gate, optimizer = learning("classifier", 0.05)
    for _ in range(30):
        step(gate, optimizer, [Turn("any parking"), Turn("a table")], [0.5, 0.5])
    assert gate.decide(Turn("paarking"), [evidence(0.5)], None).query
    assert not gate.decide(Turn("tabbles"), [evidence(0.5)], None).query


def learning(name: str, rate: float) -> Any:
    """A gate, and an optimizer of it."""
    torch.manual_seed(0)
    gate = make(name)
    return gate, torch.optim.Adam(gate.parameters(), lr=rate)


def step(gate: Any, optimizer: Any, turns: list[Turn], scores: list[float]) -> None:
    """One step; the first half of the turns needs knowledge."""
    logits = gate(turns, [[evidence(score)] for score in scores])
    wanted = torch.tensor([1.0] * (len(turns) // 2) + [0.0] * (len(turns) - len(turns) // 2))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def test_score_becomes_a_probability() -> None:
    """Needed from .6 on, not below: after training .6 is a coin's toss, and the threshold .5."""
    gate, optimizer = learning("score", 0.03)
    assert (gate.threshold, gate.decide(Turn("x"), [evidence(0.4)], None).score) == (0.3, 0.4)
    for _ in range(400):
        step(gate, optimizer, [Turn("x")] * 4, [0.7, 0.8, 0.5, 0.4])
    assert gate.threshold == 0.5
    assert gate.decide(Turn("x"), [evidence(0.6)], None).score == pytest.approx(0.5, abs=0.1)
    assert gate.decide(Turn("x"), [evidence(0.9)], None).score > 0.9
    again = make("score")
    again.load_state_dict(gate.state_dict())
    assert again.decide(Turn("x"), [evidence(0.9)], None).score > 0.9


def test_calibration_error_by_hand() -> None:
    """Two bins: (.95, .95, 1 right) and (.25, none right): (|1.9 - 1| + |.25 - 0|) / 3."""
    judged = [(0.95, True), (0.95, False), (0.25, False)]
    assert calibration_error(judged) == pytest.approx((0.9 + 0.25) / 3)
    assert calibration_error([]) == 0
    assert calibration_error([(1.0, True), (0.0, False)]) == 0


def test_scaling_makes_probabilities_true() -> None:
    """Sure at .95 but right in 3 of 4: the logit of .75 is what is left of it."""
    judged = [(0.95, True)] * 30 + [(0.95, False)] * 10 + [(0.05, False)] * 30
    judged += [(0.05, True)] * 10
    heat, shift = scale_for(judged)
    # nearly: the slope is penalised
    assert heat == pytest.approx(math.log(19) / math.log(3), rel=1e-2)
    assert shift == pytest.approx(0, abs=1e-3)
    assert scaled(0.95, heat, shift) == pytest.approx(0.75, abs=1e-2)
    calm = [(scaled(p, heat, shift), needed) for p, needed in judged]
    assert calibration_error(calm) < 0.01 < calibration_error(judged)
    assert scale_for(calm) == pytest.approx((1.0, 0.0), rel=2e-2, abs=1e-3)


def test_scaling_moves_a_gate_that_learnt_of_too_many_noes() -> None:
    """All are judged too low: what is needed is told apart at .4 before, at .5 afterwards."""
    judged = [(0.45, True)] * 20 + [(0.35, False)] * 20 + [(0.35, True), (0.45, False)]
    heat, shift = scale_for(judged)
    assert scaled(0.41, heat, shift) > 0.5 > scaled(0.39, heat, shift)


def test_one_example_hardly_moves_the_boundary() -> None:
    """Where all are told apart: it stays between the many, not between one and the rest."""
    apart = [(0.8, True)] * 50 + [(0.2, False)] * 50
    heat, shift = scale_for([*apart, (0.25, True)])
    assert scaled(0.4, heat, shift) < 0.5 < scaled(0.5, heat, shift)


def test_a_boundary_that_examples_do_not_tell_stays() -> None:
    """All far above it: only how sure they are is learnt."""
    judged = [(0.9, True)] * 30 + [(0.7, False)] * 30 + [(0.3, False)] * 30
    heat, shift = scale_for(judged, shifts=False)
    assert shift == 0 and heat > 1
    assert scale_for(judged)[1] < -1


def test_too_little_to_calibrate_by() -> None:
    """A few examples, or of one kind only: nothing is changed."""
    assert scale_for([(0.9, True)] * 5) == (1.0, 0.0)
    assert scale_for([(0.9, True)] * 50) == (1.0, 0.0)


def test_a_word_is_known_by_where_it_stands() -> None:
    """Never heard in training: one that facts have is taken for one that facts have."""
    facts = ["the noise is terrible", "a lovely view", "stale bread", "a spotty mirror"]
    said = ["book a table", "the train leaves", "a cheap place", "in the north"]
    gate, optimizer = learning("classifier", 0.05)
    gate.count_facts(facts * 20)
    gate.count_said(said * 20)
    for _ in range(60):
        turns = [Turn("noise"), Turn("view"), Turn("table"), Turn("train")]
        step(gate, optimizer, turns, [0.5] * 4)
    needs = gate.decide(Turn("mirror"), [evidence(0.5)], None)
    other = gate.decide(Turn("cheap"), [evidence(0.5)], None)
    assert needs.score > 0.53 > other.score
    again = make("classifier")
    again.load_state_dict(gate.state_dict())
    assert again.decide(Turn("mirror"), [evidence(0.5)], None).score == needs.score


def test_the_hinge_lets_be_what_is_sure() -> None:
    """By hand: margins 2, .5 and -1 of right, right and wrong: (0 + .25 + 4) / 3."""
    found = Classifier().loss(torch.tensor([2.0, -0.5, -1.0]), torch.tensor([1.0, 0.0, 1.0]))
    assert found == pytest.approx((0 + 0.25 + 4) / 3)


def test_a_column_of_a_named_thing_is_sure() -> None:
    """However few of the question's words stand in the row."""
    row = Evidence(
        "o", "Oak: price 9.", 0.1, "s", "1", entity="Oak", fields={"price": "9"}, question=""
    )
    assert Score().decide(Turn("now what is the price of Oak nowadays?"), [row], None).query
    assert not Score().decide(Turn("I love Oak"), [row], None).query
