"""
Tables that exist: ``sql+`` and any SQLAlchemy URL, as ``sql+sqlite:///other.db``.

What the conversation mentions becomes a parametrised query over one table; user text is only ever
a parameter. Nothing is written.
"""

import hashlib
import math
import os
import threading
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from urllib.parse import unquote

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.asking.asked import NEVER, AskedTables, Dated, before_others
from parlai_cu.knowledge.asking.linked import linked_tables
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.knowledge.slot_extraction import (
    FALSE,
    TRUE,
    Column,
    Constraint,
    asked_columns,
    constraints,
    spoken,
    value_index,
)
from parlai_cu.knowledge.table_things import row_digest, things_in
from parlai_cu.knowledge.tables import TableConnection, open_database
from parlai_cu.knowledge.words import stem, words
from parlai_cu.types import Evidence, Turn

try:
    import sqlalchemy
except ImportError:  # an extra
    sqlalchemy = None  # type: ignore[assignment]

# so many different values of a column are known by name; of others only numbers are understood
_MOST_VALUES = 50_000
# rows looked at for a turn
_ROWS = 200
# a table that is called by its name counts as much as a mentioned value of so many
_TABLE_BONUS = math.log(10)


class StructuredDatabase(ReadOnly):
    """
    Rows of ordinary tables.

    :param uri: an SQLAlchemy URL, or ``sql+`` and one
    :param today: from where "tomorrow" is counted
    :raises KnowledgeError: when it cannot be opened, or holds no table
    """

    how_to_write = "the programs that keep it"

    def __init__(self, uri: str, today: Callable[[], date] = date.today) -> None:
        self._lock = threading.Lock()
        self._today = today
        self.name, self._engine = open_database(uri)
        self._tables: dict[str, Any] = {}
        self._columns: list[Column] = []
        self._index = value_index([])
        self._counts: dict[str, int] = {}
        self._snapshot = ""
        self._file: Any = None
        # after a failure the tables may be others
        self._stale = True
        self._clock: Any = None
        self._typed = AskedTables(self.name)
        self._refresh()
        if not self._tables:
            raise KnowledgeError(f"{self.name} holds no table")

    # -- what is there -----------------------------------------------------------------------

    def _refresh(self) -> None:
        """Read schema and values again if anything changed."""
        file = _sqlite_file(self._engine)
        if file != self._file:
            # open connections read the file that was there before
            self._engine.dispose()
            self._forget()
            self._file = file
        read_clock = _CLOCKS.get(self._engine.dialect.name)
        if read_clock:
            # in a transaction of its own: what is read below is not older
            with self._connection() as db:
                clock = read_clock(db)
            if self._snapshot and clock == self._clock:
                return
            self._clock = clock
        with self._lock, self._connection() as db:
            tables = self._reflected(db)
            snapshot = _digest(db, tables)
            if snapshot == self._snapshot:
                return
            counts = {name: _count(db, table) for name, table in tables.items()}
            columns = [
                _column(db, table, column) for table in tables.values() for column in table.columns
            ]
            self._tables, self._counts, self._columns = tables, counts, columns
            self._index = value_index(columns)
            self._snapshot = snapshot

    def _reflected(self, db: "sqlalchemy.Connection") -> dict[str, Any]:
        if self._tables and not self._stale:
            return self._tables
        metadata = sqlalchemy.MetaData()
        metadata.reflect(bind=db, views=True)
        self._stale = False
        return dict(metadata.tables)

    def _connection(self) -> Any:
        return TableConnection(self._engine, self.name, self._forget)

    def _forget(self) -> None:
        """Read everything anew."""
        self._stale, self._snapshot = True, ""
        self._typed = AskedTables(self.name)

    # -- asking ------------------------------------------------------------------------------

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """
        The rows of one table that satisfy most of what the conversation asks for.

        ``score`` is the share of what was asked for, by how much each thing tells.
        """
        self._refresh()
        answers = self._typed.answers(turn, self._snapshot, lambda _: self._linked())
        return before_others(answers, self._found(turn, top_k))[:top_k]

    def _linked(self) -> Dated:
        """The tables as they can be asked, joined by their foreign keys."""
        with self._connection() as db:
            return linked_tables(things_in(db, self._tables, self._counts)), NEVER

    def _found(self, turn: Turn, top_k: int) -> list[Evidence]:
        """Rows by what the conversation mentions."""
        today = turn.at.date() if turn.at else self._today()
        wanted = constraints(turn, self._columns, self._index, today)
        table = self._best_table(turn, wanted)
        if table is None:
            return []
        wanted = [c for c in wanted if c.column.table == table]
        with self._connection() as db:
            rows = self._rows(db, table, wanted)
        asked = asked_columns(turn.text, [c for c in self._columns if c.table == table])
        total = sum(self._weight(c) for c in wanted)
        ranked = []
        for row in rows:
            met = sum(self._weight(c) for c in wanted if _holds(c, row))
            ranked.append((-met / total if total else 0.0, self._id(table, row), row))
        ranked.sort(key=lambda found: found[:2])
        return [
            self._evidence(table, key, row, -score, asked) for score, key, row in ranked[:top_k]
        ]

    def _best_table(self, turn: Turn, wanted: Sequence[Constraint]) -> str | None:
        if not wanted:
            return None
        said = {stem(word) for text in (*turn.history, turn.text) for word in words(text)}
        weights: dict[str, float] = {}
        for constraint in wanted:
            table = constraint.column.table
            weights[table] = weights.get(table, 0.0) + self._weight(constraint)
        for table in weights:
            if {stem(word) for word in words(table.replace("_", " "))} & said:
                weights[table] += _TABLE_BONUS
        return max(sorted(weights), key=lambda table: weights[table])

    def _weight(self, constraint: Constraint) -> float:
        """How much it tells: the log of how many values it chooses between."""
        choices = len(constraint.column.values) if constraint.operator == "=" else 2
        return math.log(max(choices, 2))

    def _rows(
        self, db: "sqlalchemy.Connection", table: str, wanted: Sequence[Constraint]
    ) -> list[dict[str, Any]]:
        """Rows that meet all; or else all but the one that tells least, and so on."""
        kept = sorted(wanted, key=self._weight, reverse=True)
        found = self._tables[table]
        while kept:
            statement = sqlalchemy.select(found).limit(_ROWS)
            for constraint in kept:
                statement = statement.where(_condition(found, constraint))
            rows = [dict(row._mapping) for row in db.execute(statement)]
            if rows:
                return rows
            kept.pop()
        return []

    def get(self, fact_id: str) -> Evidence | None:
        """The row of that id, ``table:key``."""
        name, _, key = fact_id.partition(":")
        if name not in self._tables:
            return None
        table = self._tables[name]
        keys = list(table.primary_key.columns)
        with self._connection() as db:
            statement = sqlalchemy.select(table)
            if len(keys) == 1:
                text = sqlalchemy.cast(keys[0], sqlalchemy.String)
                statement = statement.where(text == key)
            for row in db.execute(statement):
                values = dict(row._mapping)
                if self._id(name, values) == fact_id:
                    return self._evidence(name, fact_id, values, 1.0, [])
        return None

    def _id(self, table: str, row: dict[str, Any]) -> str:
        keys = [row[column.name] for column in self._tables[table].primary_key.columns]
        return f"{table}:{'/'.join(map(str, keys or [row_digest(row)]))}"

    def _evidence(
        self, table: str, key: str, row: dict[str, Any], score: float, asked: Sequence[str]
    ) -> Evidence:
        fields = {name: str(value) for name, value in row.items() if value not in (None, "")}
        named = _entity_column(self._columns, table)
        first = [name for name in fields if name in asked]
        order = [*first, *(name for name in fields if name not in asked)]
        hidden = {column.name for column in self._tables[table].primary_key.columns} | {named}
        shown = {name: fields[name] for name in order if name not in hidden}
        entity = fields.get(named, "")
        return Evidence(
            key, row_sentence(shown, entity), score, self.name, self._snapshot, entity, "", fields
        )

    def stats(self) -> dict[str, Any]:
        """Rows, tables, columns and the snapshot."""
        self._refresh()
        return {
            "facts": sum(self._counts.values()),
            "tables": len(self._tables),
            "columns": len(self._columns),
            "snapshot": self._snapshot,
        }

    def snapshot_id(self) -> str:
        """
        Of what the database says of itself.

        SQLite: its change counter, which sees every commit. PostgreSQL and MySQL: a sum over the
        rows, made anew when anything was written. Others: the number of rows and the largest key
        of each table; a value that is changed is not known by its new name until either is.
        """
        self._refresh()
        return self._snapshot

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()


def _count(db: "sqlalchemy.Connection", table: "sqlalchemy.Table") -> int:
    statement = sqlalchemy.select(sqlalchemy.func.count()).select_from(table)
    return int(db.execute(statement).scalar_one())


def _digest(db: "sqlalchemy.Connection", tables: dict[str, Any]) -> str:
    seen: list[Any] = sorted(tables)
    if db.dialect.name == "sqlite":
        seen.append(_sqlite_state(unquote(str(db.engine.url.database)[len("file:") :])))
    elif db.dialect.name == "postgresql":
        seen += [_postgresql_state(db, tables[name]) for name in seen[:]]
    elif db.dialect.name in ("mysql", "mariadb"):
        seen += [_mysql_state(db, tables[name]) for name in seen[:]]
    else:
        for name in seen[:]:
            seen.append(_count(db, tables[name]))
            for column in tables[name].primary_key.columns:
                largest = sqlalchemy.select(sqlalchemy.func.max(column))
                seen.append(str(db.execute(largest).scalar()))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


def _postgresql_state(db: "sqlalchemy.Connection", table: "sqlalchemy.Table") -> tuple[Any, ...]:
    """How many rows, and the sum of what they hash to."""
    name = db.dialect.identifier_preparer.format_table(table)
    sql = f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {name} AS t"
    return tuple(db.exec_driver_sql(sql).one())


def _postgresql_clock(db: "sqlalchemy.Connection") -> Any:
    """What no commit leaves as it was."""
    return db.exec_driver_sql(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
        "ELSE pg_current_wal_insert_lsn() END::text"
    ).scalar_one()


def _mysql_state(db: "sqlalchemy.Connection", table: "sqlalchemy.Table") -> tuple[Any, ...]:
    """How many rows, and the sum of their contents; a view has none of its own."""
    name = db.dialect.identifier_preparer.format_table(table)
    return (_count(db, table), str(db.exec_driver_sql(f"CHECKSUM TABLE {name}").one()[1]))


def _mysql_clock(db: "sqlalchemy.Connection") -> Any:
    """What no change of a row leaves as it was: bytes logged, and rows changed or removed."""
    rows = db.exec_driver_sql(
        "SHOW GLOBAL STATUS WHERE Variable_name IN "
        "('Innodb_os_log_written', 'Handler_update', 'Handler_delete')"
    )
    return sorted(tuple(map(str, row)) for row in rows)


_CLOCKS = {
    "postgresql": _postgresql_clock,
    "mysql": _mysql_clock,
    "mariadb": _mysql_clock,
}


def _sqlite_file(engine: "sqlalchemy.Engine") -> Any:
    """Which file it is: another one in its place may have had as many changes."""
    path = unquote(str(engine.url.database)[len("file:") :])
    if engine.dialect.name != "sqlite" or not os.path.exists(path):
        return None
    held = os.stat(path)
    return held.st_dev, held.st_ino, held.st_size, held.st_ctime_ns


def _sqlite_state(path: str) -> tuple[Any, ...]:
    """The change counter of the file's header, and commits that did not reach the file yet."""
    with open(path, "rb") as file:
        counter = file.read(100)[24:28]
    if not os.path.exists(f"{path}-wal"):
        return (counter,)
    log = os.stat(f"{path}-wal")
    return (counter, log.st_size, log.st_mtime_ns)


def _column(
    db: "sqlalchemy.Connection", table: "sqlalchemy.Table", column: "sqlalchemy.Column[Any]"
) -> Column:
    """A column with its values by their words."""
    statement = sqlalchemy.select(column).distinct().limit(_MOST_VALUES + 1)
    found = [row[0] for row in db.execute(statement) if row[0] not in (None, "")]
    if len(found) > _MOST_VALUES:
        found = []
    called: dict[str, Any] = {" ".join(words(str(value))): value for value in found}
    for value in found:
        for said in spoken(str(value)):
            called.setdefault(said, value)
    called.pop("", None)
    kind = "text"
    if called and set(called) <= TRUE | FALSE and len(called) <= 2:
        kind = "flag"
    elif found and all(_is_number(value) for value in found):
        kind = "number"
    # a number by itself may be anything
    keys = {key.name for key in table.primary_key.columns}
    if kind == "number" or column.name in keys:
        called = {} if kind == "number" else called
    return Column(table.name, column.name, kind, called)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _entity_column(columns: Sequence[Column], table: str) -> str:
    """The text column that names a row: called so, or else the one with most values."""
    texts = [c for c in columns if c.table == table and c.kind == "text"]
    for column in texts:
        if column.name.lower().split("_")[-1] in ("name", "title"):
            return column.name
    best: tuple[int, str] = max(((len(c.values), c.name) for c in texts), default=(0, ""))
    return best[1]


def _condition(table: Any, constraint: Constraint) -> Any:
    column = table.columns[constraint.column.name]
    if constraint.column.kind == "number":
        column = sqlalchemy.cast(column, sqlalchemy.Float)
    if constraint.operator == "<=":
        return column <= constraint.value
    if constraint.operator == ">=":
        return column >= constraint.value
    return column == constraint.value


def _holds(constraint: Constraint, row: dict[str, Any]) -> bool:
    value: Any = row[constraint.column.name]
    if value is None:
        return False
    if constraint.column.kind != "number":
        return bool(value == constraint.value)
    number = float(value)
    if constraint.operator == "<=":
        return number <= float(constraint.value)
    if constraint.operator == ">=":
        return number >= float(constraint.value)
    return number == float(constraint.value)
