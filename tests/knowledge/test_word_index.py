"""The index of words beside the facts: always what they say, whoever changed them."""

import json
import logging
import os
import random
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from parlai_cu.knowledge import word_index
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact, Turn

ANIMALS = "otter heron badger lynx marten viper newt stoat ibis crane".split()


@pytest.fixture(params=["tantivy", "FTS5"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where facts are to be, with an index that is committed to every three changes."""
    if request.param == "tantivy":
        pytest.importorskip("tantivy")
    else:
        monkeypatch.setattr(word_index, "tantivy", None)
    monkeypatch.setattr(word_index, "BATCH", 3)
    return f"sqlite:///{tmp_path / 'facts.db'}"


def filled(uri: str) -> SQLiteFacts:
    """A knowledge base of one fact an animal."""
    base = SQLiteFacts(uri, writable=True)
    base.add(Fact(f"The {name} lives in house {i}.", id=name) for i, name in enumerate(ANIMALS))
    return base


def found(base: SQLiteFacts, text: str) -> list[str]:
    """The ids of what is found."""
    return [fact.id for fact in base.query(Turn(text), 5)]


def test_a_change_is_found_with_the_next_turn(uri: str) -> None:
    """Committed or not: added, changed, removed and taken back, by this process or another."""
    reader, writer = filled(uri), SQLiteFacts(uri, writable=True)
    assert found(reader, "where is the lynx?") == ["lynx"]
    for round_ in range(4):
        writer.update(Fact(f"The lynx sleeps in cave {round_}.", id="lynx"))
        assert found(reader, "house 3") != ["lynx"], "what a fact no longer says is not found"
        assert found(reader, f"cave {round_}")[0] == "lynx"
        writer.add([Fact(f"The okapi {round_} is new.", id=f"okapi{round_}")])
        assert found(reader, f"okapi {round_}")[0] == f"okapi{round_}"
    writer.remove(["lynx", "otter"])
    assert not found(reader, "lynx otter")
    writer.undo()
    assert set(found(reader, "lynx otter")) == {"lynx", "otter"}


def test_random_changes_leave_what_a_new_base_would_find(uri: str, tmp_path: Path) -> None:
    """After any changes the order is that of a base that never knew anything else."""
    chance = random.Random(3)
    base = filled(uri)
    for step in range(40):
        name = chance.choice(ANIMALS)
        text = " ".join(chance.choices(ANIMALS, k=4))
        if base.fact(name) is None:
            base.add([Fact(text, id=name)])
        elif chance.random() < 0.3:
            base.remove([name])
        else:
            base.update(Fact(text, id=name))
        if step % 7 == 0:
            base.undo()
    new = SQLiteFacts(f"sqlite:///{tmp_path / 'new.db'}", writable=True)
    new.add(base.facts())
    for question in ANIMALS:
        assert found(base, question) == found(new, question)


def test_an_index_that_is_gone_is_made_again(uri: str, tmp_path: Path) -> None:
    """It is made of the facts alone; one of another database is not believed."""
    base = filled(uri)
    assert found(base, "heron") == ["heron"] and os.path.isdir(tmp_path / "facts.db.words")
    base.close()
    shutil.rmtree(tmp_path / "facts.db.words")
    assert found(SQLiteFacts(uri), "heron") == ["heron"]
    mark = tmp_path / "facts.db.words" / "mark.json"
    mark.write_text(json.dumps(["another", *json.loads(mark.read_text())[1:]]))
    assert found(SQLiteFacts(uri), "heron") == ["heron"]


def test_an_older_copy_of_the_facts_is_seen_as_it_is(uri: str, tmp_path: Path) -> None:
    """A backup put in the place of the file: nothing is found that it does not hold."""
    filled(uri).close()
    shutil.copy(tmp_path / "facts.db", tmp_path / "backup.db")
    base = SQLiteFacts(uri, writable=True)
    base.update(Fact("A quagga.", id="otter"))
    base.add(Fact(f"The dodo {i}.", id=f"dodo{i}") for i in range(5))
    assert found(base, "quagga") == ["otter"]
    base.close()
    shutil.copy(tmp_path / "backup.db", tmp_path / "facts.db")
    base = SQLiteFacts(uri, writable=True)
    assert not found(base, "quagga dodo")
    base.add(Fact(f"The moa {i}.", id=f"moa{i}") for i in range(6))
    assert found(base, "otter house") and not found(base, "quagga dodo")


def test_a_crash_between_facts_and_index_loses_nothing(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored and not yet indexed is found all the same, and indexed by the next."""
    base = filled(uri)

    def dies(*args: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(word_index.os, "replace", dies)
        with pytest.raises(RuntimeError):
            found(base, "lynx")
    assert found(SQLiteFacts(uri), "lynx") == ["lynx"]


def test_many_ask_while_the_index_is_made(uri: str) -> None:
    """Whoever comes first makes it, the others wait for it or search without it."""
    filled(uri).close()
    bases = [SQLiteFacts(uri) for _ in range(6)]
    answers: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda base=base: answers.append(found(base, "the ibis")))
        for base in bases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [["ibis"]] * 6


def test_where_nothing_can_be_written_the_index_is_in_memory(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Facts in a place that is only read, and no cache either."""
    filled(uri).close()
    (tmp_path / "no folder").write_text("")
    monkeypatch.setattr(
        SQLiteFacts, "_index_folder", lambda *_: str(tmp_path / "no folder" / "words")
    )
    with caplog.at_level(logging.WARNING):
        assert found(SQLiteFacts(uri), "heron") == ["heron"]
    assert "in memory" in caplog.text


def test_without_the_wheel_it_is_told(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's own search serves, and where facts are many, what would be faster."""
    monkeypatch.setattr(word_index, "tantivy", None)
    monkeypatch.setattr(word_index, "_MANY", 5)
    with caplog.at_level(logging.WARNING):
        assert found(filled(uri), "heron") == ["heron"]
    assert 'pip install "parlai-cu[knowledge]"' in caplog.text


def test_a_base_of_the_first_format_opens(uri: str, tmp_path: Path) -> None:
    """Its own index is not looked at; the first change takes it away."""
    filled(uri).close()
    with sqlite3.connect(tmp_path / "facts.db") as old:
        old.executescript(
            "CREATE VIRTUAL TABLE search USING fts5 (terms, content='', detail='none'); "
            "CREATE TABLE terms (term TEXT PRIMARY KEY, documents INTEGER NOT NULL) WITHOUT ROWID;"
            "INSERT INTO terms VALUES ('heron', 1); PRAGMA user_version = 1;"
        )
    reader = SQLiteFacts(uri)
    assert found(reader, "heron") == ["heron"]
    writer = SQLiteFacts(uri, writable=True)
    writer.remove(["heron"])
    assert not found(reader, "heron") and writer.verify() == []
    with sqlite3.connect(tmp_path / "facts.db") as now:
        names = {row[0] for row in now.execute("SELECT name FROM sqlite_master")}
    assert not names & {"search", "terms"}
