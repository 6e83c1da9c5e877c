"""A row tells only what was asked for."""

import pytest

from parlai_cu.knowledge.answer_fields import asked_columns, is_asked_for, narrowed
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.types import Evidence, Turn

FIELDS = {
    "price_range": "cheap",
    "phone_number": "01223 351000",
    "number_of_stars": "4",
    "address": "1 Mill Road",
    "opens": "10 am",
    "internet": "yes",
}
ROW = Evidence("1", row_sentence(FIELDS, "Oak Inn"), 0.9, "s", "1", entity="Oak Inn", fields=FIELDS)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("what is the phone number of the Oak Inn?", ["phone_number"]),
        ("and its phone?", ["phone_number"]),
        ("how many stars does it have?", ["number_of_stars"]),
        ("How much is the Oak Inn?", ["price_range"]),
        ("how much may I eat there?", []),
        ("where is it?", ["address"]),
        ("when does the Oak Inn open?", ["opens"]),
        ("do they have internet?", ["internet"]),
        ("I want the address and the phone number.", ["phone_number", "address"]),
        ("something in a cheap price range", []),
        ("tell me about the Oak Inn", []),
        ("", []),
    ],
)
def test_columns_that_are_asked_for(text: str, columns: list[str]) -> None:
    """By their names or as people ask; a value that is said is no question."""
    assert asked_columns(text, ROW) == columns


def test_only_these_are_told() -> None:
    """The rest of the fact, its provenance above all, stays."""
    found = narrowed(Turn("what is its phone number?"), ROW)
    assert found.text == "Oak Inn: phone number 01223 351000."
    assert (found.id, found.score, found.fields) == (ROW.id, ROW.score, ROW.fields)
    assert narrowed(Turn("what is it like?"), ROW) is ROW


def test_a_sentence_is_told_whole() -> None:
    """Also where it comes with columns: nobody wrote it from them."""
    fact = Evidence("1", "Call us any time.", 0.9, "s", "1", fields={"phone": "5"})
    assert narrowed(Turn("what is the phone?"), fact) is fact


def test_a_column_of_a_thing_that_is_named() -> None:
    """Named now or just before; without a name, or a column, nobody asked for the row."""
    assert is_asked_for(Turn("what is the phone number of the oak inn?"), ROW)
    assert is_asked_for(Turn("and its phone?", ("I like the Oak Inn.", "Good choice.")), ROW)
    assert not is_asked_for(Turn("what is your phone number?"), ROW)
    assert not is_asked_for(Turn("I will stay at the Oak Inn."), ROW)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("would the Oak Inn suit a family of night owls?", True),
        ("Good. Tell me something about the Oak Inn", True),
        ("would the inn suit a family of night owls?", False),
        ("The Oak Inn was lovely!", False),
    ],
)
def test_a_thing_that_a_question_names(text: str, asked: bool) -> None:
    """Its row is meant though no column is named, and few of the words are in it."""
    assert is_asked_for(Turn(text), ROW) == asked
