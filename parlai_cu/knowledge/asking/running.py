"""The answer to a typed query: rows are chosen, compared and counted, and told in a sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from parlai_cu.knowledge.asking import values
from parlai_cu.knowledge.asking.language import tokens
from parlai_cu.knowledge.asking.query import Filter, Moment, Order, Query
from parlai_cu.knowledge.asking.saying import Saying, is_plural, is_verb, like
from parlai_cu.knowledge.asking.schema import OWN, TypedColumn, TypedRow, numbered, parts, stems_of
from parlai_cu.knowledge.words import stem

# values of so many things are told in one reply; more are asked back
_MOST_VALUES, _MOST_NAMES = 4, 5
# columns that are told of one thing
_MOST_COLUMNS = 3


@dataclass(frozen=True)
class TypedAnswer:
    """
    An answer.

    :param text: in a sentence
    :param rows: that it was made of
    :param query: that it answers
    """

    text: str
    rows: Sequence[TypedRow]
    query: Query


def answered(query: Query, now: datetime) -> TypedAnswer | None:
    """
    The answer to a query; None where the table has none.

    :param query: with nothing in it that was not understood
    :param now: the clock
    """
    found = _Run(query, now).answer()
    return None if found is None else TypedAnswer(found[0], found[1], query)


def noted(query: Query, now: datetime) -> TypedAnswer | None:
    """
    What a remark on the one thing that was named says of what no column is about.

    :param query: with words that were not understood
    :param now: the clock
    """
    if len(query.mentions) != 1 or len(query.mentions[0]) != 1 or query.columns or query.filters:
        return None
    row = query.table.rows[query.mentions[0][0]]
    wanted = {stem(word) for word in query.unread}
    say = Saying(query, now.date())
    for column in query.table.columns:
        for remark in re.split(r"[.;!](?:\s|$)", row.cells.get(column.name, "")):
            heard = tokens(remark)
            if column.kind == "text" and wanted and wanted <= {stem(word) for word in heard}:
                denied = bool(set(heard) & set(query.language.raw["not"].split()))
                key = f"note_{'no' if denied else 'yes'}" if query.yes_no else "note"
                return TypedAnswer(say(key, entity=row.entity, value=remark.strip()), [row], query)
    return None


Found = tuple[str, Sequence[TypedRow]] | None


class _Run:
    def __init__(self, query: Query, now: datetime) -> None:
        self.query, self.table, self.now = query, query.table, now
        self.say = Saying(query, now.date())
        self.things = [list(numbered(mention, self.table)) for mention in query.mentions]

    def answer(self) -> Found:
        """What form the query has decides."""
        query = self.query
        if not query.asks_something:
            return None
        if (query.compare or query.difference) and len(self.things) == 2:
            return self._compared()
        if query.extreme or (
            query.compare and self.things and query.listing and len(self.things) != 1
        ):
            return self._extreme(query.extreme or query.compare)
        if query.compare or query.difference:
            return None
        if query.edge:
            return self._hours()
        if self.things and not query.count and not (query.listing and self._is_group()):
            return self._of_things()
        return self._of_rows()

    # -- choosing ----------------------------------------------------------------------------

    def _is_group(self) -> bool:
        """Whether what is named is several rows by what they have in common."""
        return len(self.things) == 1 and len(self.things[0]) > 1

    def _rows(self) -> list[TypedRow]:
        """Those that pass all filters."""
        named = {id(row) for thing in self.things for row in thing}
        rows = [row for row in self.table.rows if not named or id(row) in named]
        return [row for row in rows if all(self.passes(row, one) for one in self.query.filters)]

    def passes(self, row: TypedRow, one: Filter) -> bool:
        """Whether a row is as a filter wants it; what it does not say is never so."""
        cell = row.cells.get(one.column.name, "")
        if one.operator in ("some", "none"):
            has = _has_some(cell)
            if has is None:
                return False
            return has != ((one.operator == "none") != one.negated)
        if not cell:
            return False
        if one.operator == "=":
            wanted = stems_of(str(one.value))
            return any(stems_of(part) == wanted for part in parts(one.column, cell)) != one.negated
        number = values.amount(cell)
        if number is None:
            return False
        holds = {
            "<": number < one.value,
            "<=": number <= one.value,
            ">": number > one.value,
            ">=": number >= one.value,
        }[one.operator]
        return bool(holds) != one.negated

    def _measure(self, row: TypedRow, order: Order) -> float | None:
        """What a row is compared by."""
        if order.column is None:
            hours = self._spans(row, self._day())
            return None if not hours else hours[0][0] if order.edge == "opens" else hours[-1][1]
        cell = row.cells.get(order.column.name, "")
        if order.column.kind == "date":
            day = values.day_of(cell)
            return None if day is None else float(day.toordinal())
        return values.amount(cell)

    def _cell(self, row: TypedRow, order: Order) -> str:
        if order.column is None:
            cell = self.table.hours(row, self._day()) or ""
            return _written(int(self._measure(row, order) or 0), cell)
        return str(row.cells[order.column.name])

    # -- comparing ---------------------------------------------------------------------------

    def _extreme(self, order: Order | None) -> Found:
        if order is None:
            return None
        measured = [(self._measure(row, order), row) for row in self._rows()]
        there = [(number, row) for number, row in measured if number is not None]
        if not there:
            return None
        best = (max if order.more else min)(number for number, _ in there)
        rows = [row for number, row in there if number == best]
        asked = [c for c in self.query.columns if c != order.column and c.name in rows[0].cells]
        if len(rows) == 1 and asked and not self.query.listing:
            return self.say.value(rows[0], asked[0]), rows
        is_price = order.column and (
            order.column.kind == "money" or "price" in order.column.concepts
        )
        key = "extreme_price" if is_price else "extreme"
        if order.column and order.column.kind == "number" and is_plural(order.column.name):
            key = "extreme_some"
        if order.column and is_verb(order.column.name):
            key = "extreme_plain"
        if len(rows) > 1:
            key = "tie"
        what = (
            self.say.column(order.column) if order.column else self.query.language.say["hours_name"]
        )
        return self.say(
            key,
            entity=rows[0].entity,
            names=self.say.names(rows),
            column=what,
            value=self._cell(rows[0], order),
        ), rows

    def _compared(self) -> Found:
        query = self.query
        if any(len(thing) != 1 for thing in self.things):
            return self._which(next(thing for thing in self.things if len(thing) != 1))
        (first,), (second,) = self.things
        order = query.compare or self._default_order()
        if order is None:
            return None
        pair = [(self._measure(row, order), row) for row in (first, second)]
        if any(number is None for number, _ in pair):
            return None
        a, b = float(pair[0][0] or 0), float(pair[1][0] or 0)
        told = {"entity": first.entity, "other": second.entity}
        cells = {"value": self._cell(first, order), "other_value": self._cell(second, order)}
        if query.difference and order.column is not None:
            if a == b:
                return self.say("equal", **told, **cells), [first, second]
            high, low = (cells["value"], cells["other_value"])[:: 1 if a > b else -1]
            entity, other = (first, second)[:: 1 if a > b else -1]
            key = "difference" if order.more else "difference_less"
            text = self.say(
                key,
                value=like(cells["value"], abs(a - b)),
                entity=entity.entity,
                other=other.entity,
                high=high,
                low=low,
            )
            return text, [first, second]
        if a == b:
            return self.say("equal", **told, **cells), [first, second]
        wins = (a > b) == order.more
        if query.yes_no and not query.listing:
            return self.say("compare_yes" if wins else "compare_no", **told, **cells), [
                first,
                second,
            ]
        if not wins:
            told = {"entity": second.entity, "other": first.entity}
            cells = {"value": cells["other_value"], "other_value": cells["value"]}
        return self.say("compare", **told, **cells), [first, second]

    def _default_order(self) -> Order | None:
        """Of "how much more is A than B": what was asked for, or else money."""
        columns = [c for c in self.query.columns if c.is_amount] or [
            c
            for c in self.table.columns
            if c.kind == "money" or "price" in c.concepts and c.is_amount
        ]
        return Order(columns[0], True) if columns else None

    # -- things that were named --------------------------------------------------------------

    def _of_things(self) -> Found:
        query = self.query
        rows = self._one_of_each()
        if rows is None:
            thing = next(thing for thing in self.things if len(thing) > 1)
            passing = [row for row in thing if all(self.passes(row, one) for one in query.filters)]
            if len(passing) == 1 and len(self.things) == 1:
                rows = passing
            else:
                return self._which(thing)
        if query.filters and not query.columns:
            return self._is_so(rows, query.filters)
        told = [sentence for row in rows for sentence in self._values(row)]
        return (" ".join(told), rows) if told else None

    def _one_of_each(self) -> list[TypedRow] | None:
        """The rows of all that is named, where it is clear which are meant."""
        if any(len(thing) > 1 for thing in self.things):
            both = set.intersection(*({id(row) for row in thing} for thing in self.things))
            shared = [row for row in self.things[0] if id(row) in both]
            return shared if len(self.things) > 1 and len(shared) == 1 else None
        return [thing[0] for thing in self.things]

    def _which(self, thing: Sequence[TypedRow]) -> Found:
        if len(thing) > _MOST_NAMES:
            return None
        return self.say("which", names=self.say.names(thing, "or")), thing

    def _values(self, row: TypedRow) -> list[str]:
        query = self.query
        there = [column for column in query.columns if row.cells.get(column.name)]
        if query.count and there and there[0].kind == "list":
            names = parts(there[0], row.cells[there[0].name])
            count = self.say.number(len(names))
            return [self.say("counted", count=count, names=self.say.listed(names))]
        if query.yes_no and len(there) == 1:
            return [self._yes_or_value(row, there[0])]
        return [self.say.value(row, column) for column in there[:_MOST_COLUMNS]]

    def _yes_or_value(self, row: TypedRow, column: TypedColumn) -> str:
        cell, name = row.cells[column.name], self.say.name(row)
        parts_of = {"entity": name, "column": self.say.column(column, cell), "value": cell}
        if column.kind == "yes/no":
            yes = values.yes_no(cell)
            if yes is None:
                return self.say.value(row, column)
            is_like = self.query.verb in self.query.language.raw["is"].split()
            is_like &= column.stems <= self.query.heard and len(column.name.split()) == 1
            key = f"{'is' if is_like else 'has'}{'' if yes else '_not'}"
            return self._yes(yes, self.query.language.say[key].format(**parts_of))
        number = values.amount(cell)
        if column.kind == "number" and number is not None:
            if "stock" in column.concepts:
                part = self.query.language.raw["concepts"]["stock"]
                return self.say.formatted(part["yes" if number else "no"], parts_of)
            key = "has_some" if number else "has_not"
            return self._yes(bool(number), self.query.language.say[key].format(**parts_of))
        day = values.day_of(cell) if column.kind == "date" else None
        if day is not None:
            return self._yes(
                day <= self.now.date(), self.say.within(self.say.value(row, column)).rstrip(".")
            )
        return self.say.value(row, column)

    def _yes(self, yes: bool, clause: str) -> str:
        return self.say("yes" if yes else "no", clause=clause)

    def _is_so(self, rows: Sequence[TypedRow], filters: Sequence[Filter]) -> Found:
        """Whether what is named is as was said."""
        told = []
        for row in rows:
            for one in filters:
                cell = row.cells.get(one.column.name)
                if not cell and one.column.names_rows:
                    parts_of = {"entity": self.say.name(row), "column": one.column.name}
                    no = self.query.language.say["has_not"].format(**parts_of)
                    told.append(self._yes(one.negated, no))
                    continue
                if not cell:
                    return None
                if one.operator in ("some", "none"):
                    told.append(self._yes_or_value(row, one.column))
                    continue
                clause = self.say.within(self.say.value(row, one.column)).rstrip(".")
                if row.entity and clause.startswith(self.say.within(row.entity)):
                    clause = row.entity + clause[len(row.entity) :]
                told.append(self._yes(self.passes(row, one), clause))
        return " ".join(told), rows

    # -- rows that were not named ------------------------------------------------------------

    def _of_rows(self) -> Found:
        query = self.query
        if not query.filters and not query.noun and not self.things:
            return None
        if query.count and self.things and not (self._is_group() or query.columns):
            return None
        rows = self._rows()
        narrowed = [f for f in query.filters if f.operator == "=" and f.column.names_rows]
        if query.yes_no and narrowed and len(narrowed) < len(query.filters):
            rest = [f for f in query.filters if f not in narrowed]
            there = [row for row in self.table.rows if all(self.passes(row, f) for f in narrowed)]
            if len(there) == 1:
                return self._is_so(there, rest)
        if query.count and not any(column.is_amount for column in query.columns):
            return self._counted(rows)
        if query.columns and rows:
            return self._values_of(rows)
        if not (query.yes_no or query.listing or query.noun):
            return None
        if not rows and not (query.yes_no or query.listing):
            return None
        if not rows:
            return self.say("none" if query.yes_no else "no_such"), self.table.rows[:0]
        return self.say(
            "yes_list" if query.yes_no else "list", names=self._with_amounts(rows)
        ), rows

    def _counted(self, rows: Sequence[TypedRow]) -> Found:
        if not rows:
            return self.say("zero"), []
        named = all(row.entity for row in rows) and len(rows) <= _MOST_NAMES
        return self.say(
            "counted" if named else "count",
            count=self.say.number(len(rows)),
            names=self.say.names(rows),
        ), rows

    def _values_of(self, rows: Sequence[TypedRow]) -> Found:
        """Short lists of values; one row that all that was said narrows to is told as such."""
        there = [row for row in rows if any(row.cells.get(c.name) for c in self.query.columns)]
        if not there or len(there) > _MOST_VALUES:
            return None
        return " ".join(sentence for row in there for sentence in self._values(row)), there

    def _with_amounts(self, rows: Sequence[TypedRow]) -> str:
        """Names, with what their bound was about in brackets."""
        bounds = [f.column for f in self.query.filters if f.operator[0] in "<>"]
        if not bounds:
            return self.say.names(rows)
        return self.say.listed([f"{row.entity} ({row.cells[bounds[0].name]})" for row in rows])

    # -- hours -------------------------------------------------------------------------------

    def _day(self) -> date | int:
        moment = self.query.moment or Moment()
        return moment.on(self.now.date())

    def _spans(self, row: TypedRow, day: date | int) -> list[tuple[int, int]] | None:
        if isinstance(day, date) and self.table.closure(row, day):
            return []
        cell = self.table.hours(row, day)
        return values.spans(cell) if cell else None

    def _hours(self) -> Found:
        if not self.things:
            return self._open_rows()
        rows = self._one_of_each()
        if rows is None:
            return self._which(next(thing for thing in self.things if len(thing) > 1))
        told = [self._hours_of(row) for row in rows]
        return (" ".join(told), rows) if all(told) else None

    def _hours_of(self, row: TypedRow) -> str:
        query, day = self.query, self._day()
        if (
            (query.moment is None or query.moment.day is None)
            and not query.yes_no
            and query.asks != "until"
        ):
            whole = self._week(row)
            if whole:
                return whole
        spans, cell = self._spans(row, day), self.table.hours(row, day)
        if spans is None or cell is None:
            return ""
        told = {"entity": self.say.name(row), "when": self.say.when(day), "hours": cell}
        closure = self.table.closure(row, day) if isinstance(day, date) else ""
        if closure:
            return self.say("closed_because", note=closure, **told)
        if not spans:
            key = (
                "closed_yes"
                if query.edge == "closed" and query.yes_no
                else "open_no"
                if query.yes_no
                else "closed"
            )
            return self.say(key, **told)
        if query.edge in ("opens", "closes"):
            minutes = spans[0][0] if query.edge == "opens" else spans[-1][1]
            return self.say(f"{query.edge}_at", time=_written(minutes, cell), **told)
        if not query.yes_no:
            return self.say("open_hours", **told)
        is_open = self._is_open(spans)
        if query.edge == "closed":
            return self.say("closed_no" if is_open else "closed_yes", **told)
        return self.say("open_yes" if is_open else "open_not_then", **told)

    def _week(self, row: TypedRow) -> str:
        """All days, those of the same hours together."""
        if self.table.edges:
            parts_of = {
                "entity": self.say.name(row),
                "hours": self.table.hours(row, 0) or "",
                "when": "",
            }
            if self.query.edge not in ("opens", "closes"):
                return self.say("open_hours", **parts_of)
            time = row.cells.get(self.table.edges[self.query.edge == "closes"].name, "")
            return self.say(f"{self.query.edge}_at", time=time, **parts_of)
        if not self.table.week:
            cells = [row.cells.get(c.name) for c in self.table.columns if c.kind == "hours"]
            told = next((cell for cell in cells if cell), "")
            return self.say("week", entity=self.say.name(row), hours=told) if told else ""
        groups: list[tuple[list[int], str]] = []
        for day in range(7):
            cell = self.table.hours(row, day) or ""
            if groups and groups[-1][1] == cell:
                groups[-1][0].append(day)
            elif cell:
                groups.append(([day], cell))
        names = self.query.language.day_names
        told = ", ".join(
            f"{names[days[0]]}{f'–{names[days[-1]]}' if len(days) > 1 else ''} {cell}"
            for days, cell in groups
        )
        return self.say("week", entity=self.say.name(row), hours=told)

    def _is_open(self, spans: Sequence[tuple[int, int]]) -> bool:
        """At the time that was said, or on that day at all."""
        moment = self.query.moment
        if moment is None or moment.time is None:
            now = self.now.hour * 60 + self.now.minute
            if moment is None or moment.day == self.now.date() and self._says_now():
                return any(start <= now < end for start, end in spans)
            return bool(spans)
        time = moment.time
        if moment.relation == "after":
            return any(end > time for _, end in spans)
        if moment.relation == "before":
            return any(start < time for start, _ in spans)
        return any(start <= time < end for start, end in spans)

    def _says_now(self) -> bool:
        return False

    def _open_rows(self) -> Found:
        """Which, or how many, are open or closed then."""
        query, day = self.query, self._day()
        if self.table.source == OWN:
            # "customer service is there from 9 to 5" is not when the place is open
            own = self.table.nouns & query.language.any_of("open")
            told = self._hours_of(self.table.rows[0]) if own or query.noun else ""
            return (told, self.table.rows) if told else None
        at = query.moment and query.moment.time is not None
        if not (query.noun or query.filters) or not (query.edge in ("open", "closed") or at):
            return None
        wanted = (query.edge == "open") != query.negated
        rows = []
        for row in self._rows():
            spans = self._spans(row, day)
            if spans and query.edge in ("opens", "closes") and query.moment:
                edge = spans[0][0] if query.edge == "opens" else spans[-1][1]
                if _is_then(edge, query.moment):
                    rows.append(row)
            elif spans is not None and self._is_open(spans) == wanted:
                rows.append(row)
        if query.count:
            return self._counted(rows)
        if not rows:
            return self.say("none" if query.yes_no else "no_such"), []
        return self.say("yes_list" if query.yes_no else "list", names=self.say.names(rows)), rows


def _is_then(minutes: int, moment: Moment) -> bool:
    """Whether a time of the day is at, after or before what was said."""
    time = moment.time or 0
    return {"after": minutes > time, "before": minutes < time}.get(moment.relation, minutes == time)


def _has_some(cell: str) -> bool | None:
    """Whether a cell says that there is some of it: yes, or an amount above nothing."""
    if not cell:
        return None
    yes = values.yes_no(cell)
    if yes is not None:
        return yes
    number = values.amount(cell)
    return number > 0 if number is not None else None


def _written(minutes: int, like_cell: str) -> str:
    """A time as a cell writes its own."""
    hour, minute = divmod(minutes % 1440, 60)
    if any(half in like_cell.lower() for half in ("am", "pm", "a.m", "p.m")):
        half = "am" if hour < 12 else "pm"
        return f"{hour % 12 or 12}{f':{minute:02d}' if minute else ''} {half}"
    return f"{hour:02d}:{minute:02d}"
