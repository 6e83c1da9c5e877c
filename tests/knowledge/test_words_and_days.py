"""What people say for what a knowledge base has: synonyms, wrong spelling, days."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlai_cu.errors import DataError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.dates import with_dates
from parlai_cu.knowledge.synonyms import InOtherWords, Synonyms, read_synonyms
from parlai_cu.types import Fact, Turn
from tests.knowledge.test_sqlite import HOSTILE

pytest.importorskip("rapidfuzz")

from parlai_cu.knowledge.spelling import Spelling  # noqa: E402

# -- days ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("tomorrow", "2019-03-02"),
        ("the day after tomorrow", "2019-03-03"),
        ("tonight", "2019-03-01"),
        ("the 7th of this month", "2019-03-07"),
        ("the 1st of next month", "2019-04-01"),
        ("the 1st", "2019-03-01"),
        ("the 31st", "2019-03-31"),
        ("this friday", "2019-03-01"),
        ("Next Friday", "2019-03-08"),
        ("monday", "2019-03-04"),
        ("in two weeks", "2019-03-15"),
        ("in 3 days", "2019-03-04"),
    ],
)
def test_days_have_their_date(said: str, day: str) -> None:
    """After the words that name them; it is a Friday."""
    assert with_dates(f"from {said}, please", date(2019, 3, 1)) == f"from {said} {day}, please"


@pytest.mark.parametrize(
    "said", ["the 2nd floor", "the 7th of march", "in many days", "mondays", "the 99th", ""]
)
def test_other_words_stay(said: str) -> None:
    """A floor is no day, and a date in full needs nothing."""
    assert with_dates(said, date(2019, 3, 1)) == said


def test_months_end() -> None:
    """The 31st in a month of 30 days is that of the next one; after December comes January."""
    assert with_dates("on the 31st", date(2019, 4, 2)).endswith("2019-05-31")
    assert with_dates("on the 2nd", date(2019, 12, 3)).endswith("2020-01-02")
    assert with_dates("the 30th of this month", date(2019, 2, 1)) == "the 30th of this month"


# -- spelling --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("chinise", "chinese"),
        ("chnese", "chinese"),
        ("cihnise", None),  # two letters of seven
        ("chniese", "chinese"),
        ("mediteranean", "mediterranean"),
        ("mediteranaen", "mediterranean"),
        ("curry gardn", "curry garden"),
        ("thia", None),  # too short
        ("place", None),  # a word of its own
        ("garden", None),  # part of a name, and right
        ("jello", None),  # as near to two
        ("xhinese", None),  # begins otherwise
        ("the total", None),  # two letters of a short word
        ("a trip", None),
        ("currygarden", "curry garden"),
    ],
)
def test_spelling(said: str, meant: Any) -> None:
    """What is near enough, and to one name only."""
    names = ["chinese", "mediterranean", "thai", "palace", "curry garden", "jelly", "jells"]
    names += ["the oval", "a trio"]
    assert Spelling(names, ["place"]).meant(said) == meant


# -- synonyms --------------------------------------------------------------------------------

MEANT = {"cheap": "inexpensive", "not cheap": "expensive", "wi-fi": "internet"}


@pytest.mark.parametrize(
    ("said", "expanded"),
    [
        ("a Cheap one", "a inexpensive one"),
        ("not cheap at all", "expensive at all"),
        ("with wi fi?", "with internet?"),
        ("cheaper", "cheaper"),
        ("", ""),
    ],
)
def test_what_is_meant_stands_for_what_is_said(said: str, expanded: str) -> None:
    """Whole words, without case and marks, the longest first."""
    assert Synonyms(MEANT).in_its_words(said) == expanded


@given(said=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4))
def test_any_words_can_be_synonyms(said: dict[str, str]) -> None:
    """None of them is a pattern."""
    for text in (*HOSTILE[:10], " ".join(said)):
        assert isinstance(Synonyms(said).in_its_words(text), str)


def test_any_knowledge_base_is_asked_in_other_words(tmp_path: Path) -> None:
    """And is itself in all else."""
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    base.add([Fact("The internet is free.", id="net")])
    (tmp_path / "synonyms.csv").write_text("said,meant\nwi-fi,internet\n")
    other: Any = InOtherWords(base, read_synonyms(str(tmp_path / "synonyms.csv")))
    assert base.query(Turn("is there wi-fi?")) == []
    assert [found.id for found in other.query(Turn("is there wi-fi?"))] == ["net"]
    assert other.name == base.name and other.snapshot_id() == base.snapshot_id()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n", ":1: expected said,meant, found"),
        ("said,meant\ncheap\n", ":2: expected what is said and what is meant"),
        ("said,meant\n?,x\n", ":2: expected what is said"),
        ("said,meant\na,b\na,c\n", ":3: 'a' is twice"),
        ('said,meant\n"a,b\n', "unexpected end of data"),
    ],
)
def test_a_file_that_is_wrong(content: str, message: str, tmp_path: Path) -> None:
    """Is named with its line."""
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(DataError, match=f"--kb-synonyms .*s.csv.*{message}"):
        read_synonyms(str(tmp_path / "s.csv"))
    with pytest.raises(DataError, match="No such file"):
        read_synonyms(str(tmp_path / "none.csv"))
