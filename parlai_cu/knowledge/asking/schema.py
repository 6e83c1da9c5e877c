"""Tables as they can be asked: rows with names, columns with kinds, and what values are called."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from parlai_cu.knowledge.asking import values
from parlai_cu.knowledge.asking.language import LANGUAGES, concepts_of, language, name_stems, tokens
from parlai_cu.knowledge.importing import columns as kinds
from parlai_cu.knowledge.words import stem
from parlai_cu.types import Fact

# a value of more words is a remark and no name of anything
_LONGEST_VALUE = 6
# words of a column's name that say nothing of what it is about
_EMPTY = frozenset(map(stem, "name title entity label bezeichnung titel id from in of".split()))
# what a place calls itself
OWN = "we"
# a day of the week has a column of its own in that many columns, and the table is one of hours
_FEWEST_DAYS = 4
# a number that may have a word before it and a unit behind
_AMOUNT = re.compile(
    r"(?:(?:from|about|up to|only|max|min|ab|ca|bis|nur|[A-Z]{3})\.? ?)?"
    r"[€$£¥₹]? ?-?\d[\d.,' ]*(?: ?[^\W\d][\w/²³%]*| ?[€$£¥%]){0,3}$"
)
_UNIT = re.compile(r"[^\d.,' -]+")


@dataclass(frozen=True)
class TypedRow:
    """
    A row.

    :param id: of the fact, or of the row in its table
    :param entity: what it is about
    :param cells: column -> value; empty ones are not there
    :param also: other names of it
    """

    id: str
    entity: str
    cells: Mapping[str, str]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class TypedColumn:
    """
    A column.

    :param name: as it is told
    :param kind: money, number, date, hours, phone, yes/no, list, text
    :param stems: of its name; without those of the column that it is said by way of
    :param concepts: what it is about
    :param way: that column, as "director" where it is the director's office
    :param names_rows: whether its values are names of rows of other tables
    """

    name: str
    kind: str
    stems: frozenset[str] = field(compare=False)
    concepts: frozenset[str] = field(compare=False)
    way: str = field(default="", compare=False)
    names_rows: bool = field(default=False, compare=False)

    @functools.cached_property
    def through(self) -> frozenset[str]:
        """The stems of the column that it is said by way of."""
        return frozenset(name_stems(self.way)) - _EMPTY

    @property
    def is_amount(self) -> bool:
        """Whether its values can be compared as numbers."""
        return self.kind in ("money", "number", "date")


class TypedTable:
    """
    A table that can be asked.

    :param source: where it is from: a file's name, a table's, a class of things
    :param about: what the column of names is called; may be empty
    :param rows: all
    :param named: whether rows have names of their own
    :param through: column -> the one by way of which it is said; of those that name other rows
        themselves nothing
    """

    def __init__(
        self,
        source: str,
        about: str,
        rows: Sequence[TypedRow],
        named: bool = True,
        through: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.source, self.about, self.rows, self.named = source, about, rows, named
        self.columns = [
            _column(name, [row.cells.get(name, "") for row in rows], through.get(name))
            for name in dict.fromkeys(name for row in rows for name in row.cells)
        ]
        called = [*name_stems(about), *name_stems(source.rpartition(".")[0] or source)]
        self.nouns = frozenset(called) - _EMPTY
        self.names: dict[tuple[str, ...], list[int]] = {}
        self.name_words: dict[str, set[int]] = {}
        self.values: dict[tuple[str, ...], list[tuple[TypedColumn, str]]] = {}
        self.vocabulary: set[str] = set()
        self.week = _week(self.columns)
        self._index()
        self.stems = frozenset(map(stem, self.vocabulary)) | self.nouns

    def _index(self) -> None:
        for number, row in enumerate(self.rows):
            for called in (row.entity, *row.also) if self.named else ():
                self._learn(called)
                name = stems_of(called)
                self.names.setdefault(name, []).append(number)
                for part in name:
                    self.name_words.setdefault(part, set()).add(number)
        self.names.pop((), None)
        for column in self.columns:
            self._learn(column.name)
            self._index_values(column)

    def _index_values(self, column: TypedColumn) -> None:
        if column.kind not in ("text", "list", "number"):
            return
        held = [
            (n, row.cells[column.name])
            for n, row in enumerate(self.rows)
            if column.name in row.cells
        ]
        if column.kind == "number" and not any(
            letter.isalpha() for _, value in held for letter in value
        ):
            return
        # codes that each stand once name their row, as "BK-161" does
        codes = (
            column.kind == "text"
            and len({value for _, value in held}) == len(self.rows) > 1
            and all(
                len(tokens(value)) <= 3 and any(c.isdigit() for c in value) for _, value in held
            )
        )
        for number, value in held:
            for part in parts(column, value):
                called = stems_of(part)
                if not 0 < len(called) <= _LONGEST_VALUE:
                    continue
                if codes:
                    self.names.setdefault(called, []).append(number)
                else:
                    place = self.values.setdefault(called, [])
                    if (column, part) not in place:
                        place.append((column, part))
                self._learn(part)
            if len(tokens(value)) > _LONGEST_VALUE:
                self._learn(value)

    def _learn(self, text: str) -> None:
        self.vocabulary.update(word for word in tokens(text) if not word[0].isdigit())

    def column(self, concept: str) -> list[TypedColumn]:
        """The columns that are about a ``concept``."""
        return [column for column in self.columns if concept in column.concepts]

    @functools.cached_property
    def edges(self) -> list[TypedColumn]:
        """The two columns of when rows open and close; none where there are no two."""
        one = language("en")
        found = [
            column
            for edge in ("opens", "closes")
            for column in self.columns
            if column.kind == "hours" and set(tokens(column.name)) & set(one.raw[edge].split())
        ]
        return found if len(found) == 2 else []

    @functools.cached_property
    def has_hours(self) -> bool:
        """Whether it says when its rows are open."""
        return bool(self.week or self.edges) or any(
            column.kind == "hours" for column in self.columns
        )

    def hours(self, row: TypedRow, day: date | int) -> str | None:
        """What a row says of a day, or of a day of the week; None where it says nothing."""
        weekday = day if isinstance(day, int) else day.weekday()
        if self.edges:
            flags = [c for c in self.columns if c.kind == "yes/no"]
            named = [c for c in flags if all_days().get(c.name.casefold()) == weekday]
            if any(values.yes_no(row.cells.get(c.name, "")) is False for c in named):
                return "closed"
            opens, closes = (row.cells.get(column.name, "") for column in self.edges)
            return f"{opens}-{closes}" if opens and closes else None
        if weekday in self.week:
            return row.cells.get(self.week[weekday].name)
        for column in self.columns:
            cell = row.cells.get(column.name, "")
            if column.kind == "hours" and cell:
                said = values.week(cell, all_days())
                return said.get(weekday, "closed") if said else cell
        return None

    def closure(self, row: TypedRow, day: date) -> str:
        """The remark that closes a row on a day; empty: none."""
        for column in self.columns:
            cell = row.cells.get(column.name, "")
            found = (
                values.closed_between(cell) if column.kind == "text" and len(cell) > 12 else None
            )
            if found and found[0] <= day <= found[1]:
                return cell
        return ""


@functools.cache
def all_days() -> dict[str, int]:
    """What days of the week are called in files, in any language."""
    short = {name: day for day, name in enumerate("mo tu we th fr sa su".split())}
    return {**short, **{n: day for one in LANGUAGES for n, day in language(one).days.items()}}


def stems_of(text: str) -> tuple[str, ...]:
    """The stems of a name."""
    return tuple(stem(token) for token in tokens(text))


def parts(column: TypedColumn, value: str) -> list[str]:
    """The values in a cell: several of a list."""
    if column.kind != "list":
        return [value]
    return [part.strip() for part in value.replace(";", ",").replace("|", ",").split(",")]


def tables_of(
    facts: Iterable[Fact], sources: Mapping[str, str] = MappingProxyType({})
) -> list[TypedTable]:
    """
    The tables that facts came from: those of one file that have columns in common.

    :param facts: with their fields; those without are of no table
    :param sources: id -> file; of others their ids say it
    """
    facts = list(facts)
    own = _own_hours(facts)
    groups: list[tuple[str, set[str], list[Fact]]] = []
    for fact in facts:
        columns = {name for name, value in fact.fields.items() if value}
        if not columns or fact.question:
            continue
        key = str(fact.id)
        source = sources.get(key) or (key.partition("#")[0] if "#" in key else "")
        for of, known, held in groups:
            if of == source and len(columns & known) * 2 >= min(len(columns), len(known)):
                known |= columns
                held.append(fact)
                break
        else:
            groups.append((source, columns, [fact]))
    return [_table(source, held) for source, _, held in groups] + own


def _own_hours(facts: Sequence[Fact]) -> list[TypedTable]:
    """When the place itself is open that a page is about, where just one sentence says it."""
    said = [
        fact
        for fact in facts
        if not fact.fields and len(values.week(fact.text, all_days())) >= _FEWEST_DAYS
    ]
    if len(said) != 1:
        return []
    row = TypedRow(str(said[0].id), OWN, {"opening hours": said[0].text})
    table = TypedTable(OWN, "", [row], named=False)
    table.nouns = frozenset(stems_of(f"{said[0].question} {said[0].text}"))
    return [table]


def _table(source: str, facts: Sequence[Fact]) -> TypedTable:
    about = next(
        (
            name
            for name in facts[0].fields
            if all(fact.fields.get(name, fact.entity) == fact.entity for fact in facts)
        ),
        "",
    )
    rows = [
        TypedRow(
            str(fact.id), fact.entity, {n: v for n, v in fact.fields.items() if v and n != about}
        )
        for fact in facts
    ]
    return TypedTable(source, about, rows)


def _column(name: str, cells: Sequence[str], through: str | None) -> TypedColumn:
    held = [cell for cell in cells if cell]
    kind = "list" if through == "" else kinds.kind_of(held)
    own = name[len(through or "") :].strip()
    if kind == "phone" and all(values.day_of(cell) for cell in held):
        kind = "date"
    if kind == "text" and "address" not in concepts_of(own) and _are_lists(held):
        kind = "list"
    if kind in ("text", "list") and held:
        if sum(bool(values.week(cell, all_days())) for cell in held) * 2 > len(held):
            kind = "hours"
        elif _are_amounts(held) and through != "":
            is_money = any(letter in kinds.CURRENCIES for cell in held for letter in cell)
            kind = "money" if is_money else "number"
    called = frozenset(name_stems(own)) - _EMPTY
    return TypedColumn(name, kind, called, concepts_of(own), through or "", through == "")


def _are_amounts(held: Sequence[str]) -> bool:
    """Whether most cells are a number with one of few units: ``20 min``, ``from £120``."""
    units = [" ".join(_UNIT.findall(cell.casefold())) for cell in held if _AMOUNT.match(cell)]
    return len(units) * 2 > len(held) and len(set(units)) <= max(2, len(held) // 3)


def _are_lists(held: Sequence[str]) -> bool:
    """Whether some cells have several short values, and the others one: ``S, M`` and ``L``."""
    split = [re.split(r"[,;|] ?", cell) for cell in held]
    several = sum(len(cell) > 1 for cell in split)
    return several * 4 > len(held) and all(
        len(part.split()) <= 3 for cell in split for part in cell
    )


def _week(columns: Sequence[TypedColumn]) -> dict[int, TypedColumn]:
    days = all_days()
    found = {days[c.name.casefold()]: c for c in columns if c.name.casefold() in days}
    return found if len(found) >= _FEWEST_DAYS else {}


def numbered(rows: Iterable[int], table: TypedTable) -> Iterator[TypedRow]:
    """Rows by their numbers."""
    return (table.rows[number] for number in rows)
