"""
From a question to a typed query: each word is a name, a column, a value, an operator, or nothing.

What is left over at the end was not understood, and a query with such words answers nothing. The
longest reading of a word goes before shorter ones.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from parlai_cu.knowledge.asking.language import Language, tokens
from parlai_cu.knowledge.asking.moments import moment_of
from parlai_cu.knowledge.asking.query import Filter, Order, Query
from parlai_cu.knowledge.asking.schema import OWN, TypedColumn, TypedTable, parts
from parlai_cu.knowledge.asking.spelling import corrected
from parlai_cu.knowledge.asking.values import amount
from parlai_cu.knowledge.words import stem

_LONGEST_NAME = 10
# words between a "not" and what it denies
_DENIES = 3
_WORD = re.compile(r"[a-zäöü]{5,}")
_CURRENCIES = re.compile(r"[€$£¥₹]")
Place = tuple[int, int]


def parsed(text: str, table: TypedTable, language: Language, now: datetime) -> Query:
    """
    What a question asks of a table.

    :param text: the question
    :param table: that it may be asked of
    :param language: of the question
    :param now: the clock
    """
    return _Reader(text, table, language, now).query


class _Reader:
    """One reading of one question."""

    def __init__(self, text: str, table: TypedTable, language: Language, now: datetime) -> None:
        self.table, self.language = table, language
        self.query = Query(table, language)
        if table.has_hours:
            text = _WORD.sub(lambda word: corrected(word[0], language.days, ()), text)
        whole = tokens(text)
        if table.has_hours or any(column.kind == "date" for column in table.columns):
            text, self.query.moment = moment_of(text, language, now, table.has_hours)
        self.times = [token for token in whole if token[0].isdigit() and token not in tokens(text)]
        known = language.words | table.vocabulary
        self.said = [
            token if stem(token) in table.stems else corrected(token, known, language.small)
            for token in tokens(_CURRENCIES.sub(" ", text))
        ]
        self.stems = [stem(token) for token in self.said]
        self.query.heard = frozenset(self.stems)
        # what each word was read as
        self.roles: list[str] = [""] * len(self.said)
        # where the columns are that were named, for what stands beside them
        self.named: list[tuple[int, TypedColumn]] = []
        for step in (
            self._forms,
            self._names,
            self._bounds,
            self._name_parts,
            self._hour_words,
            self._columns_and_values,
            self._hours,
            self._orders,
            self._single_parts,
            self._denials,
            self._rest,
        ):
            step()

    # -- help --------------------------------------------------------------------------------

    def _free(self, start: int, end: int) -> bool:
        return not any(self.roles[start:end])

    def _take(self, place: Place, role: str, strength: float = 0.0) -> None:
        for i in range(*place):
            self.roles[i] = role
        self.query.strength += strength * (place[1] - place[0])

    def _find(self, phrases: Iterable[tuple[str, ...]]) -> Iterator[tuple[Place, tuple[str, ...]]]:
        """Where phrases stand that are still free, longest first."""
        for phrase in sorted(phrases, key=lambda some: (-len(some), some)):
            for start in range(len(self.stems) - len(phrase) + 1):
                place = (start, start + len(phrase))
                if tuple(self.stems[slice(*place)]) == phrase and self._free(*place):
                    yield place, phrase

    def _windows(self, longest: int) -> Iterator[tuple[Place, tuple[str, ...]]]:
        for length in range(min(longest, len(self.stems)), 0, -1):
            for start in range(len(self.stems) - length + 1):
                if self._free(start, start + length):
                    yield (start, start + length), tuple(self.stems[start : start + length])

    def _is_small(self, word: str) -> bool:
        return word in self.language.fillers

    # -- steps -------------------------------------------------------------------------------

    def _forms(self) -> None:
        """What kind of question it is, by how it begins."""
        one, query = self.language, self.query
        fillers = [i for i, word in enumerate(self.stems) if not word[0].isdigit()]
        first = next((i for i in fillers if self.stems[i] not in one.any_of("lead")), None)
        if first is not None and self.stems[first] in one.any_of("yes_no"):
            query.yes_no, query.verb = True, self.said[first]
        said = set(self.stems)
        for asks in ("until", "when", "where", "who"):
            for place, _ in self._find(one.phrases(asks)):
                query.asks = query.asks or asks
                if asks in ("when", "until") and not self._with_stem(self.stems[place[0]]):
                    self._take(place, "asks")
        for place, _ in self._find(one.phrases("difference")):
            after = self.stems[place[1] : place[1] + 1]
            compares = "".join(after) and self._is_comparing(place[1])
            later = said & one.any_of("than") and said & (one.any_of("more") | one.any_of("less"))
            if compares or later:
                query.difference = True
                self._take(place, "difference")
        for place, phrase in self._find(one.phrases("count")):
            if not query.difference and not query.count:
                query.count = True
                self._take(place, "how many" if len(phrase) > 1 else "count")
        query.listing = bool(said & one.any_of("lists")) or query.asks == "who"

    def _is_comparing(self, i: int) -> bool:
        one = self.language
        of_concepts = any(
            self.stems[i] in concept.more | concept.less for concept in one.concepts.values()
        )
        return of_concepts or self.stems[i] in one.any_of("more") | one.any_of("less")

    def _bounds(self) -> None:
        """Under 80, at least 5 kg, between 10 and 20, cheaper than 100."""
        one = self.language
        numbers = [i for i, token in enumerate(self.said) if token[0].isdigit()]
        for key, operator in (
            ("at_most", "<="),
            ("at_least", ">="),
            ("below", "<"),
            ("above", ">"),
        ):
            for place, _ in list(self._find(one.phrases(key))):
                near = [i for i in numbers if self._free(i, i + 1) and 0 <= i - place[1] <= 2]
                behind = place[0] - 1 if place[0] - 1 in numbers else None
                if not near and behind is None:
                    behind = (
                        place[0] - 2
                        if place[0] - 2 in numbers and place[1] - place[0] == 2
                        else None
                    )
                i = near[0] if near else behind
                if i is not None and self._bound(
                    (min(place[0], i), max(place[1], i + 1)), i, operator
                ):
                    numbers.remove(i)
        for place, _ in list(self._find(one.phrases("between"))):
            near = [i for i in numbers if place[1] <= i <= place[1] + 4]
            if len(near) == 2 and self._bound((place[0], near[0] + 1), near[0], ">="):
                self._bound((near[0] + 1, near[1] + 1), near[1], "<=")
        for i in numbers:
            self._comparison_with(i)

    def _comparison_with(self, i: int) -> None:
        """Lighter than 10 kg."""
        one = self.language
        if i < 2 or self.stems[i - 1] not in one.any_of("than") or not self._free(i - 2, i + 1):
            return
        for concept in one.concepts.values():
            for words_of, operator in ((concept.more, ">"), (concept.less, "<")):
                columns = self.table.column(concept.name)
                if self.stems[i - 2] in words_of and columns:
                    self._bound((i - 2, i + 1), i, operator, columns[0])
                    return

    def _bound(
        self, place: Place, i: int, operator: str, column: TypedColumn | None = None
    ) -> bool:
        column = column or self._measured(i, place)
        number = amount(self.said[i])
        if column is None or number is None:
            return False
        self.query.filters.append(Filter(column, operator, number))
        end = place[1]
        units = self.language.any_of("currency") | self._units(column)
        if end < len(self.stems) and self.stems[end] in units and self._free(end, end + 1):
            end += 1
        self._take((place[0], end), "bound", 1.0)
        return True

    def _units(self, column: TypedColumn) -> frozenset[str]:
        held = (row.cells.get(column.name, "") for row in self.table.rows[:50])
        return frozenset(stem(t) for cell in held for t in tokens(cell) if not t[0].isdigit())

    def _measured(self, i: int, place: Place) -> TypedColumn | None:
        """The column that a number is of: by its unit, by what stands beside it, or as money."""
        amounts = [column for column in self.table.columns if column.is_amount]
        after = self.stems[i + 1 : i + 3]
        money = [
            column for column in amounts if column.kind == "money" or "price" in column.concepts
        ]
        if after[:1] and after[0] in self.language.any_of("currency"):
            return money[0] if money else None
        for column in amounts:
            if after and (after[0] in self._units(column) or column.stems & set(after)):
                return column
        before = set(self.stems[max(place[0] - 4, 0) : place[0]])
        for column in amounts:
            if column.stems & before or self._asked_by(before, column):
                return column
        return money[0] if money else amounts[0] if len(amounts) == 1 else None

    def _asked_by(self, said: set[str], column: TypedColumn) -> bool:
        concepts = self.language.concepts
        return any(
            set(phrase) <= said
            for name in column.concepts
            if name in concepts
            for phrase in concepts[name].ask
        )

    def _names(self) -> None:
        """Things that are named in full, or by a code."""
        for place, said in self._windows(_LONGEST_NAME):
            rows = self.table.names.get(said)
            is_name = any(c.isalpha() for c in "".join(said)) and not all(map(self._is_small, said))
            if rows and is_name and self._free(*place):
                self._mention(place, rows)

    def _mention(self, place: Place, rows: Iterable[int]) -> None:
        before = self.stems[place[0] - 1] if place[0] else ""
        self.query.the |= before in self.language.any_of("articles")
        self.query.mentions.append(tuple(sorted(set(rows))))
        self._take(place, "name", 2.0)

    def _name_parts(self) -> None:
        """Things that are named by two or more words of their name."""
        for place, said in self._windows(_LONGEST_NAME):
            if len(said) > 1 and self._free(*place) and said not in self.table.values:
                rows = self._rows_with(said)
                if rows and len(rows) < max(len(self.table.rows), 2):
                    self._mention(place, rows)

    def _rows_with(self, said: tuple[str, ...]) -> set[int]:
        known = self.table.name_words
        if not all(word in known for word in said):
            return set()
        return set.intersection(*(known[word] for word in said))

    def _single_parts(self) -> None:
        """Things that are named by one word, where it is no word for all of them."""
        for i, word in enumerate(self.stems):
            rows = self.table.name_words.get(word)
            if not rows or self.roles[i] or self._is_small(word):
                continue
            if word in self.table.nouns:
                continue
            self._mention((i, i + 1), rows)

    def _columns_and_values(self) -> None:
        """Columns by their name or as people ask for them, and values."""
        while True:
            found = max(self._readings(), key=lambda one: one[0], default=None)
            if found is None:
                return
            found[1]()

    def _readings(self) -> Iterator[tuple[tuple[float, int], Callable[[], None]]]:
        """What words may be read as: how good a reading is, and what takes it."""
        for place, said in self._windows(6):
            small, length = all(map(self._is_small, said)), len(said)
            columns = [c for c in self.table.columns if c.stems and set(said) == set(c.stems)]
            if small and length == 1:
                columns = []
            held = [] if small or _is_number(said) else self.table.values.get(said, [])
            absent = [c for key in self._asked(said, none=True) for c in self.table.column(key)]
            about = [c for key in self._asked(said) for c in self.table.column(key)]
            after = self.stems[place[1] : place[1] + 1]
            if small and after and not self._is_small(after[0]) and self.roles[place[1]] != "name":
                about = []  # "how much data" is no question for a price
            part = [] if small or columns or length > 1 else self._with_stem(said[0])
            choices: list[tuple[Any, Sequence[Any], float]] = [
                (self._column, columns, 0.6),
                (self._value, held, 0.5),
                (self._none, absent, 0.4),
                (self._column, about, 0.3),
                (self._column, part, -0.1),
            ]
            for take, found, worth in choices:
                if found:
                    yield (length + worth, -place[0]), functools.partial(take, place, found)

    def _with_stem(self, word: str) -> list[TypedColumn]:
        """Columns whose name has a word, or one made of it: "manager" of "manage"."""
        columns = self.table.columns
        there = [column for column in columns if word in column.stems]
        return there or [
            column
            for column in columns
            for part in column.stems
            if len(word) > 3 and part.startswith(word) and len(part) - len(word) <= 3
        ]

    def _asked(self, said: tuple[str, ...], none: bool = False) -> list[str]:
        concepts = self.language.concepts.values()
        return [c.name for c in concepts if said in (c.none if none else c.ask)]

    def _column(self, place: Place, columns: list[TypedColumn]) -> None:
        """What is asked for; of several columns those that fit what was said best."""
        chosen = self._fitting(list(dict.fromkeys(columns)), place)
        kept = [column for column in chosen if column in self.query.columns]
        for column in kept or chosen:
            if column not in self.query.columns:
                self.query.columns.append(column)
            self.named.append((place[0], column))
        self._take(place, "column", 0.8 if chosen[0].way else 1.0)

    def _fitting(self, columns: list[TypedColumn], place: Place) -> list[TypedColumn]:
        if len(columns) == 1:
            return columns
        heard = set(self.stems)
        heard = set(self.stems) - self.table.nouns
        led = [column for column in columns if column.through & heard]
        columns = led or [column for column in columns if not column.through] or columns
        dates = [column for column in columns if column.kind == "date"]
        others = [column for column in columns if column.kind != "date"]
        if dates and others:
            columns = dates if self.query.asks == "when" else others
        best = max(len(column.stems & heard) for column in columns)
        chosen = [column for column in columns if len(column.stems & heard) == best]
        if self.roles[max(place[0] - 1, 0)] == "how many" or self.query.count:
            chosen = [column for column in chosen if column.is_amount] or chosen
        money = [column for column in chosen if column.kind == "money"]
        return money if money and "price" in money[0].concepts else chosen[:2]

    def _value(self, place: Place, held: list[tuple[TypedColumn, str]]) -> None:
        column, value = held[0]
        near = [pair for pair in held if pair[0] in self.query.columns]
        column, value = near[0] if near else (column, value)
        self.query.filters.append(Filter(column, "=", value))
        self.named.append((place[0], column))
        self._take(place, "value", 2.0)

    def _none(self, place: Place, columns: list[TypedColumn]) -> None:
        self.query.filters.append(Filter(columns[0], "none"))
        self.named.append((place[0], columns[0]))
        self._take(place, "value", 1.5)

    def _hour_words(self) -> None:
        """Open, closed, opens, closes, opening hours."""
        self.edges: list[str] = []
        if not self.table.has_hours:
            return
        for place, _ in self._find(self.language.phrases("hours")):
            self.edges.append("hours")
            self._take(place, "hours", 1.0)
        # opens and open have one stem
        for i, word in enumerate(self.said):
            for edge in ("opens", "closes", "open", "closed"):
                if not self.roles[i] and word in self.language.raw[edge].split():
                    self.edges.append(edge)
                    self._take((i, i + 1), "hours", 1.0)

    def _hours(self) -> None:
        """Whether hours are asked for."""
        if not self.table.has_hours:
            return
        query, found = self.query, self.edges
        hours = [column for column in query.columns if column.kind == "hours"]
        query.columns = [column for column in query.columns if column.kind != "hours"]
        if not found and (not hours or query.columns or query.filters):
            if query.moment is None or query.columns or query.filters or query.asks == "who":
                return
        query.edge = self._edge(found[0] if found else "hours")

    def _edge(self, said: str) -> str:
        """What is asked of hours: "when does it open" is when it opens, "when is it" is not."""
        query, one = self.query, self.language
        if query.asks == "until" and said in ("open", "hours"):
            return "closes"
        does = bool(set(self.said) & set(one.raw["does"].split()))
        if said == "open" and query.asks == "when":
            return "opens" if does else "hours"
        if said == "closes" and query.yes_no and query.asks != "when":
            return "closed"
        if said == "open" and not (query.yes_no or query.listing or query.count):
            return "hours"
        return said

    def _says(self, key: str) -> bool:
        return bool(set(self.stems) & self.language.any_of(key))

    def _orders(self) -> None:
        """Cheapest, more study rooms than, closes later."""
        one = self.language
        for i, word in enumerate(self.stems):
            if self.roles[i] in ("bound", "name") or (self.roles[i] and self.roles[i] != "column"):
                continue
            for concept in one.concepts.values():
                if word in concept.more | concept.less:
                    columns = [c for c in self.table.column(concept.name) if c.is_amount]
                    chosen = self._fitting(columns, (i, i + 1)) if columns else []
                    more = word in concept.more
                    if chosen and concept.name == "age" and _are_years(chosen[0], self.table):
                        more = not more  # what is older was made in an earlier year
                    if chosen and self._order(i, chosen[0], more):
                        break
        for key, more in (("most", True), ("least", False), ("more", True), ("less", False)):
            for place, _ in list(self._find(one.phrases(key))):
                if self.query.edge:
                    continue
                column = self._beside(place[0])
                if column is not None:
                    self._set(Order(column, more), place, extreme=key in ("most", "least"))
                elif self.query.difference:
                    self._take(place, "order")
        for key, more in (
            ("latest", True),
            ("earliest", False),
            ("later", True),
            ("earlier", False),
        ):
            for place, _ in list(self._find(one.phrases(key))):
                edge = "closes" if self._says("closes") or self.query.asks == "until" else "opens"
                if self.table.has_hours:
                    self._set(Order(None, more, edge), place, extreme=key in ("latest", "earliest"))

    def _order(self, i: int, column: TypedColumn, more: bool) -> bool:
        one = self.language
        before = self.stems[i - 1] if i else ""
        most = before in one.any_of("most") or before in one.any_of("least")
        than = before in one.any_of("more") or before in one.any_of("less")
        is_most = most or re.search(one.raw["superlative"], self.said[i])
        is_base = any((self.stems[i],) in concept.ask for concept in one.concepts.values())
        if (
            not is_most
            and not than
            and (is_base or not re.search(one.raw["comparative"], self.said[i]))
        ):
            return False
        if before in one.any_of("least") | one.any_of("less"):
            more = not more
        self._set(Order(column, more), (i - 1 if most or than else i, i + 1), bool(is_most))
        return True

    def _set(self, order: Order, place: Place, extreme: bool) -> None:
        if extreme:
            self.query.extreme = order
        else:
            self.query.compare = order
        self.query.columns = [column for column in self.query.columns if column != order.column]
        self._take(place, "order", 1.0)

    def _beside(self, i: int) -> TypedColumn | None:
        """The column of amounts named nearest behind a word, or before it."""
        near = sorted(
            (abs(place - i) + (4 if place < i else 0), n)
            for n, (place, column) in enumerate(self.named)
            if column.is_amount
        )
        return self.named[near[0][1]][1] if near else None

    def _denials(self) -> None:
        """Not, without, except: of what follows."""
        query = self.query
        denials = [i for i, w in enumerate(self.stems) if w in self.language.any_of("not")]
        for i in denials:
            if self.roles[i]:
                continue
            self._take((i, i + 1), "not")
            after = [(p, c) for p, c in self.named if 0 < p - i <= _DENIES]
            if not after:
                query.negated = True
                continue
            column = min(after, key=lambda pair: pair[0])[1]
            for n, one in enumerate(query.filters):
                if one.column == column and one.operator in ("=", "some"):
                    query.filters[n] = Filter(column, one.operator, one.value, True)
                    break
            else:
                query.filters.append(Filter(column, "none"))
                query.columns = [c for c in query.columns if c != column]

    def _rest(self) -> None:
        """Words for rows, small words, and what was not understood."""
        one, query = self.language, self.query
        for i, word in enumerate(self.stems):
            if self.roles[i]:
                continue
            if word in self.table.nouns or (word in one.any_of("generic")):
                query.noun = True
                self._take((i, i + 1), "noun", 1.5 if word in self.table.nouns else 0.1)
            elif self.table.source == OWN and self.said[i] in one.raw["own"].split():
                self._take((i, i + 1), "own", 0.1)
            elif not self._is_small(word) and self.said[i] not in self.language.ignored:
                query.unread.append(self.said[i])
        if query.asks == "who" and not query.columns:
            query.unread += self.times
        if one.any_of("whatever") & set(self.stems) and not (
            query.noun or query.yes_no or query.filters
        ):
            query.unread.append(self.said[0])  # "any area is fine" asks for nothing
        if not query.noun and any(f.column.names_rows for f in query.filters):
            # what the named thing's own table says of it goes before
            query.strength -= 2.0
        self._flags()

    def _flags(self) -> None:
        """Columns of yes and no, or of amounts, that rows are to have: "electric bikes"."""
        query = self.query
        if query.asks in ("when", "until"):
            dates = [column for column in query.columns if column.kind == "date"]
            query.columns = dates or query.columns
        if query.asks == "where":
            places = [c for c in query.columns if not c.way and c.name.split()[-1] in ("in", "at")]
            query.columns = places or query.columns
        if any(len(mention) == 1 for mention in query.mentions):
            query.columns = [
                column
                for column in query.columns
                if not any(column.stems <= other.through for other in query.columns)
            ]
            return
        rest = []
        bounded = {one.column for one in query.filters}
        for column in query.columns:
            is_counted = query.count and not query.noun
            if column in bounded:
                continue  # "which cost less than 30"
            if any(column.stems <= other.through for other in query.columns):
                continue  # of the director's email it is not asked who that is
            if column.kind == "yes/no" or (
                column.kind == "number"
                and not is_counted
                and (query.noun or query.yes_no)
                and not query.extreme
                and not query.compare
            ):
                query.filters.append(Filter(column, "some", negated=query.negated))
                query.negated = False
            else:
                rest.append(column)
        query.columns = rest


def _are_years(column: TypedColumn, table: TypedTable) -> bool:
    held = [row.cells[column.name] for row in table.rows if column.name in row.cells]
    return column.kind == "date" or all(re.fullmatch(r"1\d{3}|20\d\d", cell) for cell in held)


def _is_number(said: tuple[str, ...]) -> bool:
    return len(said) == 1 and said[0].replace(".", "").replace(",", "").isdigit()


def has_value(column: TypedColumn, cell: str, value: str) -> bool:
    """Whether a cell holds a value, alone or in its list."""
    return value in parts(column, cell)
