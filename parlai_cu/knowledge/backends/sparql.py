"""
``sparql+https://host/query``: a knowledge graph behind a SPARQL endpoint.

Entities are found by their labels and aliases as they stand there now, and what is known of them,
one and two steps away, is read and told as of a graph in a file. Of what a user says only words of
letters and digits reach a query, as literals.
"""

import dataclasses
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import requests

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.knowledge.cached_source import CircuitBreaker
from parlai_cu.knowledge.endpoint import Endpoint, EndpointReply, refusal
from parlai_cu.knowledge.graph_facts import (
    HUB,
    LABELS,
    Statistics,
    facts_of,
    need_rdflib,
    ranked,
)
from parlai_cu.knowledge.question import ask
from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, Turn

try:
    import rdflib
    from rdflib import BNode, Literal, URIRef
except ImportError:  # an extra
    rdflib = None  # type: ignore[assignment]

# the properties that name a thing, as a query has them
_LABELS = " ".join(f"<{label}>" for label in LABELS)

# of each question: things that are called as it says, and triples that are read about them
_THINGS, _TRIPLES = 20, 5000
# facts that can be looked up again by their ids
_REMEMBERED = 1000
# words are weighed as in a graph of so many facts, of which only a few are read
_FACTS = 10_000
# labels are held here, as no query finds "cafe uno" among 100,000 labels in time; they are read
# again when their number changes, and at the latest after so many seconds
_LABELS_MOST, _LABELS_S = 200_000, 60.0
_COUNT = """
SELECT (COUNT(*) AS ?n) WHERE {{ VALUES ?label {{ {labels} }} ?thing ?label ?text }}
"""
_EVERY_LABEL = """
SELECT DISTINCT ?text WHERE {{
  VALUES ?label {{ {labels} }} ?thing ?label ?text FILTER(isLiteral(?text))
}} LIMIT {limit}
"""
_CALLED = """
SELECT DISTINCT ?thing ?text WHERE {{
  VALUES ?text {{ {texts} }} VALUES ?label {{ {labels} }} ?thing ?label ?text FILTER(isIRI(?thing))
}} LIMIT {limit}
"""
_AROUND = """
CONSTRUCT {{ ?a ?b ?c }} WHERE {{
  {{ VALUES ?a {{ {things} }} ?a ?b ?c }}
  UNION {{
    {{ SELECT ?a WHERE {{
        {{ SELECT DISTINCT ?a WHERE {{
             VALUES ?s {{ {things} }} ?s ?p ?a FILTER(!isLiteral(?a)) }} }}
        ?a ?x ?y }}
      GROUP BY ?a HAVING (COUNT(*) <= {hub}) }}
    ?a ?b ?c }}
}} LIMIT {limit}
"""
_NAMES = """
CONSTRUCT {{ ?a ?b ?c }} WHERE {{
  VALUES ?a {{ {things} }} VALUES ?b {{ {labels} }} ?a ?b ?c
}} LIMIT {limit}
"""
_STATE = (
    "SELECT (COUNT(*) AS ?n) (SUM(COALESCE(STRLEN(STR(?c)), 0)) AS ?letters) WHERE { ?a ?b ?c }"
)


class SparqlEndpoint(ReadOnly):
    """
    A graph that is asked over HTTP.

    :param uri: ``sparql+https://...``; a user and a password may stand before the host
    :param backoff_s: seconds before the second try
    :param clock: seconds, ever growing
    :raises KnowledgeError: when nothing there answers queries
    """

    how_to_write = "SPARQL updates"

    def __init__(
        self, uri: str, backoff_s: float = 0.2, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoint = Endpoint(uri, backoff_s=backoff_s)
        self.name = self._endpoint.name
        need_rdflib(self.name)
        self._clock = clock
        self._breaker = CircuitBreaker(clock=clock)
        self._remembering = threading.Lock()
        self._subjects: OrderedDict[str, Any] = OrderedDict()
        self._reading_labels = threading.Lock()
        self._labels: dict[str, list[Any]] = {}
        self._count, self._read_at = -1, 0.0
        self._rows("SELECT * WHERE { } LIMIT 1")

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """What is known of the entities named, best first; ``score`` is a share, 0 to 1."""
        things: dict[str, list[Any]] = {}

        def known(names: list[str]) -> list[str]:
            things.update(self._called(names))
            return [name for name in names if name in things]

        question = ask(turn, known)
        meant = [thing for name in question.entities for thing in things[name]]
        if not question.weights or not meant:
            return []
        facts = self._facts(meant[:_THINGS])
        return ranked(question, facts, Statistics.of(facts, _FACTS))[:top_k]

    def get(self, fact_id: str) -> Evidence | None:
        """A fact that was found lately, if it still is so."""
        subject = self._subjects.get(fact_id)
        for fact in [] if subject is None else self._facts([subject]):
            if fact.id == fact_id:
                return dataclasses.replace(fact, score=1.0)
        return None

    def stats(self) -> dict[str, Any]:
        """Triples, and the snapshot."""
        state = self._state()
        return {"facts": int(state["n"]), "snapshot": _digest(state)}

    def snapshot_id(self) -> str:
        """
        Of the number of triples and of their values' letters.

        SPARQL knows no change counter. What leaves both as they were is not seen in this id, but
        in the next reply, whose facts have a digest of all that was read for it.
        """
        return _digest(self._state())

    def close(self) -> None:
        """Let go of the connections."""
        self._endpoint.close()

    # -- what is asked -----------------------------------------------------------------------

    def _called(self, names: list[str]) -> dict[str, list[Any]]:
        """What is called by each of these names now."""
        labels = self._known_labels()
        if labels is None:
            texts = {text for name in names for text in _spellings(name)}
        else:
            texts = {text for name in names for text in labels.get(name, ())}
        if not texts:
            return {}
        query = _CALLED.format(labels=_LABELS, texts=_list(sorted(texts)), limit=_THINGS * 10)
        found: dict[str, list[Any]] = {}
        for row in sorted(self._rows(query), key=lambda row: str(row["thing"])):
            found.setdefault(" ".join(words(row["text"])), []).append(row["thing"])
        return {name: found[name] for name in names if name in found}

    def _known_labels(self) -> dict[str, list[Any]] | None:
        """The words of each label -> how it is written; None where there are too many."""
        (row,) = self._rows(_COUNT.format(labels=_LABELS))
        count, now = int(row["n"]), self._clock()
        if count > _LABELS_MOST:
            return None
        with self._reading_labels:
            if self._count != count or now - self._read_at > _LABELS_S:
                labels: dict[str, list[Any]] = {}
                for row in self._rows(_EVERY_LABEL.format(labels=_LABELS, limit=_LABELS_MOST)):
                    labels.setdefault(" ".join(words(row["text"])), []).append(row["text"])
                self._labels, self._count, self._read_at = labels, count, now
            return self._labels

    def _facts(self, things: list[Any]) -> list[Evidence]:
        graph = self._graph(_AROUND.format(things=_list(things), hub=HUB, limit=_TRIPLES))
        digest = hashlib.sha256("\n".join(sorted(map(str, graph))).encode()).hexdigest()[:12]
        named = {thing for triple in graph for thing in triple[1:] if isinstance(thing, URIRef)}
        graph += self._graph(
            _NAMES.format(things=_list(sorted({*things, *named})), labels=_LABELS, limit=_TRIPLES)
        )
        found = facts_of(graph, self.name, digest, set(things))
        with self._remembering:
            self._subjects.update(found.subjects)
            while len(self._subjects) > _REMEMBERED:
                self._subjects.popitem(last=False)
        return list(found.facts.values())

    def _state(self) -> dict[str, str]:
        (row,) = self._rows(_STATE)
        return {name: str(value) for name, value in row.items()}

    # -- over the wire -----------------------------------------------------------------------

    def _rows(self, query: str) -> list[dict[str, Any]]:
        answer = self._ask(query, "application/sparql-results+json")
        try:
            found = json.loads(answer.content)["results"]["bindings"]
            return [{name: _term(cell) for name, cell in row.items()} for row in found]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise KnowledgeError(
                f"{self.name} answers no SPARQL queries: {answer.content[:60]!r}"
            ) from error

    def _graph(self, query: str) -> Any:
        answer = self._ask(query, "application/n-triples, text/turtle;q=0.5")
        kind = "nt" if "n-triples" in answer.kind else "turtle"
        try:
            return rdflib.Graph().parse(data=answer.content, format=kind)
        except Exception as error:  # every parser has errors of its own
            reason = " ".join(str(error).split())[:200]
            raise KnowledgeError(f"{self.name} sent no {kind}: {reason}") from error

    def _ask(self, query: str, kind: str) -> EndpointReply:
        wait = self._breaker.wait()
        if wait:
            raise KnowledgeError(
                f"{self.name}: failed {self._breaker.most} times in a row and is left alone for "
                f"another {wait:.0f} s"
            )
        try:
            answer = self._endpoint.post(data={"query": query}, headers={"Accept": kind})
            if answer.status != 200:
                raise KnowledgeError(refusal(answer))
        except (requests.RequestException, KnowledgeError) as error:
            self._breaker.failed()
            raise KnowledgeError(f"{self.name}: {error}") from error
        self._breaker.succeeded()
        return answer


def _list(things: Iterable[Any]) -> str:
    """Literals and addresses as SPARQL writes them, escaped by rdflib."""
    return " ".join(thing.n3() for thing in things)


def _term(cell: dict[str, str]) -> Any:
    """A cell of a result, as rdflib has it."""
    if cell["type"] == "uri":
        return URIRef(cell["value"])
    if cell["type"] == "bnode":
        return BNode(cell["value"])
    return Literal(
        cell["value"],
        lang=cell.get("xml:lang"),
        datatype=URIRef(cell["datatype"]) if cell.get("datatype") else None,
        normalize=False,
    )


def _spellings(name: str) -> list[Any]:
    """How a label may be written, where there are too many to be held."""
    texts = {name, name.title(), name.capitalize(), name.upper()}
    return [Literal(text, lang=lang) for text in texts for lang in (None, "en")]


def _digest(state: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()[:12]
