"""
``graph:facts.ttl``: a knowledge graph in a file (Turtle, N-Triples or JSON-LD).

Entities are found in the conversation by their labels and aliases; what is known of them, one and
two steps away, is told in words and ranked against the question.
"""

import dataclasses
import hashlib
import logging
import os
import threading
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional, Tuple

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.knowledge.question import ask
from parlai_cu.knowledge.words import terms, words
from parlai_cu.types import Evidence, Turn

try:
    import rdflib
    from rdflib import BNode, Literal, URIRef
except ImportError:  # an extra
    rdflib = None  # type: ignore[assignment]

_FORMATS = {".ttl": "turtle", ".nt": "nt", ".jsonld": "json-ld", ".json": "json-ld"}
# what names a thing, best first; the first three are what it is called, the last an alias
_LABELS = (
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
_HUB = 50
_logger = logging.getLogger(__name__)


@dataclasses.dataclass
class _Graph:
    """A file that was read: facts by what they are about, and who is called what."""

    snapshot: str
    stamp: Any
    facts: Dict[str, Evidence]
    about: Dict[str, List[str]]
    documents: Dict[str, int]
    average: float


class GraphFile(ReadOnly):
    """
    A graph in a file, read again when the file changes.

    :param uri: ``graph:`` and the file
    :raises KnowledgeError: when there is no such file, or it is no graph
    """

    how_to_write = "the program that writes the file"

    def __init__(self, uri: str) -> None:
        if rdflib is None:
            raise KnowledgeError(
                f'--kb {uri}: graphs need rdflib: pip install "parlai-cu[knowledge]"'
            )
        self.name = uri
        self.path = uri.split(":", 1)[1]
        self._lock = threading.Lock()
        self._held: Optional[_Graph] = None
        # of a file that could not be read: it is not tried again until it changes
        self._refused: Any = None
        self._graph()

    def query(self, turn: Turn, top_k: int = 5) -> List[Evidence]:
        """What is known of the entities named, best first; ``score`` is a share, 0 to 1."""
        graph = self._graph()
        question = ask(turn, lambda names: [name for name in names if name in graph.about])
        if not question.weights:
            return []
        everything = len(graph.facts)
        frequencies = {
            term: bm25.inverse_frequency(everything, graph.documents.get(term, 0))
            for term in question.weights
        }
        found = {key for name in question.entities for key in graph.about[name]}
        ranked = []
        for key in found:
            fact = graph.facts[key]
            score = bm25.relevance(question.weights, frequencies, terms(fact.text), graph.average)
            ranked.append(dataclasses.replace(fact, score=score * fact.score))
        ranked.sort(key=lambda fact: (-fact.score, fact.id))
        return ranked[:top_k]

    def get(self, fact_id: str) -> Optional[Evidence]:
        """The fact of that id."""
        found = self._graph().facts.get(fact_id)
        return None if found is None else dataclasses.replace(found, score=1.0)

    def stats(self) -> Dict[str, Any]:
        """Facts, names of entities and the snapshot."""
        graph = self._graph()
        return {
            "facts": len(graph.facts),
            "entities": len(graph.about),
            "snapshot": graph.snapshot,
        }

    def snapshot_id(self) -> str:
        """Digest of the file."""
        return self._graph().snapshot

    def close(self) -> None:
        """Let go of what was read."""
        self._held = None

    def _graph(self) -> _Graph:
        with self._lock:
            try:
                stat = os.stat(self.path)
            except OSError as error:
                raise KnowledgeError(f"{self.name}: no such file ({error.strerror})") from error
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._held is not None and stamp in (self._held.stamp, self._refused):
                return self._held
            try:
                self._held = _read(self.path, self.name, stamp)
            except KnowledgeError as error:
                if self._held is None:
                    raise
                # half written, perhaps: what was known stays known
                self._refused = stamp
                _logger.warning("the graph as it was before goes on: %s", error)
            return self._held


def _read(path: str, name: str, stamp: Any) -> _Graph:
    kind = os.path.splitext(path)[1].lower()
    if kind not in _FORMATS:
        raise KnowledgeError(f"{name}: expected {', '.join(_FORMATS)}, found {kind or 'no ending'}")
    with open(path, "rb") as file:
        content = file.read()
    graph = rdflib.Graph()
    try:
        graph.parse(data=content, format=_FORMATS[kind])
    except Exception as error:  # every parser has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise KnowledgeError(f"{name} is not {_FORMATS[kind]}: {reason}") from error
    snapshot = hashlib.sha256(content).hexdigest()[:12]
    names = _names(graph)
    facts: Dict[str, Evidence] = {}
    about: Dict[str, List[str]] = {}
    for subject, text, share in _told(graph, names):
        key = hashlib.sha256(f"{subject}\n{text}".encode()).hexdigest()[:12]
        label = names[subject][0]
        facts[key] = Evidence(key, text, share, name, snapshot, entity=label)
        for called in names[subject]:
            about.setdefault(" ".join(words(called)), []).append(key)
    about.pop("", None)
    documents: Counter = Counter()
    length = 0
    for fact in facts.values():
        found = terms(fact.text)
        documents.update(set(found))
        length += len(found)
    return _Graph(snapshot, stamp, facts, about, dict(documents), length / max(len(facts), 1))


def _names(graph: Any) -> Dict[Any, List[str]]:
    """What each thing is called, its label first; without one, the end of its address."""
    names: Dict[Any, List[str]] = {}
    for predicate in _LABELS:
        for subject, value in sorted(graph.subject_objects(URIRef(predicate))):
            names.setdefault(subject, []).append(str(value))
    for triple in graph:
        for thing in triple:
            if thing not in names:
                names[thing] = [_plain(thing)]
    return names


def _plain(thing: Any) -> str:
    """A value as it is; an address by its last part, ``busLine`` as ``bus line``."""
    text = str(thing)
    if isinstance(thing, Literal):
        return text
    end = text.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1]
    spaced = "".join(f" {c.lower()}" if c.isupper() and i else c for i, c in enumerate(end))
    return spaced.replace("_", " ")


def _told(graph: Any, names: Dict[Any, List[str]]) -> Iterator[Tuple[Any, str, float]]:
    """Each fact in words: about what, the words, and how near it is."""
    for subject, predicate, value in sorted(graph, key=lambda triple: tuple(map(str, triple))):
        if str(predicate) in _LABELS or isinstance(subject, BNode):
            continue
        said = f"{names[subject][0]} {names[predicate][0]}"
        if not isinstance(value, BNode):
            yield subject, f"{said} {names[value][0]}.", 1.0
        beyond = list(graph.predicate_objects(value)) if not isinstance(value, Literal) else []
        if len(beyond) > _HUB:
            continue
        for second, last in sorted(beyond, key=lambda pair: tuple(map(str, pair))):
            if str(second) in _LABELS or isinstance(last, BNode) or last == subject:
                continue
            through = "" if isinstance(value, BNode) else f" {names[value][0]}, whose"
            yield subject, f"{said}{through} {names[second][0]} {names[last][0]}.", _FAR
