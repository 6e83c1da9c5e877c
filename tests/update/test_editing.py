"""A small update: learnt, also where it is asked otherwise, and nothing else changed."""

import pytest

from parlai_cu.update import editing
from parlai_cu.update.gate import FAIL, PASS, UNDECIDED
from parlai_cu.update.wording import Example


@pytest.mark.parametrize(
    "reply, label, said",
    [
        ("It costs $ 349 .", "It costs $349.", True),
        ("The Orbit is 349 dollars", "The price is 349 dollars.", True),
        ("It costs $399.", "It costs $349.", False),
        ("Yes, it is open on Sunday", "No, it is not open on Sunday", False),
        ("we close at five in the evening", "we close at five in the evening", True),
        ("we never close at five", "we close at five in the evening", False),
        ("", "It costs $349.", False),
    ],
)
def test_what_a_reply_says(reply: str, label: str, said: bool) -> None:
    """Its values count; without any, its words; and whether it denies."""
    assert editing.says(reply, Example("How is it?", label)) is said


def test_wordings_of_one_answer_are_held_out_in_turn() -> None:
    """Each that has another wording is held out once; what is asked in one way only never is."""
    asked = ["What does Orbit cost?", "Price of Orbit?", "Open today?", "How much is Orbit?"]
    answers = ["The Orbit is $3.", "It is $3 for the Orbit.", "Yes we are.", "Our Orbit: $3."]
    found = editing.folds([Example(q, a) for q, a in zip(asked, answers)])
    assert sorted(found[0] + found[1]) == [0, 1, 3] and all(found)
    # one question, however often; two answers with a question each
    assert editing.folds([Example("What?", "It is 3.")] * 4) == []
    assert editing.folds([Example("What?", "It is 3."), Example("Who?", "It is 4.")]) == []


@pytest.mark.parametrize(
    "question, expected",
    [
        ("What is the price?", "What's the price?"),
        ("what's the price", "What is the price"),
        ("I do not know.", "I don't know."),
        ("BMW or VW?", "Hi, BMW or VW?"),
        ("Where is it?", "Hi, where is it?"),
        ("", " Thanks."),
    ],
)
def test_the_same_question_otherwise(question: str, expected: str) -> None:
    """Short forms, and what people put around; never the question itself."""
    found = editing.otherwise(question)
    assert expected in found and question not in found and len(found) == len(set(found))


def test_neighbours_are_other_facts() -> None:
    """The nearest first; neither the corrected question nor the corrected fact in its old form."""
    corrected = [Example("What does the Orbit cost?", "The Orbit costs $349.")]
    old = [
        Example("Where are you?", "In Main Street."),
        Example("What does the Nimbus cost?", "The Nimbus costs $99."),
        Example("what does the Orbit cost", "The Orbit costs $399."),
        Example("How much is the Orbit?", "The Orbit costs $399."),
    ]
    assert editing.neighbours(corrected, old, 1) == [1]
    assert sorted(editing.neighbours(corrected, old, 9)) == [0, 1]
    assert editing.neighbours(corrected, [], 9) == editing.neighbours([], old, 0) == []


def test_reliability_is_counted() -> None:
    """Nine in ten; one correction has to be learnt."""
    assert editing.check_reliability([True] * 9 + [False]).result == PASS
    assert editing.check_reliability([True] * 8 + [False] * 2).result == FAIL
    assert editing.check_reliability([False]).result == FAIL
    assert editing.check_reliability([True]).result == PASS


def gains(*values: float) -> str:
    """Of the check of generality."""
    said = [(False, False)] * len(values)
    return editing.check_generality("generality", said, values, 0.02, 0.95).result


def test_generality_is_tested_by_correction() -> None:
    """Few have each to gain; of more the mean is tested; without any nothing is said."""
    assert gains(0.5) == gains(0.5, 0.1) == PASS
    assert gains(0.5, -0.1) == gains(0.01) == FAIL
    assert gains() == UNDECIDED
    assert gains(0.5, 0.6, 0.4, 0.5, -0.1, 0.6) == PASS
    assert gains(0.5, -0.6, 0.4, -0.5, 0.1, 0.2) == UNDECIDED
    assert gains(-0.5, -0.6, -0.4, -0.5, 0.0, -0.2) == FAIL


def test_neighbours_that_are_no_longer_right() -> None:
    """As many may go as chance makes of a tenth; what is won counts against what is lost."""

    def result(right: int, lost: int, won: int = 0) -> str:
        before = [True] * right + [False] * won
        after = [False] * lost + [True] * (right - lost + won)
        return editing.check_neighbours(before, after, 0.95).result

    assert [result(30, lost) for lost in (6, 7)] == [PASS, FAIL]
    assert [result(14, lost) for lost in (3, 4)] == [PASS, FAIL]
    assert [result(2, lost) for lost in (1, 2)] == [PASS, FAIL]
    assert result(14, 4, won=1) == result(0, 0, won=3) == PASS
