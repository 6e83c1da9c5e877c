"""
What a graph says, in words: one sentence a fact, about a thing that people call by a name.

Shared by graphs in files and graphs behind a SPARQL endpoint.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.question import Question
from parlai_cu.knowledge.words import terms, words
from parlai_cu.types import Evidence

try:
    import rdflib
    from rdflib import BNode, Literal, URIRef
except ImportError:  # an extra
    rdflib = None  # type: ignore[assignment]

# what names a thing, best first; the first five are what it is called, the last an alias
LABELS = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "http://schema.org/name",
    "https://schema.org/name",
    "http://xmlns.com/foaf/0.1/name",
    "http://www.w3.org/2004/02/skos/core#altLabel",
)
# a fact two steps away is worth so much of one that is near
_FAR = 0.6
# things with more neighbours than this are hubs (a country, a class): nothing is told through them
HUB = 50


def need_rdflib(uri: str) -> None:
    """
    Refuse to go on without it.

    :raises KnowledgeError: with the way to install it
    """
    if rdflib is None:
        raise KnowledgeError(f'--kb {uri}: graphs need rdflib: pip install "parlai-cu[knowledge]"')


@dataclasses.dataclass(frozen=True)
class Statistics:
    """
    How words are spread over facts.

    :param facts: how many there are
    :param documents: term -> in how many of them
    :param average: terms of a fact, in the mean
    """

    facts: int
    documents: dict[str, int]
    average: float

    @classmethod
    def of(cls, facts: Collection[Evidence], of_all: int = 0) -> "Statistics":
        """
        Counted.

        :param facts: to be counted
        :param of_all: how many facts there are, if these are but some
        """
        documents: Counter = Counter()
        length = 0
        for fact in facts:
            found = terms(fact.text)
            documents.update(set(found))
            length += len(found)
        count = max(len(facts), of_all)
        return cls(count, dict(documents), length / max(len(facts), 1))


class GraphFacts(NamedTuple):
    """
    Facts by their ids; the words of each name -> ids (``about``); ids -> their subjects there.
    """

    facts: dict[str, Evidence]
    about: dict[str, list[str]]
    subjects: dict[str, Any]


def ranked(question: Question, facts: Iterable[Evidence], known: Statistics) -> list[Evidence]:
    """Facts by how well they answer a question; their own score is how near they are."""
    frequencies = {
        term: bm25.inverse_frequency(known.facts, known.documents.get(term, 0))
        for term in question.weights
    }
    found = []
    for fact in facts:
        score = bm25.relevance(question.weights, frequencies, terms(fact.text), known.average)
        found.append(dataclasses.replace(fact, score=score * fact.score))
    return sorted(found, key=lambda fact: (-fact.score, fact.id))


def facts_of(
    graph: object, source: str, snapshot: str, things: Collection[Any] | None = None
) -> GraphFacts:
    """
    Everything a graph says.

    :param graph: of rdflib
    :param source: the graph's name, for what is found
    :param snapshot: the state that was read
    :param things: only what is said about these
    """
    names = _names(graph)
    found = GraphFacts({}, {}, {})
    for subject, text, share in _told(graph, names):
        if things is not None and subject not in things:
            continue
        key = hashlib.sha256(f"{subject}\n{text}".encode()).hexdigest()[:12]
        label = names[subject][0]
        found.facts[key] = Evidence(key, text, share, source, snapshot, entity=label)
        found.subjects[key] = subject
        for called in names[subject]:
            found.about.setdefault(" ".join(words(called)), []).append(key)
    found.about.pop("", None)
    return found


def _names(graph: Any) -> dict[Any, list[str]]:
    """What each thing is called, its label first; without one, the end of its address."""
    names: dict[Any, list[str]] = {}
    for predicate in LABELS:
        for subject, value in sorted(graph.subject_objects(URIRef(predicate)), key=_plainest):
            names.setdefault(subject, []).append(str(value))
    for triple in graph:
        for thing in triple:
            if thing not in names:
                names[thing] = [plain_name(thing)]
    return names


def _plainest(pair: tuple[Any, Any]) -> tuple[str, bool, str]:
    """English, or no language at all, before others."""
    subject, value = pair
    language = str(getattr(value, "language", None) or "en")
    return str(subject), not language.startswith("en"), str(value)


def plain_name(thing: Any) -> str:
    """A ``thing`` in words: a value as it is; ``.../busLine`` as ``bus line``."""
    text = str(thing)
    if isinstance(thing, Literal):
        return text
    end = text.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1]
    spaced = "".join(f" {c.lower()}" if c.isupper() and i else c for i, c in enumerate(end))
    return spaced.replace("_", " ")


def _told(graph: Any, names: dict[Any, list[str]]) -> Iterator[tuple[Any, str, float]]:
    """Each fact in words: about what, the words, and how near it is."""
    for subject, predicate, value in sorted(graph, key=lambda triple: tuple(map(str, triple))):
        if str(predicate) in LABELS or isinstance(subject, BNode):
            continue
        said = f"{names[subject][0]} {names[predicate][0]}"
        if not isinstance(value, BNode):
            yield subject, f"{said} {names[value][0]}.", 1.0
        beyond = list(graph.predicate_objects(value)) if not isinstance(value, Literal) else []
        if len(beyond) > HUB:
            continue
        for second, last in sorted(beyond, key=lambda pair: tuple(map(str, pair))):
            if str(second) in LABELS or isinstance(last, BNode) or last == subject:
                continue
            through = "" if isinstance(value, BNode) else f" {names[value][0]}, whose"
            yield subject, f"{said}{through} {names[second][0]} {names[last][0]}.", _FAR
