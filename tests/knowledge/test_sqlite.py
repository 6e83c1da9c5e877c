"""The embedded knowledge base: what is found, what changes, who sees it, what cannot harm it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.factory import SeveralKnowledgeBases, open_knowledge_base
from parlai_cu.types import Fact, Turn

FACTS = [
    Fact("Parking is free for guests.", id="park", entity="Blue Harbour Hotel"),
    Fact("The phone number is 01223 302330.", id="phone", entity="Blue Harbour Hotel"),
    Fact("Breakfast costs 12 pounds.", id="breakfast", entity="Red Lion"),
    Fact("Parking costs 5 pounds a night.", id="lion-park", entity="Red Lion"),
    Fact("We open at nine.", id="faq", question="When do you open in the morning?"),
]
# texts that mean something to SQL, to FTS5 or to a shell
HOSTILE = [
    "'; DROP TABLE facts; --",
    '" OR 1=1',
    "parking* NEAR(hotel, 5) AND NOT lion",
    "terms:parking",
    "{terms}: x",
    "%_%",
    "\x00parking\x00",
    "(((((",
    "🙂🙂 ½ ² ﷽ ǅ",
    "a" * 100_000,
    "word " * 50_000,
    "",
    "   ",
    "the and of",
    "\ud800",
]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A new knowledge base with facts in it."""
    name = f"sqlite:///{tmp_path / 'facts.db'}"
    base = SQLiteFacts(name, writable=True)
    base.add(FACTS)
    base.close()
    return name


@pytest.fixture
def base(uri: str) -> SQLiteFacts:
    """The same, open for changes."""
    return SQLiteFacts(uri, writable=True)


def ids(base: Any, text: str, *history: str) -> list[str]:
    """Which facts are found, best first."""
    return [found.id for found in base.query(Turn(text, history))]


# -- finding ---------------------------------------------------------------------------------


# -- changing --------------------------------------------------------------------------------


# -- what could go wrong ---------------------------------------------------------------------


def test_serving_needs_no_write_access(uri: str, base: SQLiteFacts) -> None:
    """A file and a folder that nobody may write are read, and a change is refused."""
    base.close()
    folder = os.path.dirname(base.path)
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o444)
    os.chmod(folder, 0o555)
    try:
        reader = SQLiteFacts(uri)
        assert ids(reader, "breakfast") == ["breakfast"]
        with pytest.raises(KnowledgeError, match="open for reading"):
            reader.add([Fact("x")])
        reader.close()
    finally:
        os.chmod(folder, 0o755)


def test_a_file_that_goes_and_comes_back(uri: str, base: SQLiteFacts, tmp_path: Path) -> None:
    """Gone: a clear error; back: found again, without a restart. Damaged: the same."""
    reader = SQLiteFacts(uri)
    base.close()
    reader.query(Turn("breakfast"))
    whole = Path(base.path).read_bytes()
    for name in tmp_path.glob("facts.db*"):
        name.unlink()
    with pytest.raises(KnowledgeError, match="no such file"):
        reader.query(Turn("breakfast"))
    Path(base.path).write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(KnowledgeError, match="not a database"):
        reader.query(Turn("breakfast"))
    Path(base.path).unlink()
    Path(base.path).write_bytes(whole)
    assert ids(reader, "breakfast") == ["breakfast"]


def test_a_file_that_is_locked(uri: str, base: SQLiteFacts) -> None:
    """By somebody who keeps it for himself: a clear error; and found again when it is free."""
    base.close()
    reader = SQLiteFacts(uri)
    reader.close()
    other = sqlite3.connect(base.path)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(KnowledgeError, match="locked"):
        reader.query(Turn("breakfast"))
    other.close()
    assert ids(reader, "breakfast") == ["breakfast"]


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    """Other people's tables are neither read as ours nor written."""
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE hotels (name TEXT)")
    db.commit()
    db.close()
    before = path.read_bytes()
    for writable in (False, True):
        with pytest.raises(KnowledgeError, match="not a knowledge base of ours"):
            SQLiteFacts(f"sqlite:///{path}", writable=writable)
    assert path.read_bytes() == before


# -- opening ---------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Scheme, file, and how to make one."""
    with pytest.raises(KnowledgeError, match="--kb sqlit:///x.db: expected .* nearest: sqlite"):
        open_knowledge_base("sqlit:///x.db")
    with pytest.raises(KnowledgeError, match="no such file. Make it by parlai knowledge_base"):
        open_knowledge_base(f"sqlite:///{tmp_path}/missing.db")
    with pytest.raises(KnowledgeError, match="expected sqlite:///relative.db"):
        open_knowledge_base("sqlite:facts.db")


def test_several(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Merged, or by priority; one that is gone does not silence the other, and is logged."""
    second = SQLiteFacts(f"sqlite:///{tmp_path / 'second.db'}", writable=True)
    second.add([Fact("Breakfast is served until ten.", id="until")])
    second.add([Fact("Breakfast costs 12 pounds.", id="again")])
    first = SQLiteFacts(uri)

    def found(text: str, combine: str) -> list[str]:
        both = SeveralKnowledgeBases([second, first], combine)
        return [fact.id for fact in both.query(Turn(text))]

    asked = "parking a night at the red lion"
    second.add([Fact("The night is young.", id="night")])
    assert found(asked, "priority")[:2] == ["night", "lion-park"]
    assert found(asked, "merged")[:2] == ["lion-park", "night"]
    # what both know in the same words comes first, once, as the one that matches better
    assert found("breakfast", "merged")[0] in ("again", "breakfast")
    assert len(found("breakfast", "merged")) == 2 < len(found("breakfast", "priority"))
    second.close()
    for name in tmp_path.glob("second.db*"):
        name.unlink()
    second.writable = False
    assert found("breakfast", "merged") == ["breakfast"]
    assert "goes on without one of its sources: sqlite" in caplog.text
    first.path = second.path
    with pytest.raises(KnowledgeError, match="no such file"):
        found("breakfast", "merged")


def test_another_process_is_seen_at_once(base: SQLiteFacts, uri: str) -> None:
    """`parlai knowledge_base update`, while this one serves."""
    reader = SQLiteFacts(uri)
    assert "12 pounds" in reader.query(Turn("breakfast"))[0].text
    words = ["knowledge_base", "update", "--kb", uri, "--id", "breakfast"]
    command = [sys.executable, "-m", "parlai", *words, "--text", "Breakfast costs 14 pounds."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = reader.query(Turn("breakfast"))[0]
    assert "14 pounds" in found.text and found.entity == "Red Lion"


def test_a_writer_that_dies_leaves_a_whole_base(uri: str, base: SQLiteFacts) -> None:
    """`kill -9` in the middle of an import: nothing of it is there, all else is."""
    base.close()
    script = (
        "import os, sys\n"
        "from parlai_cu.knowledge.factory import open_knowledge_base\n"
        "from parlai_cu.types import Fact\n"
        "def facts():\n"
        "    for i in range(1000):\n"
        "        yield Fact(f'zeppelin {i}')\n"
        "        if i == 900: os.kill(os.getpid(), 9)\n"
        "open_knowledge_base(sys.argv[1], writable=True).add(facts())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, uri], timeout=60)
    assert done.returncode == -9
    after = SQLiteFacts(uri, writable=True)
    assert ids(after, "zeppelin") == [] and after.stats()["facts"] == len(FACTS)
    after.add([Fact("zeppelin", id="z")])
    assert ids(after, "zeppelin") == ["z"]
