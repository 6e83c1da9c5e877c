"""
Facts from the tables of a database, of any SQLAlchemy URL.

What a row is about is said by a column called name, title or entity, or else by the text column
with most different values; its id is the table's name and the primary key. Columns called question,
answer and the like make FAQ entries, as in files (:mod:`parlai_cu.knowledge.reading`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from parlai_cu.errors import DataError, KnowledgeError, nearest
from parlai_cu.knowledge.reading import entity_column, fact_of
from parlai_cu.knowledge.tables import TableConnection, open_database
from parlai_cu.types import Fact

try:
    import sqlalchemy
except ImportError:  # an extra
    sqlalchemy = None  # type: ignore[assignment]

# rows held at a time
_ROWS = 1000


def read_tables(uri: str, names: Sequence[str] = ()) -> Iterator[Fact]:
    """
    The facts of tables, of one state of the database.

    :param uri: of the database
    :param names: of tables; none: all
    :raises KnowledgeError: when the database, or a table, is not there
    :raises DataError: naming the table and the row
    """
    name, engine = open_database(uri)
    try:
        with TableConnection(engine, name) as db:
            there = _tables(db)
            for wanted in names:
                if wanted not in there:
                    close = nearest(wanted, there) or sorted(there)
                    raise KnowledgeError(
                        f"--table {wanted}: {name} has none; nearest: {', '.join(close)}"
                    )
            if not there:
                raise KnowledgeError(f"{name} holds no table")
            for chosen in names or sorted(there):
                yield from _facts(db, there[chosen])
    finally:
        engine.dispose()


def _tables(db: "sqlalchemy.Connection") -> dict[str, Any]:
    metadata = sqlalchemy.MetaData()
    metadata.reflect(bind=db, views=True)
    return dict(metadata.tables)


def _facts(db: "sqlalchemy.Connection", table: "sqlalchemy.Table") -> Iterator[Fact]:
    keys = [column.name for column in table.primary_key.columns]
    about = entity_column([c.name for c in table.columns]) or _most_telling(db, table)
    statement = sqlalchemy.select(table)
    if keys:
        statement = statement.order_by(*table.primary_key.columns)
    rows = db.execution_options(yield_per=_ROWS).execute(statement)
    for number, row in enumerate(rows, 1):
        values = {
            column: "" if value is None else str(value).strip()
            for column, value in row._mapping.items()
        }
        key = "/".join(values[column] for column in keys) or _digest(values)
        # a key says nothing by itself, unless it is the name
        shown = {column: text for column, text in values.items() if _says(column, keys, about)}
        shown["id"] = f"{table.name}:{key}"
        try:
            yield fact_of(table.name, number, shown, about)
        except DataError as error:
            raise DataError(f"{error} (row {number} of table {table.name})") from error


def _says(column: str, keys: list[str], about: str) -> bool:
    return column == about or column not in (*keys, "id", "key")


def _digest(values: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:12]


def _most_telling(db: "sqlalchemy.Connection", table: "sqlalchemy.Table") -> str:
    """The text column with most different values; the first of equals."""
    best, most = "", 1
    for column in table.columns:
        if isinstance(column.type, sqlalchemy.String):
            count = sqlalchemy.func.count(sqlalchemy.distinct(column))
            found = db.execute(sqlalchemy.select(count)).scalar_one()
            if found > most:
                best, most = column.name, found
    return best
