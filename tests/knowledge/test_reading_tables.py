"""Facts from tables: the schema is read from the data, ids are keys, a bad row is named."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import DataError, KnowledgeError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.reading_tables import read_tables
from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript
from parlai_cu.types import Fact, Turn
from tests.knowledge import postgres
from tests.knowledge.test_structured import SCRIPT

pytest.importorskip("sqlalchemy")

MORE = """
CREATE TABLE faq (id INTEGER PRIMARY KEY, question TEXT, answer TEXT, valid_until TEXT);
INSERT INTO faq VALUES (1, 'Where can I park?', 'Behind the house.', '2999-01-01');
CREATE TABLE lines (operator TEXT, stop TEXT, minutes INTEGER);
INSERT INTO lines VALUES ('Go', 'Mill Road', 5), ('Go', 'Station', NULL);
"""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A database of others."""
    db = sqlite3.connect(tmp_path / "town.db")
    db.executescript(SCRIPT + MORE)
    db.close()
    return f"sql+sqlite:///{tmp_path / 'town.db'}"


def by_id(uri: str, *names: str) -> dict[str, Fact]:
    """What is read."""
    return {fact.id or "": fact for fact in read_tables(uri, names)}


def test_rows_are_told(uri: str) -> None:
    """By the column that names them; keys are ids; what is empty is left out."""
    facts = by_id(uri, "restaurants")
    assert list(facts) == [f"restaurants:{number}" for number in (1, 2, 3, 4)]
    nile = facts["restaurants:2"]
    assert nile.entity == "The Nile" and nile.fields["food"] == "african"
    assert nile.text == (
        "The Nile: area north, food african, price 35, phone number 01223 555, "
        "has live music False."
    )
    assert "phone" not in facts["restaurants:4"].text


def test_the_most_telling_column_names_a_row(uri: str) -> None:
    """Where none is called name; and rows without a key have an id of what they say."""
    facts = by_id(uri, "lines")
    assert [fact.entity for fact in facts.values()] == ["Mill Road", "Station"]
    assert all(key.startswith("lines:") and len(key) == 18 for key in facts)
    assert list(by_id(uri, "lines")) == list(facts)


def test_faq_entries(uri: str) -> None:
    """Question and answer are taken as such, and validity."""
    fact = by_id(uri, "faq")["faq:1"]
    assert (fact.question, fact.text) == ("Where can I park?", "Behind the house.")
    assert fact.valid_until == "2999-01-01" and fact.entity == ""


def test_imported_by_the_command(uri: str, tmp_path: Path, capsys: Any) -> None:
    """Some tables or all; found at once."""
    kb = f"sqlite:///{tmp_path / 'facts.db'}"
    main = KnowledgeBaseScript.main
    assert main("import", "--kb", kb, "--from-url", uri, "--table", "restaurants,faq") == 5
    assert "imported 5 facts" in capsys.readouterr().out
    base = SQLiteFacts(kb)
    assert base.query(Turn("where can I park?"))[0].id == "faq:1"
    assert base.query(Turn("phone number of the nile"))[0].id == "restaurants:2"
    everything = f"sqlite:///{tmp_path / 'all.db'}"
    assert main("import", "--kb", everything, "--from-url", uri) == 10


def test_from_postgresql(tmp_path: Path) -> None:
    """As from any other."""
    found = postgres.empty()
    postgres.run(SCRIPT + MORE)
    assert by_id(found, "restaurants")["restaurants:3"].entity == "Taj Mahal"
    assert set(by_id(found)) >= {"faq:1", "restaurants:1"}


def test_nothing_is_imported_where_a_row_is_bad(uri: str, tmp_path: Path) -> None:
    """It is named, and what came before it is taken back."""
    db = sqlite3.connect(tmp_path / "town.db")
    db.execute("INSERT INTO faq VALUES (2, 'And when?', '', 'soon')")
    db.execute("INSERT INTO faq VALUES (3, '', '', NULL)")
    db.commit()
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    with pytest.raises(DataError, match="row 2 of table faq"):
        base.add(read_tables(uri))
    assert base.stats()["facts"] == 0
    db.execute("DELETE FROM faq WHERE id = 2")
    db.commit()
    with pytest.raises(DataError, match="no text and no other column .*row 2 of table faq"):
        base.add(read_tables(uri, ["faq"]))


def test_what_is_not_there_is_named(uri: str, tmp_path: Path) -> None:
    """Database and table, with the nearest."""
    with pytest.raises(KnowledgeError, match="--table restaurant: .* nearest: restaurants"):
        by_id(uri, "restaurant")
    with pytest.raises(KnowledgeError, match=r"none\.db"):
        by_id(f"sql+sqlite:///{tmp_path}/none.db")
    with pytest.raises(KnowledgeError, match="hidden|URL") as error:
        by_id("nothing at all")
    assert "nothing" in str(error.value)
