"""
What a turn asks of tables, with what it leaves out because it was said before.

Only what was understood to its last word is answered.
"""

import copy
from collections.abc import Sequence
from datetime import datetime

from parlai_cu.knowledge.asking.language import language_of
from parlai_cu.knowledge.asking.parsing import parsed
from parlai_cu.knowledge.asking.query import Query
from parlai_cu.knowledge.asking.running import TypedAnswer, answered, noted
from parlai_cu.knowledge.asking.schema import TypedTable
from parlai_cu.types import Turn

# turns of the user before this one that it may lean on
_BEFORE = 4
# what of a query says what is wanted
_ASKED = ("columns", "extreme", "compare", "difference", "count", "listing", "yes_no", "verb")


def answer(turn: Turn, tables: Sequence[TypedTable], now: datetime) -> TypedAnswer | None:
    """
    The answer of the table that understands most of a turn; None where none does wholly.

    :param turn: with what was said before, the user's turns and the service's in turns
    :param tables: that may be asked
    :param now: the clock
    """
    asked = [*turn.history[-2::-2][:_BEFORE][::-1], turn.text]
    best: TypedAnswer | None = None
    for table in tables:
        found = _of_table(asked, table, now)
        if found is not None and (best is None or found.query.strength > best.query.strength):
            best = found
    return best


def _of_table(asked: Sequence[str], table: TypedTable, now: datetime) -> TypedAnswer | None:
    before: Query | None = None
    found: TypedAnswer | None = None
    for text in asked:
        query = parsed(text, table, language_of(text), now)
        found = None
        if query.unread or not (query.strength or query.asks or query.moment):
            found = noted(query, now)
            if query.mentions:
                before = query  # a thing was named, though something unknown was asked of it
            continue
        query = _completed(query, before)
        found = answered(query, now)
        if query.strength:
            before = query if found is None else _remembered(query, found)
    return found


def _remembered(query: Query, found: TypedAnswer) -> Query:
    """A query with the one thing that it led to."""
    if query.mentions or len(found.rows) != 1 or not query.table.named:
        return query
    kept = copy.copy(query)
    kept.mentions = [(query.table.rows.index(found.rows[0]),)]
    kept.extreme = None
    return kept


def _completed(query: Query, before: Query | None) -> Query:
    """A query with what it leaves out from the one before."""
    if before is None:
        return query
    query = copy.copy(query)
    new_thing = bool(query.mentions)
    by_value = any(one.operator == "=" and one.column.names_rows for one in query.filters)
    lists = query.filters and (query.listing or query.count)
    names_rows = query.mentions or query.noun or query.extreme or by_value or lists
    if query.asks in ("when", "until") and not query.asks_something and before.edge:
        query.edge = "closes" if query.asks == "until" else "opens"
        query.moment = query.moment or before.moment
    if not names_rows:
        refines = query.filters and before.filters and not query.columns and not query.yes_no
        if before.mentions and not refines:
            query.mentions = before.mentions
        else:
            said = {one.column for one in query.filters}
            query.filters += [one for one in before.filters if one.column not in said]
            query.listing = query.listing or before.listing or bool(refines)
        query.strength += 1.0
    is_whole = query.columns or query.yes_no or query.listing or query.count
    if not query.asks_something or (query.filters and not is_whole):
        _take_over(query, before)
    elif query.edge and not new_thing:
        query.moment = query.moment or before.moment
    return query


def _take_over(query: Query, before: Query) -> None:
    """What is asked, from the query before."""
    for name in (
        "columns",
        "extreme",
        "compare",
        "difference",
        "count",
        "listing",
        "yes_no",
        "verb",
    ):
        setattr(query, name, getattr(query, name) or getattr(before, name))
    query.edge = query.edge or before.edge
    query.asks = query.asks or before.asks
    if not query.mentions and not query.noun:
        query.noun = before.noun
    if query.edge:
        query.moment = query.moment or before.moment
