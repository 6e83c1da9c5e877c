"""One source of each kind of knowledge base that is registered, with something known in it."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Fact
from tests.knowledge import oxigraph, postgres
from tests.knowledge.servers import chat_server, completion
from tests.knowledge.test_structured import SCRIPT

TURTLE = """
@prefix : <http://example.com/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:nile rdfs:label "The Nile" ; :phoneNumber "01223 555" ; :food "african" ; :locatedIn :north .
:north rdfs:label "North" ; :busLine "7" .
"""
FACTS = [
    Fact("The phone number is 01223 555.", id="phone", entity="The Nile"),
    Fact("The food is african.", id="food", entity="The Nile"),
]
# a question that each can answer, and what is in the answer
ASKED, KNOWN = "what is the phone number of the nile?", "01223 555"


class Place(NamedTuple):
    """
    A source.

    :param uri: what a user types
    :param away: a block in which it cannot be read; None where it is always there
    """

    uri: str
    away: Any


@contextlib.contextmanager
def _moved(path: Path) -> Iterator[None]:
    """While the block runs a file is elsewhere, and those that stand by it."""
    aside = path.parent / "aside"
    aside.mkdir()
    names = [found.name for found in path.parent.glob(f"{path.name}*")]
    for name in names:
        shutil.move(str(path.parent / name), str(aside / name))
    try:
        yield
    finally:
        for name in names:
            shutil.move(str(aside / name), str(path.parent / name))
        aside.rmdir()


@contextlib.contextmanager
def sqlite(folder: Path, deployed: Any) -> Iterator[Place]:
    """Facts in a file."""
    uri = f"sqlite:///{folder / 'facts.db'}"
    base = open_knowledge_base(uri, writable=True)
    base.add(FACTS)
    base.close()
    yield Place(uri, lambda: _moved(folder / "facts.db"))


@contextlib.contextmanager
def postgresql(folder: Path, deployed: Any) -> Iterator[Place]:
    """Facts in a server."""
    uri = postgres.empty()
    base = open_knowledge_base(uri, writable=True)
    base.add(FACTS)
    base.close()
    yield Place(uri, postgres.stopped)


@contextlib.contextmanager
def graph(folder: Path, deployed: Any) -> Iterator[Place]:
    """A graph in a file."""
    (folder / "town.ttl").write_text(TURTLE)
    yield Place(f"graph:{folder / 'town.ttl'}", lambda: _moved(folder / "town.ttl"))


@contextlib.contextmanager
def sparql(folder: Path, deployed: Any) -> Iterator[Place]:
    """A graph in a server."""
    with oxigraph.running() as server:
        server.put(TURTLE)

        @contextlib.contextmanager
        def away() -> Iterator[None]:
            server.stop()
            try:
                yield
            finally:
                server.start()
                server.put(TURTLE)

        yield Place(server.uri, away)


@contextlib.contextmanager
def sql(folder: Path, deployed: Any) -> Iterator[Place]:
    """Tables in a file."""
    db = sqlite3.connect(folder / "town.db")
    db.executescript(SCRIPT)
    db.close()
    yield Place(f"sql+sqlite:///{folder / 'town.db'}", lambda: _moved(folder / "town.db"))


@contextlib.contextmanager
def openai(folder: Path, deployed: Any) -> Iterator[Place]:
    """A language model in a server."""
    with chat_server(lambda asked: completion(f"It is {KNOWN}.", [-0.1])) as server:

        @contextlib.contextmanager
        def away() -> Iterator[None]:
            before, server.reply = server.reply, lambda asked: (401, {})
            try:
                yield
            finally:
                server.reply = before

        yield Place(f"openai+{server.url}#expert", away)


@contextlib.contextmanager
def agent(folder: Path, deployed: Any) -> Iterator[Place]:
    """A ParlAI model, which says whatever it says, and is in memory once it was asked."""
    yield Place(f"agent:{deployed('transformer/generator')}", None)


PLACES: dict[str, Callable[[Path, Any], Any]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "graph": graph,
    "sparql": sparql,
    "sql": sql,
    "openai": openai,
    "agent": agent,
}
# registered names that are not tested by themselves, and why
LEFT_OUT = {"mysql": "the same class as sql; there is no server of it that pip brings"}
