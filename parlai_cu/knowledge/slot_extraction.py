"""
What a conversation asks of a table: the values, numbers and properties mentioned in it.

What is said later about a column replaces what was said before.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from parlai_cu.knowledge.dates import with_dates
from parlai_cu.knowledge.spelling import Spelling
from parlai_cu.knowledge.words import STOP_WORDS, stem, words
from parlai_cu.types import Turn

# no value has more words; and none that is spelt wrong
_LONGEST, _LONGEST_WRONG = 8, 3
# of an utterance so much is looked at
_LETTERS = 2000
_SAID = 200
TRUE, FALSE = {"true", "yes", "1", "t", "y"}, {"false", "no", "0", "f", "n"}
# only from its first digit: from each the cost is the square
_NUMBER = r"(?:[$£€]\s*)?(?<!\d)(\d++(?:\.\d++)?)"
_AT_MOST = re.compile(
    r"\b(?:under|below|less than|cheaper than|at most|up to|no more than|within|maximum(?: of)?)\s+"
    + _NUMBER
)
_AT_LEAST = re.compile(
    r"\b(?:over|above|more than|at least|no less than|minimum(?: of)?)\s+" + _NUMBER
)
_WORD_AFTER = re.compile(r"[\s-]*([a-z]+)")
_WITH_WORD = re.compile(_NUMBER + r"[\s-]+([a-z]+)")
_MONEY = ("price", "cost", "fare", "rent", "rate", "fee")
_FROM = {"from", "origin", "leaving", "departure", "pickup"}
_TO = {"to", "destination", "where", "arrival"}
# which columns a word before a value points at
_ROLES = {
    "from": _FROM,
    "leaving": _FROM,
    "departing": _FROM,
    "to": _TO,
    "for": _TO,
    "towards": _TO,
}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_DO_NOT = {"no", "not", "without", "dont", "doesnt", "isnt", "never"}
_ANY = re.compile(r"\b(?:any|whatever|whichever)\s+(?:kind of\s+|type of\s+)?([a-z]+)")
_NO_MATTER = re.compile(r"\b(?:do\s?n.?t|does\s?n.?t)\s+(?:care|mind|matter)\b")


@dataclass(frozen=True)
class Column:
    """
    A column, as it can be talked about.

    :param table: that it is of
    :param name: as the database has it
    :param kind: ``text``, ``number`` or ``flag``
    :param values: the words of each value -> the value as it is stored
    """

    table: str
    name: str
    kind: str
    values: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def called(self) -> set[str]:
        """The stems of its name: ``has_live_music`` is live, music."""
        return {stem(word) for word in words(self.name.replace("_", " "))} - {"ha", "is", "has"}


@dataclass(frozen=True)
class Index:
    """
    What values are called.

    :param values: the words of each -> the columns that have it, and how it is stored there
    :param spelling: of what people talk about and may spell wrong
    """

    values: dict[str, list[tuple[Column, Any]]]
    spelling: Spelling


@dataclass(frozen=True)
class Constraint:
    """
    One thing that was asked for.

    :param column: that it is about
    :param operator: ``=``, ``<=`` or ``>=``
    :param value: as it is stored
    """

    column: Column
    operator: str
    value: Any


def constraints(
    turn: Turn, columns: Sequence[Column], index: Index, today: date
) -> list[Constraint]:
    """
    What the whole conversation asks for, the latest last.

    :param turn: with what was said before
    :param columns: of all tables; what several of them could mean is told for each
    :param index: their :func:`value_index`
    :param today: from where "tomorrow" is counted
    """
    found: dict[tuple[str, str, str], Constraint] = {}
    for utterance in [*turn.history, turn.text]:
        said = utterance[:_LETTERS]
        values = _values(with_dates(said, today), index)
        for constraint in [*values, *_numbers(said, columns), *_flags(said, columns)]:
            column = constraint.column
            if constraint.operator == "=":
                for operator in ("<=", ">="):
                    found.pop((column.table, column.name, operator), None)
            key = (column.table, column.name, constraint.operator)
            found.pop(key, None)
            found[key] = constraint
        for column in _dropped(said, columns):
            for operator in ("=", "<=", ">="):
                found.pop((column.table, column.name, operator), None)
    return list(found.values())


def asked_columns(text: str, columns: Iterable[Column]) -> list[str]:
    """The columns whose name is mentioned: what is the *phone number*?"""
    said = {stem(word) for word in words(text)}
    return [column.name for column in columns if column.called & said - STOP_WORDS]


def value_index(columns: Sequence[Column]) -> Index:
    """What the values of columns are called."""
    values: dict[str, list[tuple[Column, Any]]] = {}
    for column in columns:
        for called, value in column.values.items():
            values.setdefault(called, []).append((column, value))
    others = {
        " ".join(words(name.replace("_", " "))) for c in columns for name in (c.table, c.name)
    }
    return Index(values, Spelling([*values], others))


def _values(said: str, index: Index) -> list[Constraint]:
    """Longest first; no word belongs to two values. What is right goes before what is near."""
    heard = words(said)[:_SAID]
    taken: set[int] = set()
    found: list[tuple[int, Constraint]] = []
    for meant_by, longest in ((_exactly, _LONGEST), (index.spelling.meant, _LONGEST_WRONG)):
        for length in range(min(longest, len(heard)), 0, -1):
            for i in range(len(heard) - length + 1):
                places = set(range(i, i + length))
                said_here = " ".join(heard[i : i + length])
                if places & taken or said_here in STOP_WORDS:
                    continue
                called = meant_by(said_here)
                if called not in index.values:
                    continue
                taken |= places
                meant = _in_its_role(index.values[called], heard[max(i - 2, 0) : i])
                found += [(i, Constraint(column, "=", value)) for column, value in meant]
    return [constraint for _, constraint in sorted(found, key=lambda pair: pair[0])]


def _exactly(said: str) -> str:
    return said


def _in_its_role(
    candidates: list[tuple[Column, Any]], before: Sequence[str]
) -> list[tuple[Column, Any]]:
    """Where several columns of a table know a value, those that fit "from" or "to" before it."""
    tables: dict[str, list[tuple[Column, Any]]] = {}
    for column, value in candidates:
        tables.setdefault(column.table, []).append((column, value))
    meant: list[tuple[Column, Any]] = []
    for found in tables.values():
        role = next((_ROLES[word] for word in reversed(before) if word in _ROLES), None)
        fitting = [
            pair for pair in found if role and role & set(words(pair[0].name.replace("_", " ")))
        ]
        meant += fitting if len(found) > 1 and fitting else found
    return meant


def spoken(value: str) -> list[str]:
    """
    How people say a value that is a date or a time of day, in words of
    :func:`~parlai_cu.knowledge.words.words`.

    >>> spoken("2019-03-03")[:2]
    ['march 3', 'march 3rd']
    >>> spoken("13:30")
    ['1 30 pm']
    """
    date = re.fullmatch(r"\d{4}-(\d\d)-(\d\d)", value)
    if date and 1 <= int(date.group(1)) <= 12:
        month, day = _MONTHS[int(date.group(1)) - 1], int(date.group(2))
        ends = {1: "st", 2: "nd", 3: "rd"}
        end = "th" if day in (11, 12, 13) else ends.get(day % 10, "th")
        days = (f"{day}", f"{day}{end}")
        return [f"{month} {d}" for d in days] + [
            said for d in days for said in (f"{d} {month}", f"{d} of {month}")
        ]
    time = re.fullmatch(r"(\d\d?):(\d\d)(?::00)?", value)
    if time and int(time.group(1)) < 24:
        hour, minute = int(time.group(1)), time.group(2)
        half = "am" if hour < 12 else "pm"
        hour = hour % 12 or 12
        short = [f"{hour} {half}"] if minute == "00" else []
        return [f"{hour} {minute} {half}", *short]
    return []


def _numbers(said: str, columns: Sequence[Column]) -> list[Constraint]:
    text = said.lower()
    numeric = [column for column in columns if column.kind == "number"]
    found: list[Constraint] = []
    bounded: set[int] = set()
    for pattern, operator in ((_AT_MOST, "<="), (_AT_LEAST, ">=")):
        for match in pattern.finditer(text):
            bounded.add(match.start(1))
            after = _WORD_AFTER.match(text, match.end())
            meant = _meant(after.group(1) if after else "", numeric)
            meant = meant or [c for c in numeric if c.called & set(map(stem, _MONEY))]
            found += [Constraint(column, operator, float(match.group(1))) for column in meant]
    for match in _WITH_WORD.finditer(text):
        if match.start(1) not in bounded:
            found += [
                Constraint(column, "=", float(match.group(1)))
                for column in _meant(match.group(2), numeric)
            ]
    return found


def _meant(word: str, columns: Sequence[Column]) -> list[Column]:
    """The columns that a word after a number names: 2 *bedrooms*, 4-*star*."""
    return [
        column
        for column in columns
        if word
        and any(
            stem(word).startswith(part) or part.startswith(stem(word))
            for part in column.called
            if len(part) > 2 and len(word) > 2
        )
    ]


def _flags(said: str, columns: Sequence[Column]) -> list[Constraint]:
    heard = words(said.replace("'", ""))[:_SAID]
    stems = [stem(word) for word in heard]
    found = []
    for column in columns:
        if column.kind != "flag" or not column.called <= set(stems):
            continue
        first = min(stems.index(part) for part in column.called)
        wanted = not _DO_NOT & set(heard[max(first - 3, 0) : first])
        value = flag_value(column, wanted)
        if value is not None:
            found.append(Constraint(column, "=", value))
    return found


def flag_value(column: Column, wanted: bool) -> Any:
    """The stored value that means yes (``wanted``) or no."""
    meaning = TRUE if wanted else FALSE
    found: Any | None = None
    for called, value in column.values.items():
        if called in meaning:
            found = value
    return found


def _dropped(said: str, columns: Sequence[Column]) -> list[Column]:
    text = said.lower()
    named = {stem(match.group(1)) for match in _ANY.finditer(text)}
    if _NO_MATTER.search(text):
        named |= {stem(word) for word in words(text)}
    return [column for column in columns if column.called & named]
