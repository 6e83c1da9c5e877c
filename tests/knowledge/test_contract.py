"""What every registered knowledge base keeps to, whatever is behind it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlai_cu import plugin
from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.base import KnowledgeBase
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Evidence, Fact, Turn
from tests.knowledge.places import ASKED, KNOWN, LEFT_OUT, PLACES, Place
from tests.knowledge.test_sqlite import HOSTILE

pytest.importorskip("rdflib")
pytest.importorskip("sqlalchemy")

# what a query language could take for its own, between other characters
PIECES = st.sampled_from(
    ["nile", "phone", "'", '"', "\\", "--", ";", "%", "_", "{", "}", "(", ")", "*", "NEAR", "AND"]
    + ["OR", "NOT", "<http://x>", "?s", ":", "::text", "$1", "%s", "|", "&", "!", "\n", "\x00"]
    + ["\ud800", "ﷺ", "🙂", "'; DROP TABLE facts; --", '" } DROP ALL #', "[]", "{text}"]
)


@pytest.fixture(params=sorted(PLACES))
def place(request: Any, tmp_path: Path, deployed: Callable[[str], str]) -> Iterator[Place]:
    """A source of each kind."""
    with PLACES[request.param](tmp_path, deployed) as made:
        yield made


@pytest.fixture
def base(place: Place) -> Iterator[KnowledgeBase]:
    """The same, open for reading."""
    made = open_knowledge_base(place.uri)
    yield made
    made.close()


def answer(base: KnowledgeBase, text: str = ASKED) -> list[Evidence]:
    """What is found; a model that has hardly learnt anything may be silent."""
    found = base.query(Turn(text))
    assert found or base.name.startswith("agent:")
    return found


def test_every_registered_name_is_tested() -> None:
    """Or left out for a reason."""
    assert set(PLACES) | set(LEFT_OUT) == set(plugin.KNOWLEDGE_BASES)


def test_evidence(base: KnowledgeBase, place: Place) -> None:
    """Says where it is from, of which state; can be looked up; is no more than was asked for."""
    found = answer(base)
    assert all(0 <= fact.score <= 1 for fact in found)
    assert {(fact.source, bool(fact.snapshot)) for fact in found} <= {(base.name, True)}
    assert len({fact.id for fact in found}) == len(found)
    assert base.query(Turn(ASKED), 1) == found[:1]
    for fact in found[:1]:
        assert KNOWN in fact.text or base.name.startswith("agent:")
        again = base.get(fact.id)
        assert again is not None and (again.id, again.entity) == (fact.id, fact.entity)
    for unknown in ("nothing", "", "'", "x:1", "\ud800", "\x00"):
        assert base.get(unknown) is None


def test_state(base: KnowledgeBase) -> None:
    """The same state has the same id, which the statistics tell as well; what it cost is told."""
    stats = base.stats()
    assert stats["facts"] >= 0 and stats["snapshot"] == base.snapshot_id() == base.snapshot_id()
    base.query(Turn(ASKED))
    assert all(amount > 0 for amount in base.spent().values()) and base.spent() == {}


def test_who_may_write(base: KnowledgeBase) -> None:
    """Nobody who did not open it for that."""
    for change in (
        lambda: base.add([Fact("x")]),
        lambda: base.update(Fact("x", id="x")),
        lambda: base.remove(["x"]),
    ):
        with pytest.raises(KnowledgeError, match="only read|open for reading"):
            change()


def test_one_that_goes_and_comes_back(base: KnowledgeBase, place: Place) -> None:
    """An error that names it while it is away, and no need to open it again."""
    if place.away is None:
        pytest.skip("it is in memory")
    first = answer(base)
    with place.away():
        with pytest.raises(KnowledgeError) as error:
            base.query(Turn("and what is the food of the nile?"))
        assert str(error.value).startswith(base.name)
    assert [fact.text for fact in answer(base)] == [fact.text for fact in first]
    assert answer(base, "and what is the food of the nile?")


def test_many_may_ask_at_once(base: KnowledgeBase) -> None:
    """Each gets its own answer."""
    wanted = [fact.text for fact in base.query(Turn(ASKED))]
    wrong: list[Any] = []

    def read() -> None:
        try:
            for _ in range(3):
                found = [fact.text for fact in base.query(Turn(ASKED))]
                if found != wanted:
                    wrong.append(found)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_text_is_a_command(base: KnowledgeBase) -> None:
    """Whatever is said, it is answered as text, and everything is there afterwards."""
    before = base.stats()["facts"], base.snapshot_id()
    for text in HOSTILE:
        base.query(Turn(text, (text, text)))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(said=st.lists(st.lists(PIECES, max_size=6).map(" ".join), min_size=1, max_size=3))
    def ask(said: list[str]) -> None:
        found = base.query(Turn(said[-1], tuple(said[:-1])), 3)
        assert len(found) <= 3

    ask()
    assert (base.stats()["facts"], base.snapshot_id()) == before
    answer(base)


def test_a_base_that_was_closed_can_be_closed_again(place: Place) -> None:
    """And another one opened."""
    made = open_knowledge_base(place.uri)
    made.close()
    made.close()
    answer(open_knowledge_base(place.uri))
