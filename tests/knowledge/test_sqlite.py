"""The embedded knowledge base: what is found, what changes, who sees it, what cannot harm it."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest

from parlai_cu.errors import DataError, KnowledgeError
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.opening import SeveralKnowledgeBases, open_knowledge_base
from parlai_cu.knowledge.words import terms
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


def ids(base: SQLiteFacts, text: str, *history: str) -> List[str]:
    """Which facts are found, best first."""
    return [found.id for found in base.query(Turn(text, history))]


# -- finding ---------------------------------------------------------------------------------


def test_the_best_fact_comes_first(base: SQLiteFacts) -> None:
    """Words, their endings and questions of FAQ entries are matched."""
    assert ids(base, "how much is breakfast?")[0] == "breakfast"
    assert ids(base, "Can I park my car at the blue harbour hotel?")[0] == "park"
    assert ids(base, "what time in the mornings do you open")[0] == "faq"


def test_an_entity_is_carried_over(base: SQLiteFacts) -> None:
    """What was named before stands in for what is not named now; the last one named counts."""
    said = ("Is there parking at the Blue Harbour Hotel?", "Yes, it is free.")
    assert ids(base, "and its phone number?", *said)[0] == "phone"
    assert (
        ids(base, "how much is parking there?", *said, "and the red lion?", "Also nice.")[0]
        == "lion-park"
    )


def test_nothing_is_found_for_small_talk(base: SQLiteFacts) -> None:
    """A turn without a word that any fact has finds nothing."""
    assert ids(base, "hello there, how are you?") == []
    said = ("Is there parking at the Blue Harbour Hotel?", "Yes, it is free.")
    assert ids(base, "thank you", *said) == []


def test_scores_are_shares(base: SQLiteFacts) -> None:
    """Between 0 and 1, sorted, and higher the more of the question is matched."""
    full = base.query(Turn("blue harbour hotel parking free guests"))
    part = base.query(Turn("parking submarine"))
    scores = [found.score for found in full]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1
    assert full[0].score > part[0].score


def test_a_frequent_word_alone_is_found(tmp_path: Path) -> None:
    """Also where every word stands in more facts than are looked at."""
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'many.db'}", writable=True)
    base.add(Fact(f"common plan number {i}", id=str(i)) for i in range(4000))
    base.add([Fact("common plan with a zebra", id="zebra")])
    assert len(ids(base, "common plan")) == 5
    assert ids(base, "common plan zebra")[0] == "zebra"


def test_evidence_says_where_it_is_from(base: SQLiteFacts, uri: str) -> None:
    """Id, source, snapshot, entity, question and fields."""
    base.add([Fact("Star is 10 dollars.", id="star", entity="Star", fields={"price": "10"})])
    (found,) = base.query(Turn("star"), top_k=1)
    assert (found.id, found.source, found.entity) == ("star", uri, "Star")
    assert found.fields == {"price": "10"} and found.snapshot == base.snapshot_id()


# -- changing --------------------------------------------------------------------------------


def test_changes_are_seen_at_once(base: SQLiteFacts, uri: str) -> None:
    """By a reader that is open already: add, update, remove."""
    reader = SQLiteFacts(uri)
    seen = reader.snapshot_id()
    base.add([Fact("The sauna is open all night.", id="sauna")])
    assert ids(reader, "sauna") == ["sauna"] and reader.snapshot_id() != seen
    base.update(Fact("The sauna is closed.", id="sauna"))
    assert reader.query(Turn("sauna"))[0].text == "The sauna is closed."
    assert ids(reader, "sauna all night")[0] == "sauna"
    base.remove(["sauna"])
    assert ids(reader, "sauna") == [] and reader.get("sauna") is None


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


def test_all_or_none_is_added(base: SQLiteFacts) -> None:
    """An id that is there already takes back what was added before it."""
    before = base.snapshot_id()
    with pytest.raises(KnowledgeError, match="'phone' is there already; nothing was added"):
        base.add([Fact("new"), Fact("other", id="phone")])
    assert base.snapshot_id() == before and ids(base, "new") == []
    with pytest.raises(KnowledgeError, match="no fact 'brekfast'; nearest: breakfast"):
        base.remove(["park", "brekfast"])
    assert base.get("park") is not None


def test_the_same_fact_twice_is_told(base: SQLiteFacts) -> None:
    """A fact without an id gets one made from what it says."""
    base.add([Fact("The bar has live music.")])
    with pytest.raises(KnowledgeError, match="is there already"):
        base.add([Fact("The bar has live music.")])


def test_undo_and_redo(base: SQLiteFacts) -> None:
    """The last command is taken back as a whole; undoing that brings it back."""
    everything = list(base.facts())
    base.remove(["park", "phone"])
    assert base.undo() == 2
    assert sorted(f.id or "" for f in base.facts()) == sorted(f.id or "" for f in everything)
    assert ids(base, "phone number blue harbour")[0] == "phone"
    base.undo()
    assert base.get("park") is None
    base.update(Fact("Breakfast costs 14 pounds.", id="breakfast"))
    base.undo()
    assert base.get("breakfast").text == "Breakfast costs 12 pounds."  # type: ignore[union-attr]
    assert [change["action"] for change in base.history(3)] == ["undo", "update", "undo"]


def test_counts_stay_right(base: SQLiteFacts) -> None:
    """After any changes, what the search knows of words is what a new base would know."""
    base.update(Fact("Breakfast is free.", id="breakfast", entity="Red Lion"))
    base.remove(["faq"])
    base.undo()
    base.remove(["park"])

    def known(of: SQLiteFacts) -> object:
        db = sqlite3.connect(of.path)
        terms = db.execute("SELECT * FROM terms WHERE documents > 0 ORDER BY term").fetchall()
        counts = dict(db.execute("SELECT name, value FROM state WHERE name != 'uuid'"))
        return terms, counts

    new = SQLiteFacts(base.name.replace("facts.db", "new.db"), writable=True)
    new.add(base.facts())
    assert known(base) == known(new)


def test_facts_hold_for_their_time(base: SQLiteFacts) -> None:
    """Not yet, and no longer, valid facts are not found; but can be looked at by id."""
    base.add(
        [
            Fact("The spring menu has asparagus.", id="past", valid_until="2020-06-01"),
            Fact(
                "The space menu has asparagus.",
                id="future",
                valid_from="2999-01-01T00:00:00Z".replace("Z", "+00:00"),
            ),
            Fact("The menu has asparagus.", id="now", valid_from="2020-01-01"),
        ]
    )
    assert ids(base, "asparagus menu") == ["now"]
    assert base.get("past") is not None
    with pytest.raises(DataError, match="'tomorrow' is no date: expected 2027-01-31"):
        base.add([Fact("x", valid_from="tomorrow")])


# -- what could go wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_a_command(text: str, base: SQLiteFacts) -> None:
    """Asked, told and added, any text is only text."""
    before = base.stats()["facts"]
    base.query(Turn(text, (text, text)))
    if "\ud800" not in text:  # half a character cannot be stored by anybody
        base.add([Fact(text, id=text[:50] + "!", entity=text, question=text)])
        assert base.get(text[:50] + "!").text == text  # type: ignore[union-attr]
        base.remove([text[:50] + "!"])
    assert base.stats()["facts"] == before and ids(base, "breakfast")[0] == "breakfast"


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


def test_a_writer_that_dies_leaves_a_whole_base(uri: str, base: SQLiteFacts) -> None:
    """`kill -9` in the middle of an import: nothing of it is there, all else is."""
    base.close()
    script = (
        "import os, sys\n"
        "from parlai_cu.knowledge.backends.sqlite import SQLiteFacts\n"
        "from parlai_cu.types import Fact\n"
        "def facts():\n"
        "    for i in range(1000):\n"
        "        yield Fact(f'zeppelin {i}')\n"
        "        if i == 900: os.kill(os.getpid(), 9)\n"
        "SQLiteFacts(sys.argv[1], writable=True).add(facts())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, uri], timeout=60)
    assert done.returncode == -9
    after = SQLiteFacts(uri, writable=True)
    assert ids(after, "zeppelin") == [] and after.stats()["facts"] == len(FACTS)
    after.add([Fact("zeppelin", id="z")])
    assert ids(after, "zeppelin") == ["z"]


def test_many_threads_read_while_one_writes(uri: str, base: SQLiteFacts) -> None:
    """Each reply is of one snapshot: a fact is there in its old words or its new, never twice."""
    reader, wrong = SQLiteFacts(uri), []

    def read() -> None:
        for _ in range(30):
            texts = [found.text for found in reader.query(Turn("breakfast pounds red lion"))]
            if sum("Breakfast" in text for text in texts) != 1:
                wrong.append(texts)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for price in range(20):
        base.update(Fact(f"Breakfast costs {price} pounds.", id="breakfast", entity="Red Lion"))
    for thread in threads:
        thread.join()
    assert not wrong


# -- opening ---------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Scheme, file, and how to make one."""
    with pytest.raises(KnowledgeError, match="--kb sqlit:///x.db: expected .* nearest: sqlite"):
        open_knowledge_base("sqlit:///x.db")
    with pytest.raises(KnowledgeError, match="no such file. Make it by parlai knowledge_base"):
        open_knowledge_base(f"sqlite:///{tmp_path}/missing.db")
    with pytest.raises(KnowledgeError, match="expected sqlite:///relative.db"):
        open_knowledge_base("sqlite:facts.db")


def test_several_by_priority(uri: str, tmp_path: Path) -> None:
    """What the first finds stands first; one that is gone does not silence the other."""
    second = SQLiteFacts(f"sqlite:///{tmp_path / 'second.db'}", writable=True)
    second.add([Fact("Breakfast is served until ten.", id="until")])
    both = SeveralKnowledgeBases([second, SQLiteFacts(uri)])
    assert [found.id for found in both.query(Turn("breakfast"))] == ["until", "breakfast"]
    second.close()
    for name in tmp_path.glob("second.db*"):
        name.unlink()
    second.writable = False
    assert [found.id for found in both.query(Turn("breakfast"))] == ["breakfast"]


def test_facts_survive_json(base: SQLiteFacts) -> None:
    """What the record of a change holds is the fact as it was written."""
    fact = Fact("Ünïcode “quotes”", id="u", entity="É", fields={"a": "1"}, valid_from="2020-01-01")
    base.add([fact])
    base.remove(["u"])
    before = json.loads(base.history(1)[0]["before"])
    assert before["text"] == fact.text and before["fields"] == {"a": "1"}
    base.undo()
    found = base.fact("u")
    assert found is not None and found.valid_from == "2020-01-01T00:00:00+00:00"


def exact_order(base: SQLiteFacts, facts: List[Fact], text: str) -> List[str]:
    """Ids of all facts that share a word with a text, by BM25 computed over every one of them."""
    weights = dict.fromkeys(terms(text), 1.0)
    held = {fact.id or "": terms(f"{fact.entity} {fact.question} {fact.text}") for fact in facts}
    frequencies = {
        term: bm25.inverse_frequency(len(facts), sum(term in words for words in held.values()))
        for term in weights
    }
    length = sum(map(len, held.values())) / len(facts)
    scores = {key: bm25.relevance(weights, frequencies, held[key], length) for key in held}
    return sorted((key for key in held if scores[key]), key=lambda key: (-scores[key], key))


def test_the_best_fact_is_found_among_many_that_match(tmp_path: Path) -> None:
    """A fact added last with both words, after 2,000 with one of them, comes first."""
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'many.db'}", writable=True)
    base.add(Fact(f"Parking at place {i}.", id=f"p{i}") for i in range(1000))
    base.add(Fact(f"Bicycles at place {i}.", id=f"b{i}") for i in range(1000))
    base.add([Fact("Bicycles in the parking area.", id="both")])
    assert [found.id for found in base.query(Turn("bicycles in the parking"), 1)] == ["both"]


def test_the_order_is_that_of_bm25_over_all_facts(tmp_path: Path) -> None:
    """To random questions to 6,000 facts the answers are those of a full comparison."""
    chance = random.Random(0)
    names = [f"w{i}" for i in range(400)]
    odds = [1 / (i + 1) for i in range(400)]
    facts = [
        Fact(" ".join(chance.choices(names, odds, k=chance.randint(3, 12))), id=f"f{i:04}")
        for i in range(6000)
    ]
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'random.db'}", writable=True)
    base.add(facts)
    first = five = 0
    questions = [" ".join(chance.choices(names, odds, k=4)) for _ in range(100)]
    for text in questions:
        wanted = exact_order(base, facts, text)[:5]
        found = [fact.id for fact in base.query(Turn(text), 5)]
        first += wanted[:1] == found[:1]
        five += len(set(wanted) & set(found))
    # a bound by sums of inverse frequencies may drop what repetition and shortness lift
    assert first == len(questions)
    assert five >= 0.98 * 5 * len(questions)


def test_facts_of_the_entity_asked_about_come_first(base: SQLiteFacts) -> None:
    """A fact of another entity that matches better word by word does not go before."""
    base.add([Fact("Parking costs nothing, parking is free for a car.", entity="Inn", id="inn")])
    assert base.query(Turn("Is parking free for a car?"), 1)[0].id == "inn"
    assert base.query(Turn("Is parking free at the Red Lion for a car?"), 1)[0].id == "lion-park"
