"""
Things that are linked, as tables that can be asked: rows with foreign keys, and graphs.

A row tells what its thing says, what the things say that it leads to, and which lead to it; things
without a name of their own (opening hours, who has which option) are told where they belong.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from parlai_cu.knowledge.asking.language import language, tokens
from parlai_cu.knowledge.asking.schema import TypedRow, TypedTable
from parlai_cu.knowledge.importing import columns as kinds

# things that more others lead to are not told by them
_HUB = 200
_UNITS = {
    **{unit: unit for unit in "kg km cm mm min months days hours years weeks people".split()},
    **{"gb": "GB", "mb": "MB", "tb": "TB", "mbit": "Mbit/s", "mbps": "Mbit/s", "kwh": "kWh"},
    **{"minutes": "min", "percent": "%", "pct": "%", "w": "W"},
}
_HOURS = "opening hours"
_HAS = re.compile(r"^(?:has|is|hat|ist)[ _]", re.I)


@dataclass
class Thing:
    """
    A thing.

    :param id: as its row is called
    :param kind: table or class
    :param name: what it is called; empty: it has no name of its own
    :param cells: column -> what it says
    :param links: column -> keys of the things that it leads to
    :param also: other names
    """

    id: str
    kind: str
    name: str = ""
    cells: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[Hashable]] = field(default_factory=dict)
    also: tuple[str, ...] = ()


def linked_tables(things: Mapping[Hashable, Thing]) -> list[TypedTable]:
    """
    A table of each kind of thing.

    :param things: by their keys
    """
    back: dict[Hashable, list[Hashable]] = {}
    for key, thing in things.items():
        for targets in thing.links.values():
            for target in targets:
                back.setdefault(target, []).append(key)
    rows: dict[str, list[TypedRow]] = {}
    through: dict[str, str] = {}
    hours = _all_hours(things)
    for key, thing in things.items():
        name = thing.name or ", ".join(_ends(thing, things))
        cells = _cells(key, things, back.get(key, []), through, hours)
        if name and cells and (thing.name or (thing.cells and key not in hours)):
            told = {column: ", ".join(dict.fromkeys(said)) for column, said in cells.items()}
            row = TypedRow(thing.id, name, {c: v for c, v in told.items() if v}, thing.also)
            rows.setdefault(thing.kind, []).append(row)
    named = {thing.kind for thing in things.values() if thing.name}
    return [TypedTable(kind, kind, held, kind in named, through) for kind, held in rows.items()]


def _ends(thing: Thing, things: Mapping[Hashable, Thing]) -> list[str]:
    """The names of what a thing leads to."""
    found = (things[k].name for keys in thing.links.values() for k in keys if k in things)
    return [name for name in found if name]


def _cells(
    key: Hashable,
    things: Mapping[Hashable, Thing],
    back: Sequence[Hashable],
    through: dict[str, str],
    hours: Mapping[Hashable, str],
) -> dict[str, list[str]]:
    """What a row says; ``through`` learns which columns are said by way of which other."""
    thing = things[key]
    cells = dict(_own(thing))
    for column, keys in thing.links.items():
        there = [things[k] for k in keys if k in things and k not in hours]
        through.setdefault(column, "")
        cells.setdefault(column, []).extend(t.name for t in there if t.name)
        cells.setdefault(_HOURS, []).extend(hours[k] for k in keys if k in hours)
        for target in there:
            if not target.name and len(there) > 1:
                cells[column].append(" ".join(v for said in target.cells.values() for v in said))
            elif len(there) == 1:
                for name, said in _beyond(target, things):
                    cells.setdefault(f"{column} {name}", said)
                    through[f"{column} {name}"] = column
    cells.setdefault(_HOURS, []).extend(hours[k] for k in back if k in hours)
    for source in [things[k] for k in back if k not in hours] if len(back) <= _HUB else ():
        for column, told in _told_back(key, source, things):
            if column not in thing.cells and column not in thing.links:
                through.setdefault(column, "")
                cells.setdefault(column, []).extend(told)
    return {column: said for column, said in cells.items() if said}


def _own(thing: Thing) -> Iterator[tuple[str, list[str]]]:
    """Its cells: "has parking" is about parking, "data gb" about data in GB."""
    for column, said in thing.cells.items():
        name, _, last = _HAS.sub("", column).rpartition(" ")
        plain, unit = kinds.name_and_unit(column)
        if unit:
            yield plain, [kinds.with_unit(value, unit.upper()) for value in said]
        elif name and last.casefold() in _UNITS:
            told = _UNITS[last.casefold()]
            yield name, [f"{value} {told}" if value[-1:].isdigit() else value for value in said]
        else:
            yield _HAS.sub("", column), list(said)


def _beyond(target: Thing, things: Mapping[Hashable, Thing]) -> Iterator[tuple[str, list[str]]]:
    """What a thing says that another leads to."""
    yield from _own(target)
    for column, keys in target.links.items():
        names = [things[k].name for k in keys if k in things and things[k].name]
        if names:
            yield column, names


def _told_back(
    key: Hashable, source: Thing, things: Mapping[Hashable, Thing]
) -> Iterator[tuple[str, list[str]]]:
    """What a thing says of one that it leads to: its name, or what it joins it with."""
    if source.name:
        yield source.kind, [source.name]
    else:
        others = [
            things[k]
            for keys in source.links.values()
            for k in keys
            if k in things and k != key and things[k].name
        ]
        for other in others:
            yield other.kind, [other.name]


def _all_hours(things: Mapping[Hashable, Thing]) -> dict[Hashable, str]:
    """``Monday 09:00-18:00``, of nameless things that say when something opens and closes."""
    said = {key: _edges(thing) for key, thing in things.items() if not thing.name}
    kinds_of_hours = {
        things[key].kind for key, edges in said.items() if {"opens", "day"} <= {*edges}
    }
    found = {}
    for key, edges in said.items():
        if "day" in edges and things[key].kind in kinds_of_hours:
            is_open = edges.get("opens") and edges.get("closes")
            spoken = f"{edges['opens'][:5]}-{edges['closes'][:5]}" if is_open else "closed"
            found[key] = f"{edges['day']} {spoken}"
    return found


def _edges(thing: Thing) -> dict[str, str]:
    """When a thing opens and closes, and on which days."""
    one = language("en")
    found: dict[str, str] = {}
    links = {column: [str(key) for key in keys] for column, keys in thing.links.items()}
    for column, said in {**links, **thing.cells}.items():
        called = set(tokens(column))
        for edge in ("opens", "closes"):
            if called & set(one.raw[edge].split()):
                found[edge] = str(said[0])
        if called & set(one.raw["weekday"].split()):
            found["day"] = ", ".join(_day(part) for part in said)
    return found


def _day(said: str) -> str:
    """The name of a day, from its name, its address or its number from 1 for Monday."""
    text = said.rstrip("/").replace("#", "/").rpartition("/")[2]
    names = language("en").day_names
    return names[(int(text) - 1) % 7] if text.isdigit() else text
