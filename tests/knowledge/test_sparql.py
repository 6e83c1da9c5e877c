"""A knowledge graph behind a SPARQL endpoint, Oxigraph's: as of a graph in a file, and live."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.endpoint import EndpointReply
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Turn
from tests.knowledge.oxigraph import Oxigraph, running
from tests.knowledge.servers import chat_server
from tests.knowledge.test_graph import TURTLE
from tests.knowledge.test_openai import Clock
from tests.knowledge.test_sqlite import HOSTILE

pytest.importorskip("rdflib")

from parlai_cu.knowledge.backends.graph import GraphFile  # noqa: E402
from parlai_cu.knowledge.backends.sparql import SparqlEndpoint  # noqa: E402

MORE = (
    TURTLE
    + """
:cafe rdfs:label "Café  de l'Étoile" ; :phoneNumber "01223 42" ; :locatedIn :world .
:seoul rdfs:label "한국 식당" ; :phoneNumber "01223 82" .
:wien rdfs:label "Wien"@de, "Vienna"@en ; :river "Danube" .
:world rdfs:label "World" ; :population "many" .
"""
    + "".join(f":world :country :c{number} .\n" for number in range(60))
)


@pytest.fixture(scope="module")
def server() -> Iterator[Oxigraph]:
    """One for all tests here."""
    with running() as made:
        yield made


@pytest.fixture
def town(server: Oxigraph) -> SparqlEndpoint:
    """A small town."""
    server.put(MORE)
    return SparqlEndpoint(server.uri, backoff_s=0.0, clock=Clock())


def texts(town: SparqlEndpoint, text: str, *history: str) -> list[str]:
    """What is found, best first."""
    return [found.text for found in town.query(Turn(text, history))]


def test_it_says_what_the_file_says(town: SparqlEndpoint, tmp_path: Path) -> None:
    """The same facts about the same things, in the same words."""
    (tmp_path / "town.ttl").write_text(MORE)
    file = GraphFile(f"graph:{tmp_path / 'town.ttl'}")
    for text in (
        "what is the phone number of Curry Garden?",
        "which bus line to curry garden?",
        "is curry garden open on monday?",
        "phone number of the garden please",
        "how do I call the town hall?",
        "tell me about Vienna",
    ):
        mine = town.query(Turn(text), 50)
        # beside what the file answers as a table
        its = [found for found in file.query(Turn(text), 50) if not found.query]
        assert {found.id: found.text for found in mine} == {f.id: f.text for f in its}
        assert [found.entity for found in mine[:1]] == [found.entity for found in its[:1]]
        assert all(0 <= found.score <= 1 for found in mine)


def test_the_best_fact_comes_first(town: SparqlEndpoint) -> None:
    """One step, two steps, through nodes without a name; of what was named before."""
    assert texts(town, "what is the phone number of Curry Garden?")[0] == (
        "Curry Garden phone number 01223 302330."
    )
    assert texts(town, "which bus line to curry garden?")[0] == (
        "Curry Garden located in Centre, whose bus line 4."
    )
    assert texts(town, "is curry garden open on monday?")[0] == (
        "Curry Garden opening hours monday noon to ten."
    )
    said = ("I like The Nile.", "Good choice.")
    assert texts(town, "what is its phone number?", *said)[0] == "The Nile phone number 01223 555."
    assert texts(town, "thank you", *said) == []


@pytest.mark.parametrize(
    "called", ["café de l'étoile", "CAFE DE L'ETOILE", "cafe de l etoile", "한국 식당"]
)
def test_names_are_known_without_case_accents_and_marks(called: str, town: SparqlEndpoint) -> None:
    """As in a file."""
    assert texts(town, f"phone number of {called}")[0].endswith(("01223 42.", "01223 82."))


def test_nothing_is_told_through_a_hub(town: SparqlEndpoint) -> None:
    """That a place is in the world says nothing of the world's sixty countries."""
    found = texts(town, "where is the café de l'étoile located?")
    assert found[0] == "Café  de l'Étoile located in World."
    assert not any("country" in text for text in found)


def test_changes_are_seen_at_once(town: SparqlEndpoint, server: Oxigraph) -> None:
    """Values, names and what is no more."""
    question = "phone number of curry garden"
    (found, *_) = town.query(Turn(question))
    before = town.snapshot_id()
    assert town.get(found.id) is not None and town.snapshot_id() == before
    server.put(MORE.replace("01223 302330", "01223 9"))
    assert texts(town, question)[0].endswith("01223 9.")
    assert town.snapshot_id() != before and town.get(found.id) is None
    assert town.query(Turn(question))[0].snapshot != found.snapshot
    server.put(MORE + ':new rdfs:label "New  Inn" ; :phoneNumber "01223 1" .')
    assert texts(town, "phone number of the new inn")[0].endswith("01223 1.")


def test_another_name_is_known_within_a_minute(town: SparqlEndpoint, server: Oxigraph) -> None:
    """The old one is gone at once."""
    clock: Any = town._clock
    texts(town, "curry garden")
    server.put(MORE.replace("Curry Garden", "Curry Palace").replace("the Garden", "Garten"))
    assert texts(town, "phone number of curry garden") == []
    clock.now += 61
    assert texts(town, "phone number of curry palace")[0].endswith("302330.")


def test_too_many_labels_to_be_held(town: SparqlEndpoint, monkeypatch: Any) -> None:
    """Things are found where they are written as names mostly are."""
    monkeypatch.setattr("parlai_cu.knowledge.backends.sparql._LABELS_MOST", 3)
    assert texts(town, "phone number of curry garden")[0].endswith("302330.")
    assert texts(town, "the river of vienna")[0] == "Vienna river Danube."


def test_one_that_goes_and_comes_back() -> None:
    """Gone: a clear error; back: found again. After many failures nobody waits for it."""
    with running() as server:
        server.put(MORE)
        clock = Clock()
        town = SparqlEndpoint(server.uri, backoff_s=0.0, clock=clock)
        server.stop()
        for _ in range(5):
            with pytest.raises(KnowledgeError, match="sparql.http://127.0.0.1:.*refused"):
                town.query(Turn("curry garden"))
        with pytest.raises(KnowledgeError, match="left alone for another 30 s"):
            town.query(Turn("curry garden"))
        server.start()
        server.put(MORE)
        clock.now += 31
        assert texts(town, "curry garden phone number")


def test_what_is_no_endpoint_is_refused(server: Oxigraph) -> None:
    """At the start: nobody there, something else there; and changes are for its own tools."""
    with pytest.raises(KnowledgeError, match="sparql.http://127.0.0.1:9/q"):
        SparqlEndpoint("sparql+http://127.0.0.1:9/q", backoff_s=0.0)
    with pytest.raises(KnowledgeError, match="HTTP status 404"):
        SparqlEndpoint(server.uri + "x", backoff_s=0.0)
    with chat_server(lambda asked: (200, {})) as other:
        with pytest.raises(KnowledgeError, match="HTTP status 404"):
            SparqlEndpoint(f"sparql+{other.url}")
    with pytest.raises(KnowledgeError, match="only read; change it with SPARQL updates"):
        open_knowledge_base(server.uri, writable=True)


def test_one_that_answers_something_else(monkeypatch: Any, town: SparqlEndpoint) -> None:
    """A page of a proxy, say: a clear error, and all is well once it is gone."""
    with monkeypatch.context() as patch:
        page = EndpointReply(200, b"<html>Please log in</html>", "text/html")
        patch.setattr(town._endpoint, "post", lambda *args, **more: page)
        with pytest.raises(KnowledgeError, match="answers no SPARQL queries: b'<html>"):
            town.query(Turn("curry garden"))
        with pytest.raises(KnowledgeError, match="sent no turtle"):
            town._graph("CONSTRUCT")
    assert texts(town, "curry garden food")


def test_facts_and_state_are_counted(town: SparqlEndpoint) -> None:
    """The number of triples."""
    stats = town.stats()
    assert stats["facts"] > 60 and stats["snapshot"] == town.snapshot_id()


INJECTIONS = [
    '" } DELETE { ?s ?p ?o } WHERE { ?s ?p ?o } #',
    "curry garden\\' . ?s ?p ?o",
    "} } ; DROP ALL ; SELECT * {",
    "<http://example.com/garden>",
    '""" curry garden',
    "\\u0022 } curry garden",
]


@pytest.mark.parametrize("text", [*HOSTILE, *INJECTIONS])
def test_no_text_is_a_command(text: str, town: SparqlEndpoint, server: Oxigraph) -> None:
    """Any text is only text."""
    before = server.content()
    town.query(Turn(text + " curry garden", (text,)))
    assert server.content() == before


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=40), before=st.text(max_size=40))
def test_every_query_is_one(server: Oxigraph, text: str, before: str) -> None:
    """Whatever is said, the endpoint understands what it is asked."""
    town = SparqlEndpoint(server.uri, backoff_s=0.0)
    assert all(one.source == town.name for one in town.query(Turn(text, (before,))))


def test_labels_may_be_anything(server: Oxigraph) -> None:
    """What stands in the graph is only text as well."""
    server.put(MORE + ':odd rdfs:label "odd \\" } place" ; :x "\\" . } \\n <a> \\\\" .')
    town = SparqlEndpoint(server.uri, backoff_s=0.0)
    assert "odd" in texts(town, "tell me of the odd place x")[0]
