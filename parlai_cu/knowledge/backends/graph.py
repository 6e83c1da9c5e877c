"""
``graph:facts.ttl``: a knowledge graph in a file (Turtle, N-Triples or JSON-LD).

Entities are found in the conversation by their labels and aliases; what is known of them, one and
two steps away, is told in words and ranked against the question.
"""

import codecs
import dataclasses
import hashlib
import logging
import os
import threading
from typing import Any

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.asking.asked import NEVER, AskedTables
from parlai_cu.knowledge.asking.linked import linked_tables
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.knowledge.graph_facts import Statistics, facts_of, need_rdflib, ranked
from parlai_cu.knowledge.graph_things import things_of
from parlai_cu.knowledge.question import ask
from parlai_cu.types import Evidence, Turn

_FORMATS = {".ttl": "turtle", ".nt": "nt", ".jsonld": "json-ld", ".json": "json-ld"}
_logger = logging.getLogger(__name__)


@dataclasses.dataclass
class _Graph:
    """A file that was read: facts by what they are about, and who is called what."""

    snapshot: str
    stamp: Any
    facts: dict[str, Evidence]
    about: dict[str, list[str]]
    statistics: Statistics
    graph: Any
    subjects: dict[str, Any]


class GraphFile(ReadOnly):
    """
    A graph in a file, read again when the file changes.

    :param uri: ``graph:`` and the file
    :raises KnowledgeError: when there is no such file, or it is no graph
    """

    how_to_write = "the program that writes the file"

    def __init__(self, uri: str) -> None:
        need_rdflib(uri)
        self.name = uri
        self.path = uri.split(":", 1)[1]
        self._lock = threading.Lock()
        self._held: _Graph | None = None
        # of a file that could not be read: it is not tried again until it changes
        self._refused: Any = None
        self._tables = AskedTables(uri, by_language=True)
        self._graph()

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """What is known of the entities named, best first; ``score`` is a share, 0 to 1."""
        graph = self._graph()
        answers = self._tables.answers(
            turn, graph.snapshot, lambda said: (linked_tables(things_of(graph.graph, said)), NEVER)
        )
        question = ask(turn, lambda names: [name for name in names if name in graph.about])
        if not question.weights:
            return answers
        found = {key for name in question.entities for key in graph.about[name]}
        facts = [graph.facts[key] for key in found]
        return [*answers, *ranked(question, facts, graph.statistics)][:top_k]

    def get(self, fact_id: str) -> Evidence | None:
        """The fact of that id."""
        graph = self._graph()
        found = graph.facts.get(fact_id)
        if found is None:  # an answer's row is called by its thing's address
            told = [f for key, f in graph.facts.items() if str(graph.subjects[key]) == fact_id]
            text = " ".join(fact.text for fact in told)
            return dataclasses.replace(told[0], id=fact_id, text=text, score=1.0) if told else None
        return dataclasses.replace(found, score=1.0)

    def stats(self) -> dict[str, Any]:
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
            stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
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


def _read(path: str, name: str, stamp: object) -> _Graph:
    kind = os.path.splitext(path)[1].lower()
    if kind not in _FORMATS:
        raise KnowledgeError(f"{name}: expected {', '.join(_FORMATS)}, found {kind or 'no ending'}")
    with open(path, "rb") as file:
        content = file.read()
    import rdflib

    graph = rdflib.Graph()
    # a literal that is not of its type is a traceback each there
    terms = logging.getLogger("rdflib.term")
    level, terms.level = terms.level, logging.ERROR
    try:
        graph.parse(data=_without_mark(content), format=_FORMATS[kind])
    except Exception as error:  # every parser has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise KnowledgeError(f"{name} is not {_FORMATS[kind]}: {reason}") from error
    finally:
        terms.level = level
    wrong = sorted({v.n3() for v in graph.objects() if getattr(v, "ill_typed", False)})
    if wrong:
        _logger.warning("%s: %d values are taken as text: %s", name, len(wrong), wrong[0])
    snapshot = hashlib.sha256(content).hexdigest()[:12]
    found = facts_of(graph, name, snapshot)
    statistics = Statistics.of(list(found.facts.values()))
    return _Graph(snapshot, stamp, found.facts, found.about, statistics, graph, found.subjects)


def _without_mark(content: bytes) -> bytes:
    """UTF-8 without a byte order mark, which parsers take for a letter."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace").encode()
    return content
