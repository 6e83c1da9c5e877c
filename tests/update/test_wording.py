"""What answers say, how they say it, and where they contradict."""

import pytest

from parlai_cu.update.wording import (
    Example,
    Wording,
    contradict,
    contradictions,
    stated_values,
    values,
)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The Orbit 5 costs $ 1 . 50 a month.", {"orbit", "5", "1.50"}),
        ("Sure. The shop opens at 9:30.", {"9:30"}),
        ("Then I can help.", set()),
        ("it comes in gold", set()),
    ],
)
def test_values_are_numbers_and_names(text: str, expected: set) -> None:
    """Tokenised numbers are one; words that begin a sentence are no names."""
    assert values(text) == expected


def test_what_was_asked_is_not_told() -> None:
    """A name in the question is no information in the answer."""
    example = Example("What does Flex 10 cost?", "You pay 25 dollars for Flex 10.")
    assert stated_values(example) == {"25"}


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("It costs 10 dollars.", "It costs 12 dollars.", True),
        ("It costs 10 dollars.", "That would be 10 dollars a month.", False),
        ("It is 10 dollars.", "It is 10 dollars for 5 lines.", False),
        ("Yes, it does.", "No, it does not.", True),
        ("My pleasure.", "Glad to help.", False),
    ],
)
def test_only_other_content_contradicts(one: str, other: str, expected: bool) -> None:
    """Other words for the same are no contradiction; another value is, and yes against no."""
    assert contradict(Example("q", one), Example("q", other)) is expected


def test_contradictions_are_found_by_context() -> None:
    """One pair a context, however it is spelt; another history is another context."""
    corpus = [
        Example("What does it cost?", "It is 10 dollars."),
        Example("what does it  cost", "It is 12 dollars."),
        Example("What does it cost?", "It is 14 dollars.", history=("The big one.", "Yes?")),
    ]
    found = contradictions(corpus, corpus)
    assert [(one.label, other.label) for one, other in found] == [
        ("It is 10 dollars.", "It is 12 dollars.")
    ]


def test_known_wording_ignores_values() -> None:
    """A known sentence with another number is known; another sentence is not."""
    wording = Wording(["It costs 10 dollars a month."])
    assert wording.known(["It costs 99 dollars a month."]) == 1.0
    assert wording.known(["hey, ten bucks and you're in"]) == 0.0
