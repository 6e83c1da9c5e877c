"""Answers as sentences, in the words of the table and the language of the question."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from parlai_cu.knowledge.asking.language import Language
from parlai_cu.knowledge.asking.query import Query
from parlai_cu.knowledge.asking.schema import OWN, TypedColumn, TypedRow, parts

# names in a list; the rest is counted
_MOST = 8
_PREPOSITIONS = frozenset("in at by for to on near with".split())
_FROM = frozenset("until since from till bis seit ab".split())
_VERBS = frozenset("founded built opened created published released born established made".split())
_PARTICIPLE = re.compile(r"(?:ed|wn|ld|de|en|un)$")
_NUMBER = re.compile(r"\d[\d.,' \u00a0]*\d|\d")


class Saying:
    """
    Sentences for the answers to one query.

    :param query: whose language they are in
    :param today: by the clock
    """

    def __init__(self, query: Query, today: date) -> None:
        self.query, self.today = query, today
        self.language: Language = query.language

    def __call__(self, key: str, **parts: Any) -> str:
        """The sentence of that name, ``key``, with its parts."""
        said = self.language.say[key].format(**parts)
        if self.query.table.source == OWN:
            for wrong, right in self.language.raw["we"].items():
                said = said.replace(wrong, right)
        return _sentence(said)

    def formatted(self, template: str, parts: dict[str, Any]) -> str:
        """A sentence of a template and its ``parts``."""
        return _sentence(template.format(**parts))

    def name(self, row: TypedRow) -> str:
        """What a row is about; with an article where the question has one."""
        article = self.language.say["the"]
        has_article = row.entity.casefold().startswith(f"{article} ".casefold())
        if not (self.query.the and article) or has_article:
            return row.entity
        return f"{article.lower()} {row.entity}"

    def names(self, rows: Sequence[TypedRow], last: str = "and") -> str:
        """The names of rows: A, B and C; ``last`` says which word stands before the last."""
        return self.listed([row.entity for row in rows], last)

    def listed(self, told: Sequence[str], last: str = "and") -> str:
        """What is ``told`` one by one: A, B and C; ``last`` as of :meth:`names`."""
        told = list(dict.fromkeys(told))
        if len(told) > _MOST:
            told = [
                *told[: _MOST - 1],
                self.language.say["more_names"].format(n=len(told) - _MOST + 1),
            ]
        if len(told) < 2:
            return "".join(told)
        return f"{', '.join(told[:-1])} {self.language.say[last]} {told[-1]}"

    def within(self, text: str) -> str:
        """A sentence, or the name of a column, within another sentence."""
        return text if self.language.name == "de" else within(text)

    def number(self, count: int) -> str:
        """A count, small ones as a word."""
        words = self.language.say["numbers"].split()
        return words[count] if count < len(words) else str(count)

    def value(self, row: TypedRow, column: TypedColumn) -> str:
        """What a row has in a column, in a sentence."""
        cell = row.cells[column.name]
        if column.kind == "list" and self.query.listing and self.query.asks != "who":
            return self("list", names=self.listed(parts(column, cell)))
        for concept in sorted(column.concepts):
            part = self.language.raw["concepts"].get(concept, {})
            if "say" in part and _fits(concept, column, cell):
                return _sentence(part["say"].format(entity=self.name(row), value=cell))
        told = {"entity": self.name(row), "column": self.column(column, cell), "value": cell}
        if is_verb(column.name) and self.language.name == "en":
            return self._of_verb(column, told)
        if column.kind == "number":
            has_unit = bool(re.search(r"\d ?[^\W\d]", cell)) and "much" in self.query.heard
            has_some = any(letter in "123456789" for letter in cell)
            if has_unit and has_some and not column.concepts & {"price", "duration"}:
                return self.formatted(f"{self.language.say['has_of']}.", told)
            if is_plural(column.name):
                key = "has_some" if has_some else "has_not"
                return self.formatted(f"{self.language.say[key]}.", told)
        plural = (
            column.kind == "list" and len(re.split("[,;|]", cell)) > 1 or is_plural(column.name)
        )
        key = "values" if plural else "value"
        return self(key, **{**told, "column": self.column(column), "value": _bare(cell)})

    def _of_verb(self, column: TypedColumn, told: dict[str, str]) -> str:
        """Located in, works for, founded, until."""
        first, last = column.name.split()[0], column.name.split()[-1]
        if last in _FROM:
            return self("note", entity=told["entity"], value=f"{column.name} {told['value']}")
        if last not in _PREPOSITIONS:
            word = "in" if re.fullmatch(r"\d{4}", told["value"]) else "on"
            return self("was", **{**told, "value": f"{word} {told['value']}"})
        return self("related" if _PARTICIPLE.search(first) else "relates", **told)

    def column(self, column: TypedColumn, cell: str = "") -> str:
        """A column's name within a sentence, beside the value of its ``cell``."""
        name = self.within(column.name)
        if column.way:
            own = name[len(column.way) :].strip()
            name = own if is_verb(column.way) else self.language.say["of"].format(own, column.way)
        return name[:-1] if cell == "1" and is_plural(name) else name

    def when(self, day: date | int) -> str:
        """A day: on Fridays, today, tomorrow, on 20 March."""
        say = self.language.say
        weekday = day if isinstance(day, int) else day.weekday()
        name = self.language.day_names[weekday]
        if isinstance(day, int):
            return str(say["on_day"].format(day=name))
        for key, days in (("today", 0), ("tomorrow", 1)):
            if day == self.today + timedelta(days=days):
                return str(say[key].format(day=name))
        if day - self.today < timedelta(days=7):
            return str(say["on_day"].format(day=name))
        return str(
            say["on_date"].format(
                day=name, date=say["date"].format(d=day.day, m=self._month(day), y=day.year)
            )
        )

    def _month(self, day: date) -> str:
        return str(self.language.say["months"].split()[day.month - 1])


def _fits(concept: str, column: TypedColumn, cell: str) -> bool:
    """Whether a concept's own sentence suits what a cell holds."""
    wanted = {
        "price": ("money", "number"),
        "weight": ("number",),
        "stock": ("number",),
        "from_date": ("date",),
        "address": ("text", "list"),
    }.get(concept)
    if wanted is None:
        return True
    return column.kind in wanted and (
        column.kind not in ("money", "number") or any(map(str.isdigit, cell))
    )


def is_verb(name: str) -> bool:
    """Whether a column is called by what is done: ``located in``, ``founded``."""
    said = name.casefold().split()
    return said[-1] in _PREPOSITIONS if len(said) > 1 else said[0] in _VERBS | _FROM


def is_plural(name: str) -> bool:
    """Whether a column is called by a plural."""
    last = name.split()[-1].casefold() if name.split() else ""
    return last.endswith("s") and not last.endswith(("ss", "us", "is"))


def _bare(cell: str) -> str:
    return cell.strip().rstrip(".")


def within(name: str) -> str:
    """A name within a sentence: ``Frame sizes`` is frame sizes, ``VAT`` stays."""
    first = name.split()[0] if name.split() else ""
    return name[:1].lower() + name[1:] if first[1:].islower() or len(first) == 1 else name


def _sentence(text: str) -> str:
    """With a capital at the beginning, and one point at the end."""
    text = re.sub(r" ([.,:;])", r"\1", " ".join(text.split()))
    text = re.sub(r"([.!?])\.$", r"\1", text)
    return text[:1].upper() + text[1:]


def like(sample: str, number: float) -> str:
    """
    A number as another cell, ``sample``, writes its own.

    >>> like("4.490,00 €", 2300)
    '2.300,00 €'
    """
    match = _NUMBER.search(sample)
    if match is None:
        return f"{number:g}"
    written = match[0].strip()
    found = re.search(r"([.,])(\d+)$", written)
    decimals = len(found[2]) if found and (len(found[2]) != 3 or written.startswith("0")) else 0
    point = found[1] if found and decimals else ("," if re.search(r"\d\.\d{3}\b", written) else ".")
    grouped = bool(re.search(r"\d[.,' \u00a0]\d{3}(?!\d)", written)) or number >= 10000
    if not decimals and number != int(number):
        decimals = 2
    text = f"{number:,.{decimals}f}" if grouped else f"{number:.{decimals}f}"
    if point == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{sample[: match.start()]}{text}{sample[match.start() + len(written) :]}".strip()
