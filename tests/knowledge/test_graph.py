"""A knowledge graph in a file: naming, one and two steps, and a file that changes."""

import logging
from pathlib import Path

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Turn
from tests.knowledge.test_sqlite import HOSTILE

rdflib = pytest.importorskip("rdflib")

from parlai_cu.knowledge.backends.graph import GraphFile  # noqa: E402

TURTLE = """
@prefix : <http://example.com/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .

:garden rdfs:label "Curry Garden" ; skos:altLabel "the Garden" ;
    :phoneNumber "01223 302330" ; :food "indian" ; :locatedIn :centre ;
    :openingHours [ :monday "noon to ten" ] .
:nile rdfs:label "The Nile" ; :phoneNumber "01223 555" ; :locatedIn :north .
:centre rdfs:label "Centre" ; :busLine "4" .
:north :busLine "7" .
"""


@pytest.fixture
def graph(tmp_path: Path) -> GraphFile:
    """A small town."""
    path = tmp_path / "town.ttl"
    path.write_text(TURTLE)
    return GraphFile(f"graph:{path}")


def texts(graph: GraphFile, text: str, *history: str) -> list[str]:
    """What is found, best first."""
    return [found.text for found in graph.query(Turn(text, history))]


def test_facts_are_told_by_labels(graph: GraphFile) -> None:
    """Things by their label or the end of their address, properties split into words."""
    assert texts(graph, "what is the phone number of Curry Garden?")[0] == (
        "The phone number of Curry Garden is 01223 302330."
    )
    assert texts(graph, "which bus line to curry garden?")[0] == (
        "Curry Garden located in Centre, whose bus line 4."
    )
    assert "north bus line 7." in texts(graph, "bus line in the north")


def test_nodes_without_a_name_are_passed_through(graph: GraphFile) -> None:
    """Their facts are their owner's."""
    assert texts(graph, "is curry garden open on monday?")[0] == (
        "Curry Garden opening hours monday noon to ten."
    )


def test_aliases_and_carried_over(graph: GraphFile) -> None:
    """Another name is as good; an entity named before stands in for one that is not named now."""
    assert "01223 302330" in texts(graph, "phone number of the garden please")[0]
    said = ("I like The Nile.", "Good choice.")
    assert texts(graph, "what is its phone number?", *said)[0] == (
        "The phone number of The Nile is 01223 555."
    )
    assert texts(graph, "thank you", *said) == []


def test_unknown_things_find_nothing(graph: GraphFile) -> None:
    """Only what is named is told of."""
    assert texts(graph, "what is the phone number of the town hall?") == []


@pytest.mark.parametrize("kind", ["nt", "json-ld"])
def test_other_formats_are_the_same_graph(kind: str, graph: GraphFile, tmp_path: Path) -> None:
    """N-Triples and JSON-LD."""
    path = tmp_path / {"nt": "town.nt", "json-ld": "town.jsonld"}[kind]
    rdflib.Graph().parse(data=TURTLE, format="turtle").serialize(
        str(path), format=kind, encoding="utf-8"
    )
    other = GraphFile(f"graph:{path}")
    question = "what is the phone number of Curry Garden?"
    assert texts(other, question) == texts(graph, question)
    assert other.stats()["facts"] == graph.stats()["facts"]


def test_a_change_of_the_file_is_seen(graph: GraphFile, caplog: pytest.LogCaptureFixture) -> None:
    """At the next question; a half-written file leaves what was known, with one line in the log."""
    path, before = Path(graph.path), graph.snapshot_id()
    path.write_text(TURTLE.replace("01223 302330", "01223 999"))
    assert "01223 999" in texts(graph, "phone number of curry garden")[0]
    assert graph.snapshot_id() != before
    path.write_text(TURTLE[: len(TURTLE) // 2] + '"')
    with caplog.at_level(logging.WARNING):
        assert "01223 999" in texts(graph, "phone number of curry garden")[0]
        texts(graph, "phone number of curry garden")
    assert len([r for r in caplog.records if "goes on" in r.message]) == 1
    path.write_text(TURTLE)
    assert "01223 302330" in texts(graph, "phone number of curry garden")[0]


def test_a_file_that_is_gone(graph: GraphFile) -> None:
    """A clear error, and found again when it is back."""
    path = Path(graph.path)
    path.unlink()
    with pytest.raises(KnowledgeError, match="no such file"):
        graph.query(Turn("curry garden"))
    path.write_text(TURTLE)
    assert texts(graph, "curry garden food")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing, of another kind, or broken; and changes are for its own tools."""
    with pytest.raises(KnowledgeError, match="no such file"):
        GraphFile(f"graph:{tmp_path}/none.ttl")
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(KnowledgeError, match="expected .ttl, .nt, .jsonld, .json, found .xml"):
        GraphFile(f"graph:{tmp_path}/a.xml")
    (tmp_path / "b.ttl").write_text("this is not turtle")
    with pytest.raises(KnowledgeError, match="b.ttl is not turtle"):
        GraphFile(f"graph:{tmp_path}/b.ttl")
    (tmp_path / "c.ttl").write_text(TURTLE)
    with pytest.raises(KnowledgeError, match="is only read; change it with"):
        open_knowledge_base(f"graph:{tmp_path}/c.ttl", writable=True)
    with pytest.raises(KnowledgeError, match="only read from here"):
        GraphFile(f"graph:{tmp_path}/c.ttl").remove(["x"])


def test_facts_can_be_looked_up(graph: GraphFile) -> None:
    """By the id that the evidence had."""
    answer, found, *_ = graph.query(Turn("curry garden phone number"))
    again = graph.get(found.id)
    assert again is not None and again.text == found.text and again.entity == "Curry Garden"
    whole = graph.get(answer.id)
    assert whole is not None and found.text in whole.text
    assert graph.get("nothing") is None


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_a_command(text: str, graph: GraphFile) -> None:
    """Any text is only text."""
    before = Path(graph.path).read_bytes()
    graph.query(Turn(text + " curry garden", (text,)))
    assert Path(graph.path).read_bytes() == before
