"""A graph of RDF as things that are linked, with names in the language that is asked in."""

from collections.abc import Hashable
from typing import Any

from parlai_cu.knowledge.asking.linked import Thing
from parlai_cu.knowledge.graph_facts import LABELS, plain_name

_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
# classes that say nothing of what a thing is
_NO_KINDS = ("NamedIndividual", "Resource", "Thing", "Concept")


def things_of(graph: Any, language: str) -> dict[Hashable, Thing]:
    """
    The things of a graph.

    :param graph: of rdflib
    :param language: whose labels are preferred
    """
    from rdflib import BNode, Literal, URIRef

    names = _names(graph, language)
    kinds: dict[Any, str] = {}
    for subject, kind in sorted(graph.subject_objects(URIRef(_TYPE))):
        if not str(kind).endswith(_NO_KINDS):
            kinds.setdefault(subject, names.get(kind, [plain_name(kind)])[0])
    things: dict[Hashable, Thing] = {}
    for subject in sorted(set(graph.subjects()), key=str):
        if subject not in kinds and not isinstance(subject, BNode) and subject not in names:
            continue
        called = names.get(subject, [])
        if not called and not isinstance(subject, BNode):
            called = [plain_name(subject)]
        things[subject] = Thing(
            str(subject),
            kinds.get(subject, ""),
            called[0] if called else "",
            also=tuple(called[1:]),
        )
    for subject, predicate, value in sorted(graph, key=lambda triple: tuple(map(str, triple))):
        if str(predicate) in (*LABELS, _TYPE) or subject not in things:
            continue
        column = names.get(predicate, [plain_name(predicate)])[0]
        if value in things:
            things[subject].links.setdefault(column, []).append(value)
        else:
            _say(things[subject], column, value, language)
    used_as_kind = set(graph.objects(predicate=URIRef(_TYPE)))
    properties = set(graph.predicates())
    return {
        key: thing
        for key, thing in things.items()
        if key not in used_as_kind and key not in properties and not isinstance(key, Literal)
    }


def _say(thing: Thing, column: str, value: Any, language: str) -> None:
    """A value of a thing; of those in several languages, that of the language asked in."""
    said = thing.cells.setdefault(column, [])
    spoken = getattr(value, "language", None)
    text = plain_name(value)
    if text in ("true", "false"):
        text = "yes" if text == "true" else "no"
    if spoken is None or not said:
        said.append(text)
    elif str(spoken).startswith(language):
        said[:] = [text]


def _names(graph: Any, language: str) -> dict[Any, list[str]]:
    """What things are called, best first: in the language, without one, in others."""
    from rdflib import URIRef

    found: dict[Any, list[tuple[bool, int, str]]] = {}
    for place, predicate in enumerate(LABELS):
        for subject, value in graph.subject_objects(URIRef(predicate)):
            spoken = str(getattr(value, "language", None) or language)
            other = not spoken.startswith(language)
            found.setdefault(subject, []).append((other, place, str(value)))
    return {
        subject: list(dict.fromkeys(name for _, _, name in sorted(called)))
        for subject, called in found.items()
    }
