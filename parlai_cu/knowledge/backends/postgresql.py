"""
``postgresql://host/name``: facts in a PostgreSQL database, for many machines and many writers.

All that the embedded knowledge base does, in a schema ``parlai_cu`` of its own beside whatever
else is there; each machine keeps an index of the words for itself, vectors are pgvector's. Writers
wait for one another, readers for nobody. Tables that are there already are read by
``sql+postgresql://``.
"""

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.store import AlreadyThere, Store
from parlai_cu.knowledge.backends.stored import StoredFacts
from parlai_cu.knowledge.backends.verifying import renew_words
from parlai_cu.types import Evidence

try:
    import psycopg
    from psycopg.rows import dict_row
except ImportError:  # an extra
    psycopg = None  # type: ignore[assignment]

SCHEMA = "parlai_cu"
VERSION = "2"
# until a server that does not answer is given up, how long a question may take, and how long a
# writer waits for another
_CONNECT_S, _ASK_MS, _WRITE_WAIT_MS = 3, 10_000, 60_000
# one writer at a time; any number that others do not take
_LOCK = 0x70637566
# pgvector indexes no longer ones
_INDEXED_SIZE = 2000
_TABLES = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.facts (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    entity TEXT NOT NULL,
    question TEXT NOT NULL,
    text TEXT NOT NULL,
    fields TEXT NOT NULL,
    valid_from TEXT,
    valid_until TEXT,
    terms TEXT NOT NULL,
    entity_key TEXT NOT NULL
);
CREATE INDEX facts_entity ON {SCHEMA}.facts USING hash (entity_key);
CREATE TABLE {SCHEMA}.changes (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch BIGINT NOT NULL,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    id TEXT NOT NULL,
    before TEXT
);
CREATE INDEX changes_batch ON {SCHEMA}.changes (batch);
CREATE TABLE {SCHEMA}.state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# the first format had an index of words of its own
_FROM_1 = f"""
DROP TABLE IF EXISTS {SCHEMA}.terms;
ALTER TABLE {SCHEMA}.facts DROP COLUMN IF EXISTS search;
UPDATE {SCHEMA}.state SET value = '{VERSION}' WHERE name = 'version';
"""


class PostgresFacts(StoredFacts):
    """
    A knowledge base in a PostgreSQL database.

    :param uri: ``postgresql://user@host/name``, as libpq reads it
    :param writable: open it for changes, and make our tables where they are not; serving needs no
        more than to be allowed to SELECT
    :raises KnowledgeError: when it cannot be reached, or has no facts of ours
    """

    def __init__(self, uri: str, writable: bool = False) -> None:
        super().__init__(shown(uri), writable)
        if psycopg is None:
            raise KnowledgeError(
                f'--kb {self.name}: PostgreSQL needs psycopg: pip install "parlai-cu[knowledge]"'
            )
        self._uri = "postgresql://" + uri.partition("://")[2]
        with self._reading():
            pass

    def get(self, fact_id: str) -> Evidence | None:
        """The fact of that id, valid today or not; None if there is none."""
        return None if "\x00" in fact_id else super().get(fact_id)

    def _bytes(self, store: Store) -> int:
        found = store.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) AS n FROM pg_class c JOIN pg_namespace s "
            "ON s.oid = c.relnamespace WHERE s.nspname = ? AND c.relkind = 'r'",
            (SCHEMA,),
        )
        return int(found.fetchone()["n"])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Store]:
        kind = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._transaction(f"{kind}; SET LOCAL statement_timeout = {_ASK_MS}") as db:
            yield _Tables(db)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Store]:
        with self._transaction("ISOLATION LEVEL READ COMMITTED") as db:
            _wait_for_other_writers(db)
            yield _Tables(db)

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[Any]:
        with self._lock:
            try:
                db = self._connected()
                db.execute(f"BEGIN {kind}")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    self._roll_back(db)
                    raise
            except UnicodeEncodeError as error:
                raise KnowledgeError(f"{self.name}: half a character cannot be stored") from error
            except psycopg.Error as error:
                if self._connection is not None and self._connection.broken:
                    # the next call connects anew
                    self.close()
                raise KnowledgeError(f"{self.name}: {_reason(error)}") from error

    def _roll_back(self, db: Any) -> None:
        try:
            db.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            db = psycopg.connect(
                self._uri,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=_CONNECT_S,
                application_name="parlai_cu",
            )
            try:
                self._check(db)
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection

    def _check(self, db: Any) -> None:
        if self.writable and not _version(db):
            with db.transaction():
                _wait_for_other_writers(db)
                if not _version(db):
                    db.execute(_TABLES)
                    db.execute(
                        f"INSERT INTO {SCHEMA}.state VALUES ('facts', '0'), ('terms', '0'), "
                        "('uuid', %s), ('version', %s)",
                        (uuid.uuid4().hex[:12], VERSION),
                    )
        elif self.writable and _version(db) == "1":
            with db.transaction():
                _wait_for_other_writers(db)
                db.execute(f"SET LOCAL search_path = {SCHEMA}, public")
                db.execute(_FROM_1)
                renew_words(_Tables(db))
        found = _version(db)
        if not found:
            raise KnowledgeError(
                f"{self.name} has no facts of ours. Make some: parlai knowledge_base import --kb "
                f"{self.name} --file FACTS.csv; or use the tables that are there: --kb "
                f"sql+{self.name}"
            )
        if found not in ("1", VERSION):
            raise KnowledgeError(f"{self.name} is of format {found}, this package reads {VERSION}")
        # a new table has no statistics, and without them the planner takes a few look-ups in an
        # index for more than to read a million facts
        db.execute(
            f"SET search_path = {SCHEMA}, public; SET enable_seqscan = off; "
            "SET max_parallel_workers_per_gather = 0"
        )


class _Tables:
    """A transaction; see :class:`~parlai_cu.knowledge.backends.store.Store`."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._db.execute(sql.replace("?", "%s"), tuple(values))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        names = list(rows[0])
        columns = ", ".join(names)
        found = self._db.execute(
            f"INSERT INTO facts ({columns}) SELECT {columns} "
            f"FROM unnest({', '.join(['%s::text[]'] * len(names))}) AS new ({columns}) "
            "ON CONFLICT (id) DO NOTHING RETURNING key, id",
            [[values[name] for values in rows] for name in names],
        )
        keys = {row["id"]: int(row["key"]) for row in found}
        for values in rows:
            if values["id"] not in keys:
                raise AlreadyThere(values["id"])
        if len(keys) < len(rows):
            ids = [values["id"] for values in rows]
            raise AlreadyThere(next(name for name in ids if ids.count(name) > 1))
        return [keys[values["id"]] for values in rows]

    def delete(self, key: int) -> None:
        self._db.execute("DELETE FROM facts WHERE key = %s", (key,))

    def make_vectors(self, size: int) -> None:
        self._db.execute("DROP TABLE IF EXISTS vectors")
        if not size:
            return
        try:
            self._db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise KnowledgeError(
                f"vectors need pgvector on the server, version 0.5 or later: {_reason(error)}"
            ) from error
        self._db.execute(
            f"CREATE TABLE {SCHEMA}.vectors (key BIGINT PRIMARY KEY REFERENCES {SCHEMA}.facts ON "
            f"DELETE CASCADE, vector vector({int(size)}) NOT NULL)"
        )
        if size <= _INDEXED_SIZE:
            self._db.execute(f"CREATE INDEX ON {SCHEMA}.vectors USING hnsw (vector vector_ip_ops)")

    def put_vectors(self, keys: Sequence[int], vectors: Any) -> None:
        self.executemany(
            "INSERT INTO vectors (key, vector) VALUES (?, ?::vector)",
            [(key, _told(vector)) for key, vector in zip(keys, vectors)],
        )

    def nearest(self, vector: Any, count: int) -> list[tuple[int, float]]:
        self._db.execute(f"SET LOCAL hnsw.ef_search = {2 * int(count)}")
        told = _told(vector)
        rows = self._db.execute(
            "SELECT key, -(vector <#> %s::vector) AS cosine FROM vectors ORDER BY vector <#> "
            "%s::vector LIMIT %s",
            (told, told, count),
        )
        return [(row["key"], float(row["cosine"])) for row in rows]


def shown(uri: str) -> str:
    """A URI without user and password, wherever they stand."""
    parts = urlsplit(uri)
    kept = [pair for pair in parse_qsl(parts.query) if "pass" not in pair[0] and pair[0] != "user"]
    query = f"?{urlencode(kept, safe='/')}" if kept else ""
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}{query}"


def _wait_for_other_writers(db: Any) -> None:
    db.execute(f"SET LOCAL lock_timeout = {_WRITE_WAIT_MS}")
    db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _version(db: Any) -> str | None:
    """Of our tables, where there are any."""
    there = db.execute("SELECT to_regclass(%s) AS found", (f"{SCHEMA}.state",)).fetchone()
    if there["found"] is None:
        return None
    row = db.execute(f"SELECT value FROM {SCHEMA}.state WHERE name = 'version'").fetchone()
    return str(row["value"]) if row else None


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _told(vector: Any) -> str:
    numbers = ",".join(repr(float(number)) for number in vector)
    return f"[{numbers}]"
