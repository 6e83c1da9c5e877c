"""Rows of a database as things that are linked by its foreign keys."""

import hashlib
import re
from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any

from parlai_cu.knowledge.asking.linked import Thing
from parlai_cu.knowledge.importing import columns as kinds

try:
    import sqlalchemy
except ImportError:  # an extra
    sqlalchemy = None  # type: ignore[assignment]

# larger tables are searched, and not asked
MOST_ROWS = 20_000
_KEY_END = re.compile(r"_?(?:id|key|nr|no)$", re.I)


def things_in(
    db: Any, tables: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[Hashable, Thing]:
    """
    The rows of all tables that are not too large.

    :param db: a connection
    :param tables: of SQLAlchemy, by their names
    :param counts: how many rows each has
    """
    things: dict[Hashable, Thing] = {}
    there = {name: t for name, t in tables.items() if counts.get(name, 0) <= MOST_ROWS}
    for name, table in there.items():
        links = _links(table, there)
        rows = [dict(row._mapping) for row in db.execute(sqlalchemy.select(table))]
        keys = [column.name for column in table.primary_key.columns]
        about = _name_column(table, rows, links)
        flags = _flags(table, rows, links)
        hidden = {about, *links, *(k for k in keys if len(keys) == 1 and k != about)}
        for row in rows:
            key = tuple(row[k] for k in keys) or (row_digest(row),)
            thing = Thing(
                f"{table.name}:{'/'.join(map(str, key))}",
                table.name.replace("_", " "),
                str(row[about]) if about and row[about] is not None else "",
                {
                    _told(c): [_text(bool(v) if c in flags and v is not None else v)]
                    for c, v in row.items()
                    if c not in hidden and _text(v)
                },
                {
                    _told(_KEY_END.sub("", c) or c): [(target, (row[c],))]
                    for c, target in links.items()
                    if row[c] is not None
                },
            )
            things[(name, key)] = thing
    return things


def row_digest(row: Mapping[str, Any]) -> str:
    """What the row of a table without keys is called."""
    said = "\n".join(f"{name}={value}" for name, value in row.items())
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _links(table: Any, there: Mapping[str, Any]) -> dict[str, str]:
    """Column -> the table it leads to: as declared, or as ``branch_id`` beside ``branches``."""
    found: dict[str, str] = {}
    names = {name.casefold(): name for name in there}
    for column in table.columns:
        for key in column.foreign_keys:
            target = key.target_fullname.rpartition(".")[0]
            if target in there:
                found[column.name] = target
        start = _KEY_END.sub("", column.name).casefold()
        if column.name not in found and start != column.name.casefold() and start:
            for called in (start, f"{start}s", f"{start}es", re.sub("y$", "ies", start)):
                if called in names and names[called] != table.name:
                    found.setdefault(column.name, names[called])
    return found


def _flags(table: Any, rows: list[dict[str, Any]], links: Mapping[str, str]) -> set[str]:
    """Columns of 0 and 1 alone."""
    return {
        column.name
        for column in table.columns
        if column.name not in links
        and not column.primary_key
        and _is_flag([row[column.name] for row in rows if row[column.name] is not None])
    }


def _is_flag(held: list[Any]) -> bool:
    # a JSON column holds what has no hash
    numbers = all(isinstance(v, (int, float, Decimal)) and v in (0, 1) for v in held)
    return numbers and 0 in held and 1 in held


def _name_column(table: Any, rows: list[dict[str, Any]], links: Mapping[str, str]) -> str:
    """The column that names a row; empty: none."""
    texts = [
        column.name
        for column in table.columns
        if column.name not in links and any(isinstance(row[column.name], str) for row in rows)
    ]
    held = {name: [str(row[name]) for row in rows if row[name] is not None] for name in texts}
    return kinds.entity_column(texts, held)


def _told(column: str) -> str:
    return " ".join(column.replace("_", " ").split())


def _text(value: Any) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
