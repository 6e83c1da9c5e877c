"""A typed query: what a question asks of a table."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from parlai_cu.knowledge.asking.language import Language
from parlai_cu.knowledge.asking.schema import TypedColumn, TypedTable


@dataclass(frozen=True)
class Filter:
    """
    What rows must be like.

    :param column: of the table
    :param operator: ``=``, ``<``, ``<=``, ``>``, ``>=`` with a value; ``some`` or ``none`` of it
    :param value: a cell, or a number
    :param negated: whether rows must not be like that
    """

    column: TypedColumn
    operator: str
    value: Any = None
    negated: bool = False

    def __str__(self) -> str:
        told = (
            f"{self.column.name} {self.operator} {'' if self.value is None else self.value}".strip()
        )
        return f"not ({told})" if self.negated else told


@dataclass(frozen=True)
class Moment:
    """
    When.

    :param day: a date, or the number of a day of the week; None: not said
    :param time: minutes of the day; None: not said
    :param relation: ``at``, ``after`` or ``before`` that time
    """

    day: date | int | None = None
    time: int | None = None
    relation: str = "at"

    def on(self, today: date) -> date | int:
        """The day: today, where none was said."""
        return today if self.day is None else self.day


@dataclass(frozen=True)
class Order:
    """
    What is compared.

    :param column: of amounts; None: when a place ``opens`` or ``closes``
    :param more: whether more wins
    :param edge: which of the two
    """

    column: TypedColumn | None
    more: bool
    edge: str = ""


@dataclass
class Query:
    """
    What a question asks.

    :param table: that is asked
    :param language: that it is asked in
    :param mentions: for each thing that is named the numbers of the rows it may be
    :param without: of a row that is named as an exception
    :param filters: that rows must pass
    :param columns: whose values are asked for
    :param extreme: the most or least of something
    :param compare: two things by something
    :param difference: how much more or less
    :param count: how many rows
    :param noun: whether rows are asked for by what they are called
    :param listing: whether it asks for rows
    :param yes_no: whether it can be answered by yes or no
    :param asks: ``when``, ``who``, ``where`` or nothing
    :param edge: ``open``, ``closed``, ``opens`` or ``closes`` where hours are asked for
    :param moment: when
    :param negated: whether there is a "not" that is of no one filter
    :param verb: the first word, of a yes or no
    :param unread: content that was not understood
    :param strength: how much was understood
    :param the: whether an article stands before a name
    :param heard: the stems of all words
    """

    table: TypedTable
    language: Language
    mentions: list[tuple[int, ...]] = field(default_factory=list)
    without: list[int] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    columns: list[TypedColumn] = field(default_factory=list)
    extreme: Order | None = None
    compare: Order | None = None
    difference: bool = False
    count: bool = False
    noun: bool = False
    listing: bool = False
    yes_no: bool = False
    asks: str = ""
    edge: str = ""
    moment: Moment | None = None
    negated: bool = False
    verb: str = ""
    unread: list[str] = field(default_factory=list)
    strength: float = 0.0
    the: bool = False
    heard: frozenset[str] = frozenset()

    @property
    def asks_something(self) -> bool:
        """Whether it says what it wants to know."""
        return bool(
            self.columns
            or self.extreme
            or self.compare
            or self.edge
            or self.difference
            or self.count
            or (self.filters and (self.yes_no or self.listing))
            or (self.noun and (self.listing or self.filters))
        )

    def __str__(self) -> str:
        names = [
            "|".join(self.table.rows[number].entity for number in mention)
            for mention in self.mentions
        ]
        order = self.extreme or self.compare
        what = (order.column.name if order.column else order.edge) if order else ""
        told = [
            f"of {', '.join(names)}" if names else "",
            "count" if self.count else ", ".join(column.name for column in self.columns),
            f"where {' and '.join(map(str, self.filters))}" if self.filters else "",
            f"{'most' if order.more else 'least'} {what}" if order else "",
            f"{self.edge} {_told(self.moment)}".strip() if self.edge else "",
        ]
        return f"{self.table.source}: {' '.join(part for part in told if part)}"


def _told(moment: Moment | None) -> str:
    if moment is None:
        return ""
    told = "" if moment.day is None else str(moment.day)
    if moment.time is not None:
        told += f" {moment.relation} {moment.time // 60:02d}:{moment.time % 60:02d}"
    return told.strip()


def next_weekday(today: date, weekday: int) -> date:
    """The first day with that number in the week (``weekday``) from today on."""
    return today + timedelta(days=(weekday - today.weekday()) % 7)
