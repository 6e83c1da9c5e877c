"""What puts found facts in order: the protocol, and what is learnt."""

import importlib
from typing import Any

import pytest
import torch

from parlai_cu import plugin
from parlai_cu.knowledge.gates import abstaining
from parlai_cu.knowledge.rankers import word_pairs
from parlai_cu.types import Evidence, Turn


def fact(text: str, score: float, question: str = "", entity: str = "Oak Inn") -> Evidence:
    """A fact that was found."""
    return Evidence(text, text, score, "here", "1", entity=entity, question=question)


FOUND = [fact("Our prices are high.", 0.6), fact("It is loud at night.", 0.3)]


def made(name: str) -> Any:
    """A ranker of that name."""
    module, kind = plugin.RANKERS[name].split(":")
    return getattr(importlib.import_module(module), kind)()


@pytest.mark.parametrize("name", plugin.RANKERS)
def test_every_ranker_keeps_the_facts_and_at_first_the_order(name: str) -> None:
    """Nothing is lost, added or changed; before it has learnt, the search decides."""
    ranker = made(name)
    found: list[Evidence] = [*FOUND, fact("A bar.", 0.1)]
    assert ranker.rank(Turn("is it quiet?"), found) == found
    assert ranker.rank(Turn("is it quiet?"), []) == []
    assert ranker.rank(Turn(""), found) == found
    assert ranker.candidates >= 0
    assert ranker.chosen(Turn(""), []) == []
    assert ranker.chosen(Turn("is it quiet?"), found)[0] is found[0]


def test_word_pairs_learn_what_answers_what() -> None:
    """That a question with "quiet" is answered by "loud" is learnt, also for another entity."""
    torch.manual_seed(0)
    ranker = made("word_pairs")
    optimizer = torch.optim.Adam(ranker.parameters(), lr=0.03)
    for _ in range(30):
        loss = ranker.loss(ranker(Turn("is it quiet?"), FOUND), torch.tensor([0.0, 1.0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    others = [fact("Prices on request.", 0.6, entity="Elm"), fact("Loud.", 0.3, entity="Elm")]
    assert ranker.rank(Turn("would you call it quiet?"), others)[0] is others[1]


def test_facts_nearly_as_likely_are_chosen_as_well() -> None:
    """Scores .6, .5 and .1 with a trust of 5: shares 1, exp(-.5) and exp(-2.5)."""
    ranker, found = made("word_pairs"), [*FOUND[:1], fact("A bar.", 0.5), fact("Late.", 0.1)]
    shares = ranker.shares(Turn("is it quiet?"), found)
    assert shares == pytest.approx([1.0, 0.6065, 0.0821], abs=1e-3)
    assert ranker.chosen(Turn("is it quiet?"), found) == found[:2]
    ranker.share.fill_(0.7)
    assert ranker.chosen(Turn("is it quiet?"), found) == found[:1]


def test_the_share_of_the_best_f1() -> None:
    """By hand: at .4 three of four chosen are right and one is missed, F1 6 / 8."""
    judged = [([(1.0, True), (0.4, True), (0.3, False)], 2), ([(1.0, True), (0.5, False)], 2)]
    assert word_pairs.best_share(judged) == 0.4
    assert word_pairs.best_share([]) == 0.5


def test_the_loss_is_shared_by_all_right_facts() -> None:
    """Worked by hand: -(log .5 + log .25) / 2 for odds of 2 : 1 : 1 and the first two right."""
    logits = torch.tensor([2.0, 1.0, 1.0]).log()
    loss = word_pairs.WordPairs().loss(logits, torch.tensor([1.0, 1.0, 0.0]))
    assert loss.item() == pytest.approx(1.0397, abs=1e-4)


def test_names_of_what_is_asked_about_are_no_words_of_the_question() -> None:
    """What is learnt about one entity's name does not follow every fact of it."""
    turn = Turn("is the Oak Inn quiet?")
    assert word_pairs._pairs(turn, fact("Oak Inn is loud.", 0.5)).tolist() == (
        word_pairs._pairs(Turn("is it quiet?"), fact("It is loud.", 0.5)).tolist()
    )


@pytest.mark.parametrize("name", plugin.RANKERS)
@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("does the Oak Inn have a pool?", fact("Parking is free.", 0.4), False),
        ("does the Oak Inn have parking?", fact("Parking is free.", 0.4), True),
        ("is there a pool?", fact("Yes.", 0.4, question="Do you have a pool?"), True),
        ("tell me about the Oak Inn", fact("Parking is free.", 0.4), True),
    ],
)
def test_whether_a_fact_answers_at_all(
    name: str, text: str, found: Evidence, expected: bool
) -> None:
    """It says something of what is asked, beside the name."""
    assert made(name).answers(Turn(text), found) == expected


ROW = Evidence(
    "r4",
    "Lamp R4: price 49, weight 1 kg.",
    1.0,
    "kb",
    "1",
    entity="Lamp R4",
    fields={"price": "49", "weight": "1 kg"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how much is the lamp r4?", True),
        ("tell me about the lamp r4", True),
        # a neighbour, another property, something that is asked of it beside a property
        ("how much is the lamp r2?", False),
        ("how long is the warranty on the lamp r4?", False),
        ("how much is the shade of the lamp r4?", False),
        ("can I rent the lamp r4?", False),
    ],
)
def test_whether_a_row_answers(text: str, expected: bool) -> None:
    """A column of it is asked for, or all that there is; and of nothing else."""
    assert made("search").answers(Turn(text), ROW) == expected


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("how many dentists are there?", "Hannah Lowe is our dentist.", False),
        ("how many dentists are there?", "We are four dentists.", True),
        ("how many bikes can I rent at once?", "You may rent up to 6 bikes.", True),
        ("how much more is express than standard?", "Express delivery costs 9.95.", False),
        ("what is the difference between the fares?", "The cheap fare costs 5.", False),
        ("how much is express?", "Express delivery costs 9.95.", True),
    ],
)
def test_no_sentence_answers_what_has_to_be_counted_or_compared(
    text: str, told: str, expected: bool
) -> None:
    """However near it is."""
    near = Evidence("near", told, 0.9, "kb", "1", asked=text)
    assert made("search").answers(Turn(text), near) == expected


def test_rows_that_do_not_answer_are_passed_over() -> None:
    """But not where the next fact is about another thing than the turn names."""
    about = fact("The lamp R4 comes with a cable.", 0.4)
    other = fact("A cable costs 5.", 0.4)
    ranker = made("search")
    turn = Turn("is there a cable with the lamp r4?")
    assert abstaining.answering(turn, [ROW, about, other], ranker) == [about, other]
    assert abstaining.answering(turn, [ROW, other], ranker) == []


def test_what_was_learnt_to_go_together_answers() -> None:
    """Without a word in common."""
    ranker = made("word_pairs")
    loud = fact("Loud at night.", 0.1)
    assert not ranker.answers(Turn("is it quiet?"), loud)
    with torch.no_grad():
        ranker.weights.weight[word_pairs._pairs(Turn("is it quiet?"), loud)] = 0.1
    assert ranker.answers(Turn("is it quiet?"), loud)
