"""Tables that exist: what is understood, what is carried over, what never happens to them."""

import sqlite3
from datetime import date, datetime
from pathlib import Path

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.knowledge.synonyms import InOtherWords, Synonyms
from parlai_cu.types import Turn
from tests.knowledge.test_sqlite import HOSTILE

pytest.importorskip("sqlalchemy")

from parlai_cu.knowledge.backends.structured import StructuredDatabase  # noqa: E402

SCRIPT = """
CREATE TABLE restaurants (
    id INTEGER PRIMARY KEY, name TEXT, area TEXT, food TEXT, price INTEGER, phone_number TEXT,
    has_live_music TEXT
);
INSERT INTO restaurants VALUES
    (1, 'Curry Garden', 'centre', 'indian', 20, '01223 302330', 'True'),
    (2, 'The Nile', 'north', 'african', 35, '01223 555', 'False'),
    (3, 'Taj Mahal', 'north', 'indian', 12, '01223 777', 'False'),
    (4, 'Saigon', 'north', 'vietnamese', 15, NULL, 'True');
CREATE TABLE hotels (name TEXT, area TEXT, stars INTEGER, parking TEXT);
INSERT INTO hotels VALUES
    ('Blue Harbour', 'centre', 4, 'yes'), ('Red Lion', 'north', 3, 'no'),
    ('Old Mill', 'north', 4, 'yes');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of a town."""
    db = sqlite3.connect(tmp_path / "town.db")
    db.executescript(SCRIPT)
    db.close()
    return tmp_path / "town.db"


@pytest.fixture
def town(path: Path) -> StructuredDatabase:
    """The same, open."""
    return StructuredDatabase(f"sql+sqlite:///{path}")


def best(town: StructuredDatabase, text: str, *history: str) -> str:
    """What the best row is about."""
    found = town.query(Turn(text, history))
    return found[0].entity if found else ""


def names(town: StructuredDatabase, text: str, *history: str) -> list[str]:
    """What the rows are about that meet all."""
    return [f.entity for f in town.query(Turn(text, history)) if f.score == 1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("an indian restaurant in the north please", ["Taj Mahal"]),
        ("somewhere in the north for under 20 pounds", ["Taj Mahal", "Saigon"]),
        ("a restaurant with live music in the north", ["Saigon"]),
        ("an indian place without live music", ["Taj Mahal"]),
        ("food in the north that costs at least 30", ["The Nile"]),
        ("a 4 star hotel in the north", ["Old Mill"]),
        ("a hotel with parking in the centre", ["Blue Harbour"]),
        ("a hotel in the north with no parking", ["Red Lion"]),
        ("tell me about the nile", ["The Nile"]),
    ],
)
def test_what_is_mentioned_is_asked_for(
    text: str, expected: list[str], town: StructuredDatabase
) -> None:
    """Values, bounds, numbers with a word, properties and their absence; and which table."""
    assert names(town, text) == expected


def test_the_whole_conversation_counts(town: StructuredDatabase) -> None:
    """Constraints are gathered, replaced by later ones, and dropped when they do not matter."""
    said = ("I want indian food.", "In which area?")
    assert names(town, "in the north", *said) == ["Taj Mahal"]
    later = (*said, "in the north", "The Taj Mahal serves Indian food.")
    assert names(town, "what about african food?", *said, "in the north", "Ok.") == ["The Nile"]
    assert best(town, "and its phone number?", *later) == "Taj Mahal"
    assert set(names(town, "any area is fine", *said, "in the north", "Ok.")) == {
        "Curry Garden",
        "Taj Mahal",
    }


def test_roles_dates_and_times(tmp_path: Path) -> None:
    """From and to tell two columns apart; dates and times are known as people say them."""
    db = sqlite3.connect(tmp_path / "buses.db")
    db.executescript(
        "CREATE TABLE buses (id INTEGER PRIMARY KEY, origin TEXT, destination TEXT, day TEXT, "
        "leaves TEXT); INSERT INTO buses VALUES (1, 'Ely', 'York', '2019-03-03', '13:30'), "
        "(2, 'York', 'Ely', '2019-03-03', '13:30'), (3, 'Ely', 'York', '2019-03-12', '09:00')"
    )
    db.close()
    town = StructuredDatabase(f"sql+sqlite:///{tmp_path / 'buses.db'}")

    def rows(text: str) -> list[str]:
        return [found.id for found in town.query(Turn(text)) if found.score == 1.0]

    assert rows("a bus from Ely to York on March 3rd") == ["buses:1"]
    assert rows("to Ely from York at 1:30 pm") == ["buses:2"]
    assert rows("from Ely on the 12th of March at 9 am") == ["buses:3"]


def test_days_as_people_say_them(tmp_path: Path) -> None:
    """Counted from a day; the same year's, where two have one of that name."""
    db = sqlite3.connect(tmp_path / "trips.db")
    db.executescript(
        "CREATE TABLE trips (id INTEGER PRIMARY KEY, goal TEXT, day TEXT); INSERT INTO trips VALUES"
        "(1, 'Ely', '2018-03-07'), (2, 'Ely', '2019-03-02'), (3, 'Ely', '2019-03-07'), "
        "(4, 'York', '2019-03-08'), (5, 'Ely', '2019-04-07')"
    )
    db.close()
    town = StructuredDatabase(
        f"sql+sqlite:///{tmp_path / 'trips.db'}", today=lambda: date(2019, 3, 1)
    )

    def rows(text: str, *history: str) -> list[str]:
        return [found.id for found in town.query(Turn(text, history)) if found.score == 1.0]

    assert rows("to Ely tomorrow") == ["trips:2"]
    assert rows("to Ely on the 7th of this month please") == ["trips:3"]
    assert rows("the 7th of next month, to Ely") == ["trips:5"]
    assert rows("to York", "next friday", "Where to?") == ["trips:4"]


def test_the_clock_of_a_turn_counts(tmp_path: Path) -> None:
    """Tomorrow is the day after the one on which it is said, in other words too."""
    db = sqlite3.connect(tmp_path / "trips.db")
    db.executescript(
        "CREATE TABLE trips (id INTEGER PRIMARY KEY, goal TEXT, day TEXT); INSERT INTO trips VALUES"
        "(1, 'Ely', '2019-03-02'), (2, 'Ely', '2027-06-02')"
    )
    db.close()
    town = StructuredDatabase(f"sql+sqlite:///{tmp_path / 'trips.db'}")
    base = InOtherWords(town, Synonyms({"the cathedral": "Ely"}))
    turn = Turn("to the cathedral tomorrow", at=datetime(2027, 6, 1, 9))
    assert [found.id for found in base.query(turn) if found.score == 1.0] == ["trips:2"]


def test_values_that_are_spelt_wrong(town: StructuredDatabase) -> None:
    """One letter or two; but not where another word is meant."""
    assert names(town, "a vietnamise place in the north") == ["Saigon"]
    assert names(town, "tell me about curry gardne") == ["Curry Garden"]
    assert names(town, "indain food in the centre please") == ["Curry Garden"]
    assert best(town, "a vote for norse food") == ""
    assert best(town, "about the mills") == ""


def test_what_is_asked_comes_first(town: StructuredDatabase) -> None:
    """A row in words: the column asked for before the others, empty ones left out."""
    (found,) = town.query(Turn("what is the phone number of curry garden?"), top_k=1)
    assert found.text == "The phone number of Curry Garden is 01223 302330."
    assert found.id == "restaurants:1" and found.query
    (found,) = town.query(Turn("tell me of saigon"), top_k=1)
    assert "phone" not in found.text


def test_what_cannot_be_met_is_relaxed(town: StructuredDatabase) -> None:
    """The rest is met, and the score says how much of it."""
    (found, *_) = town.query(Turn("a vietnamese place in the centre"))
    assert found.entity == "Saigon" and 0.5 < found.score < 1


def test_small_talk_finds_nothing(town: StructuredDatabase) -> None:
    """A turn in a conversation that mentions nothing of the tables."""
    assert town.query(Turn("hello, how are you?")) == []


def test_rows_can_be_looked_up(town: StructuredDatabase) -> None:
    """By key, or where there is none by what they say."""
    assert town.get("restaurants:3").entity == "Taj Mahal"  # type: ignore[union-attr]
    found = town.query(Turn("the old mill hotel"))[0]
    assert town.get(found.id).entity == "Old Mill"  # type: ignore[union-attr]
    assert town.get("restaurants:99") is None and town.get("x:1") is None


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_changes_of_others_are_seen(journal: str, town: StructuredDatabase, path: Path) -> None:
    """New values as well as new rows, at the next turn, however the database is written."""
    before = town.snapshot_id()
    assert town.snapshot_id() == before
    town.close()  # nobody may have it open while its journal is changed
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {journal}")
    town.query(Turn("indian food"))
    before = town.snapshot_id()
    db.execute("UPDATE restaurants SET food = 'korean' WHERE id = 4")
    db.commit()
    db.close()
    assert town.snapshot_id() != before
    assert names(town, "korean food please") == ["Saigon"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_a_command(text: str, town: StructuredDatabase, path: Path) -> None:
    """Any text is only text, and nothing is written."""
    before = path.read_bytes()
    town.query(Turn(text + " indian", (text,)))
    assert path.read_bytes() == before
    assert names(town, "vietnamese") == ["Saigon"]


def test_nothing_can_be_written(town: StructuredDatabase, path: Path) -> None:
    """Not even by SQL: the file is open for reading."""
    import sqlalchemy

    with pytest.raises(sqlalchemy.exc.OperationalError, match="readonly"):
        with town._engine.connect() as db:
            db.exec_driver_sql("DELETE FROM restaurants")
    with pytest.raises(KnowledgeError, match="only read"):
        town.remove(["restaurants:1"])
    with pytest.raises(KnowledgeError, match="only read"):
        open_knowledge_base(f"sql+sqlite:///{path}", writable=True)


def test_a_database_that_goes_and_comes_back(town: StructuredDatabase, path: Path) -> None:
    """Gone: a clear error; back: found again."""
    whole = path.read_bytes()
    path.unlink()
    town.close()
    with pytest.raises(KnowledgeError, match=r"town\.db"):
        town.query(Turn("indian food"))
    path.write_bytes(whole)
    assert names(town, "vietnamese food") == ["Saigon"]


def test_a_database_that_is_locked_or_damaged(town: StructuredDatabase, path: Path) -> None:
    """A clear error, and found again when it is whole and free."""
    db = sqlite3.connect(path)
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(KnowledgeError, match="database is locked"):
        town.query(Turn("indian food"))
    db.rollback()
    assert names(town, "vietnamese food") == ["Saigon"]
    db.execute("DROP TABLE hotels")
    db.execute("ALTER TABLE restaurants RENAME TO places")
    db.commit()
    db.close()
    assert names(town, "vietnamese food") == ["Saigon"], "as the tables are now"
    whole = path.read_bytes()
    path.write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(KnowledgeError, match="not a database|malformed"):
        town.query(Turn("indian food"))
    path.write_bytes(whole)
    assert names(town, "vietnamese food") == ["Saigon"]


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing file, no tables, a driver that is not there; never the password."""
    with pytest.raises(KnowledgeError, match=r"none\.db"):
        StructuredDatabase(f"sql+sqlite:///{tmp_path}/none.db")
    sqlite3.connect(tmp_path / "empty.db").executescript("PRAGMA user_version = 1")
    with pytest.raises(KnowledgeError, match="holds no table"):
        StructuredDatabase(f"sql+sqlite:///{tmp_path}/empty.db")
    with pytest.raises(KnowledgeError) as error:
        open_knowledge_base("postgresql+nodriver://me:secret@localhost/db")
    assert "secret" not in str(error.value)
