"""Databases of our own, each kind: what is found, what changes, who sees it."""

import json
import random
import threading
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import DataError, KnowledgeError
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.backends.stored import StoredFacts
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.knowledge.words import terms
from parlai_cu.types import Fact, Turn
from tests.knowledge import postgres
from tests.knowledge.test_sqlite import FACTS, HOSTILE, ids


def opened(uri: str, writable: bool = False) -> StoredFacts:
    """One of ours."""
    base: Any = open_knowledge_base(uri, writable)
    return base


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    return f"sqlite:///{tmp_path / 'facts.db'}" if request.param == "sqlite" else postgres.empty()


@pytest.fixture
def uri(new: str) -> str:
    """A new knowledge base with facts in it."""
    base = opened(new, writable=True)
    base.add(FACTS)
    base.close()
    return new


@pytest.fixture
def base(uri: str) -> Iterator[StoredFacts]:
    """The same, open for changes."""
    made = opened(uri, writable=True)
    yield made
    made.close()


def test_the_best_fact_comes_first(base: StoredFacts) -> None:
    """Words, their endings and questions of FAQ entries are matched."""
    assert ids(base, "how much is breakfast?")[0] == "breakfast"
    assert ids(base, "Can I park my car at the blue harbour hotel?")[0] == "park"
    assert ids(base, "what time in the mornings do you open")[0] == "faq"


def test_an_entity_is_carried_over(base: StoredFacts) -> None:
    """What was named before stands in for what is not named now; the last one named counts."""
    said = ("Is there parking at the Blue Harbour Hotel?", "Yes, it is free.")
    assert ids(base, "and its phone number?", *said)[0] == "phone"
    assert (
        ids(base, "how much is parking there?", *said, "and the red lion?", "Also nice.")[0]
        == "lion-park"
    )


def test_nothing_is_found_for_small_talk(base: StoredFacts) -> None:
    """A turn without a word that any fact has finds nothing."""
    assert ids(base, "hello there, how are you?") == []
    said = ("Is there parking at the Blue Harbour Hotel?", "Yes, it is free.")
    assert ids(base, "thank you", *said) == []


def test_scores_are_shares(base: StoredFacts) -> None:
    """Between 0 and 1, sorted, and higher the more of the question is matched."""
    full = base.query(Turn("blue harbour hotel parking free guests"))
    part = base.query(Turn("parking submarine"))
    scores = [found.score for found in full]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1
    assert full[0].score > part[0].score


def test_a_frequent_word_alone_is_found(new: str) -> None:
    """Also where every word stands in more facts than are looked at."""
    base = opened(new, writable=True)
    base.add(Fact(f"common plan number {i}", id=str(i)) for i in range(4000))
    base.add([Fact("common plan with a zebra", id="zebra")])
    assert len(ids(base, "common plan")) == 5
    assert ids(base, "common plan zebra")[0] == "zebra"


def test_evidence_says_where_it_is_from(base: StoredFacts) -> None:
    """Id, source, snapshot, entity, question and fields."""
    base.add([Fact("Star is 10 dollars.", id="star", entity="Star", fields={"price": "10"})])
    (found,) = base.query(Turn("star"), top_k=1)
    assert (found.id, found.source, found.entity) == ("star", base.name, "Star")
    assert found.fields == {"price": "10"} and found.snapshot == base.snapshot_id()


def test_changes_are_seen_at_once(base: StoredFacts, uri: str) -> None:
    """By a reader that is open already: add, update, remove."""
    reader = opened(uri)
    seen = reader.snapshot_id()
    base.add([Fact("The sauna is open all night.", id="sauna")])
    assert ids(reader, "sauna") == ["sauna"] and reader.snapshot_id() != seen
    base.update(Fact("The sauna is closed.", id="sauna"))
    assert reader.query(Turn("sauna"))[0].text == "The sauna is closed."
    assert ids(reader, "sauna all night")[0] == "sauna"
    base.remove(["sauna"])
    assert ids(reader, "sauna") == [] and reader.get("sauna") is None


def test_all_or_none_is_added(base: StoredFacts) -> None:
    """An id that is there already takes back what was added before it."""
    before = base.snapshot_id()
    with pytest.raises(KnowledgeError, match="'phone' is there already; nothing was added"):
        base.add([Fact("new"), Fact("other", id="phone")])
    assert base.snapshot_id() == before and ids(base, "new") == []
    with pytest.raises(KnowledgeError, match="no fact 'brekfast'; nearest: breakfast"):
        base.remove(["park", "brekfast"])
    assert base.get("park") is not None


def test_the_same_fact_twice_is_told(base: StoredFacts) -> None:
    """A fact without an id gets one made from what it says."""
    base.add([Fact("The bar has live music.")])
    with pytest.raises(KnowledgeError, match="is there already"):
        base.add([Fact("The bar has live music.")])


def test_undo_and_redo(base: StoredFacts) -> None:
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


def test_back_to_a_state(base: StoredFacts) -> None:
    """All commands since are taken back at once, as one of its own; undone, they are back."""
    then, state = _by_id(base), base.snapshot_id()
    base.update(Fact("Breakfast costs 14 pounds.", id="breakfast"))
    base.remove(["park"])
    base.add([Fact("The bar has live music.", id="bar")])
    base.update(Fact("Breakfast costs 15 pounds.", id="breakfast"))
    # changed and changed back is no difference
    base.remove(["phone"])
    base.undo()
    now = _by_id(base)
    assert base.differs_from(state) == 3
    with pytest.raises(ValueError), base.taken_back(state):
        raise ValueError("what goes with it failed")
    assert _by_id(base) == now
    with base.taken_back(state) as count:
        assert count == 3
    assert _by_id(base) == then and base.differs_from(state) == 0
    assert base.history(1)[0]["action"] == "back"
    assert ids(base, "how much is breakfast?")[0] == "breakfast"
    base.undo()
    assert _by_id(base) == now


def test_a_state_that_was_never_there(base: StoredFacts) -> None:
    """It is named, with why it cannot be had."""
    uuid, last = base.snapshot_id().split(":")
    for wrong, why in ((f"{uuid}:{int(last) + 1}", "does not reach"), ("else:1", "of another")):
        with pytest.raises(KnowledgeError, match=why), base.taken_back(wrong):
            raise AssertionError("nothing is to be done")


def _by_id(base: StoredFacts) -> Any:
    return {fact.id: fact for fact in base.facts()}


def test_counts_stay_right(base: StoredFacts, tmp_path: Path) -> None:
    """After any changes, what the search knows of words is what a new base would know."""
    base.update(Fact("Breakfast is free.", id="breakfast", entity="Red Lion"))
    base.remove(["faq"])
    base.undo()
    state = base.snapshot_id()
    base.remove(["park"])
    base.add([Fact("The bar has live music.", id="bar")])
    with base.taken_back(state):
        pass
    base.remove(["park"])

    def known(of: StoredFacts) -> Any:
        with of._searching() as (store, _, index):
            said = " ".join(row["terms"] for row in store.execute("SELECT terms FROM facts"))
            counts = store.execute("SELECT * FROM state WHERE name IN ('facts', 'terms')")
            return (
                index.documents([*said.split(), "park", "music"]),
                {row["name"]: str(row["value"]) for row in counts},
            )

    new = SQLiteFacts(f"sqlite:///{tmp_path / 'new.db'}", writable=True)
    new.add(base.facts())
    assert known(base) == known(new)


def test_facts_hold_for_their_time(base: StoredFacts) -> None:
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


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_a_command(text: str, base: StoredFacts) -> None:
    """Asked, told and added, any text is only text."""
    before = base.stats()["facts"]
    base.query(Turn(text, (text, text)))
    if "\x00" in text and base.name.startswith("postgresql"):
        with pytest.raises(KnowledgeError, match="cannot contain NUL"):
            base.add([Fact(text)])
    elif "\ud800" in text:
        with pytest.raises(KnowledgeError, match="half a character cannot be stored"):
            base.add([Fact(text)])
    else:
        base.add([Fact(text, id=text[:50] + "!", entity=text, question=text)])
        assert base.get(text[:50] + "!").text == text  # type: ignore[union-attr]
        base.remove([text[:50] + "!"])
    assert base.stats()["facts"] == before and ids(base, "breakfast")[0] == "breakfast"


def test_many_threads_read_while_one_writes(uri: str, base: StoredFacts) -> None:
    """Each reply is of one snapshot: a fact is there in its old words or its new, never twice."""
    wrong: list[Any] = []
    reader = opened(uri)

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


def test_facts_survive_json(base: StoredFacts) -> None:
    """What the record of a change holds is the fact as it was written."""
    fact = Fact("Ünïcode “quotes”", id="u", entity="É", fields={"a": "1"}, valid_from="2020-01-01")
    base.add([fact])
    base.remove(["u"])
    before = json.loads(base.history(1)[0]["before"])
    assert before["text"] == fact.text and before["fields"] == {"a": "1"}
    base.undo()
    found = base.fact("u")
    assert found is not None and found.valid_from == "2020-01-01T00:00:00+00:00"


def exact_order(base: StoredFacts, facts: list[Fact], text: str) -> list[str]:
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


def test_the_best_fact_is_found_among_many_that_match(new: str) -> None:
    """A fact added last with both words, after 2,000 with one of them, comes first."""
    base = opened(new, writable=True)
    base.add(Fact(f"Parking at place {i}.", id=f"p{i}") for i in range(1000))
    base.add(Fact(f"Bicycles at place {i}.", id=f"b{i}") for i in range(1000))
    base.add([Fact("Bicycles in the parking area.", id="both")])
    assert [found.id for found in base.query(Turn("bicycles in the parking"), 1)] == ["both"]


def test_the_order_is_that_of_bm25_over_all_facts(new: str) -> None:
    """To random questions to 6,000 facts the answers are those of a full comparison."""
    chance = random.Random(0)
    names = [f"w{i}" for i in range(400)]
    odds = [1 / (i + 1) for i in range(400)]
    facts = [
        Fact(" ".join(chance.choices(names, odds, k=chance.randint(3, 12))), id=f"f{i:04}")
        for i in range(6000)
    ]
    base = opened(new, writable=True)
    base.add(facts)
    first = five = 0
    questions = [" ".join(chance.choices(names, odds, k=4)) for _ in range(40)]
    for text in questions:
        wanted = exact_order(base, facts, text)[:5]
        found = [fact.id for fact in base.query(Turn(text), 5)]
        first += wanted[:1] == found[:1]
        five += len(set(wanted) & set(found))
    # a bound by sums of inverse frequencies may drop what repetition and shortness lift
    assert first == len(questions)
    assert five >= 0.98 * 5 * len(questions)


def test_facts_of_the_entity_asked_about_come_first(base: StoredFacts) -> None:
    """A fact of another entity that matches better word by word does not go before."""
    base.add([Fact("Parking costs nothing, parking is free for a car.", entity="Inn", id="inn")])
    assert base.query(Turn("Is parking free for a car?"), 1)[0].id == "inn"
    assert base.query(Turn("Is parking free at the Red Lion for a car?"), 1)[0].id == "lion-park"


def test_damage_is_told(base: StoredFacts) -> None:
    """A fact whose words changed on the disk, one that is gone, counts that are wrong."""
    base.update(Fact("We open at noon.", id="faq"))
    base.remove(["faq"])
    base.undo()
    assert base.verify() == [], "each change keeps the counts right"
    with base._changing() as store:
        store.execute("UPDATE facts SET text = ? WHERE id = ?", ("We open at moon.", "faq"))
    (told,) = base.verify()
    assert "'faq'" in told and "indexed by" in told
    with base._changing() as store:
        store.execute("DELETE FROM facts WHERE id = ?", ("faq",))
    missing, counts = base.verify()
    assert "facts" in missing and "were written" in missing and "words" in counts


def test_a_price_is_told_once_and_while_it_holds(
    base: StoredFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any change of the facts: as time passes, one price follows the other."""
    rows = [("old", "$5", None, "2999-01-01"), ("new", "$7", "2999-01-01", "2999-02-01")]
    base.add(
        Fact(
            f"Price: {price}.",
            id=f"lamps.csv#{name}",
            entity="Alto 3",
            fields={"name": "Alto 3", "price": price},
            valid_from=since,
            valid_until=until,
        )
        for name, price, since, until in rows
    )

    def told(now: str) -> list[str]:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Clock":
                return cls.fromisoformat(now).replace(tzinfo=tz)

        for name in ("asking.asked", "backends.searching"):
            monkeypatch.setattr(f"parlai_cu.knowledge.{name}.datetime", Clock)
        found = base.query(Turn("what does the Alto 3 cost?"))
        return [one.text for one in found if one.entity == "Alto 3"]

    assert told("2998-12-31") == ["The Alto 3 costs $5."]
    assert told("2999-01-01") == ["The Alto 3 costs $7."]
    assert told("2999-02-01") == []
