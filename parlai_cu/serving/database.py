"""Where conversations are kept: a SQLite file by Python's own module, or any SQLAlchemy URL."""

import contextlib
import importlib.util
import os
import socket
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from parlai_cu import files
from parlai_cu.errors import ConversationError, nearest
from parlai_cu.serving import logs

# a service without a store on disk: nothing outlives the process
MEMORY = "none"
Row = tuple[Any, ...]
# s that a writer waits for another, a connection may take to open, and a statement on a server
_WAIT_S, _CONNECT_S, _STATEMENT_S = 2.0, 3, 3.0
# calls at once of a server; replicas that may make its tables at the same moment
_CONNECTIONS, _REPLICAS = 8, 8
# what drivers call these deadlines; a peer that has vanished is noticed by TCP
_LIBPQ = {
    "connect_timeout": _CONNECT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_READS = {"connect_timeout": _CONNECT_S, "read_timeout": _STATEMENT_S}
_OF_DRIVER: dict[str, dict[str, Any]] = {
    "psycopg": _LIBPQ,
    "psycopg2": _LIBPQ,
    "pymysql": {**_READS, "write_timeout": _STATEMENT_S},
}


class Taken(Exception):
    """A row with this key is there already."""


class ResultRows(Protocol):
    """How statements reach a database."""

    # statements at once
    at_once: int

    def read(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """The rows of a statement that asks, with these values."""
        ...

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        """Run one statement with these values as one transaction; how many rows it changed."""
        ...

    def erase(self) -> None:
        """Let nothing that was deleted stay behind."""
        ...

    def interrupt(self) -> None:
        """End statements that hang, where that can be done. From any thread."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


@dataclass(frozen=True)
class Schema:
    """
    What a database must have.

    :param tables: statements that make what is not there, and do nothing where it is
    :param columns: (table, column, kind) of those that an earlier release did not have
    """

    tables: Sequence[str] = ()
    columns: Sequence[tuple[str, str, str]] = ()

    def make(self, run: Callable[[str], Any], missing: type[Exception]) -> None:
        """
        Make what is not there.

        :param run: runs a statement
        :param missing: what it raises where a column is missing
        """
        for statement in self.tables:
            run(statement)
        for table, column, kind in self.columns:
            try:
                run(f"SELECT {column} FROM {table} WHERE 1 = 0")
            except missing:
                run(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def open_rows(url: str, schema: Schema = Schema()) -> ResultRows:
    """
    The database that a URL names.

    :param url: ``sqlite:///file.db``, an SQLAlchemy URL, or ``none`` for this process's memory
    :param schema: what it must have
    :raises ConversationError: when it cannot be opened
    """
    scheme = url.partition(":")[0]
    if url == MEMORY:
        return _SQLite(":memory:", schema)
    if scheme == "sqlite":
        path = url.partition(":///")[2]
        if not path:
            raise ConversationError(
                f"conversations: {url}: expected sqlite:///relative.db or sqlite:////absolute.db"
            )
        return _SQLite(os.path.abspath(path), schema)
    if "://" not in url:
        near = nearest(url, ["sqlite:///conversations.db", "postgresql://", MEMORY], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConversationError(
            f"conversations: {url}: expected sqlite:///FILE, an SQLAlchemy URL as "
            f"postgresql://..., or {MEMORY}{hint}"
        )
    return _SQLAlchemy(url, schema)


class _SQLite:
    """A file, with Python's own module. Where the file was moved away, a new one is begun."""

    at_once = 1

    def __init__(self, path: str, schema: Schema) -> None:
        self._name, self._schema = path, schema
        self._lock = threading.Lock()
        self._place: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            if self._name != ":memory:":
                files.make_private(self._name)
            db = sqlite3.connect(
                self._name, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            # a crash of the process loses nothing, one of the machine at most the last turns
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            # what was deleted is overwritten
            db.execute("PRAGMA secure_delete = ON")
            self._schema.make(db.execute, sqlite3.OperationalError)
        except (sqlite3.Error, OSError) as error:
            raise ConversationError(
                f"conversations: {self._name} cannot be opened: {error}"
            ) from error
        self._place = self._file()
        return db

    def _file(self) -> tuple[int, int] | None:
        if self._name == ":memory:":
            return None
        try:
            found = os.stat(self._name)
        except OSError:
            return (0, 0)
        return found.st_dev, found.st_ino

    def _usable(self) -> sqlite3.Connection:
        """The connection, to the file that has the name now."""
        if self._db is not None and self._file() != self._place:
            logs.log.error("%s was moved away or replaced: it is opened anew", self._name)
            db, self._db = self._db, None
            with contextlib.suppress(sqlite3.Error):
                # SQLite does not do so at the end where the file was moved, and a new file's
                # first reader throws the log of writes away
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            with contextlib.suppress(sqlite3.Error):
                db.close()
        if self._db is None:
            self._db = self._open()
        return self._db

    @contextlib.contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._usable()
        except sqlite3.IntegrityError as error:
            raise Taken from error
        except sqlite3.Error as error:
            raise ConversationError(f"conversations: {self._name}: {error}") from error

    def read(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        with self._translated() as db:
            return db.execute(statement, dict(values)).fetchall()

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._translated() as db:
            return db.execute(statement, dict(values)).rowcount

    def erase(self) -> None:
        """Let nothing that was deleted stay in the log of writes beside the file."""
        with self._translated() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def interrupt(self) -> None:
        """It waits for others only so long, and for the disk whatever one does."""

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _with_driver(url: str) -> str:
    """``postgresql://`` by psycopg 3 where it is installed, whatever SQLAlchemy's default is."""
    plain = "postgresql://"
    if url.startswith(plain) and importlib.util.find_spec("psycopg") is not None:
        return "postgresql+psycopg://" + url[len(plain) :]
    return url


class _SQLAlchemy:
    """Any database that SQLAlchemy knows."""

    at_once = _CONNECTIONS

    def __init__(self, url: str, schema: Schema) -> None:
        try:
            import sqlalchemy
        except ImportError:
            raise ConversationError(
                "conversations: a database by URL needs SQLAlchemy: "
                'pip install "parlai-cu[knowledge]" and its driver (psycopg for PostgreSQL)'
            ) from None
        self._sql = sqlalchemy
        # connections that are open, so that those which hang can be ended
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        try:
            self._name = sqlalchemy.make_url(url).render_as_string(hide_password=True)
            parsed = sqlalchemy.make_url(_with_driver(url))
            deadlines = _OF_DRIVER.get(parsed.get_driver_name(), {})
            pool: dict[str, Any] = {}
            if not parsed.drivername.startswith("sqlite"):
                pool = {"pool_size": _CONNECTIONS, "pool_timeout": _CONNECT_S}
            # a connection that the database dropped meanwhile is opened anew
            # every statement of ours stands alone, so none needs a transaction's round trips
            self._engine = sqlalchemy.create_engine(
                parsed,
                pool_pre_ping=True,
                isolation_level="AUTOCOMMIT",
                connect_args={k: v for k, v in deadlines.items() if k not in parsed.query},
                **pool,
            )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            scheme = url.partition(":")[0]
            raise ConversationError(f"conversations: {scheme}://...: {error}") from error
        sqlalchemy.event.listen(self._engine, "connect", self._opened)
        self.read("SELECT 1", {})  # out of reach is said at once
        for tries_left in reversed(range(_REPLICAS)):
            try:
                schema.make(lambda statement: self.write(statement, {}), ConversationError)
                return
            except (Taken, ConversationError):
                # PostgreSQL: IF NOT EXISTS of several replicas at once may still collide
                if not tries_left:
                    raise

    def _opened(self, connection: Any, record: object) -> None:
        with contextlib.suppress(TypeError):  # some drivers' cannot be held weakly
            self._connections.add(connection)
        if self._engine.dialect.name == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {int(_STATEMENT_S * 1000)}")
            connection.commit()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[Any]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except self._sql.exc.IntegrityError as error:
            raise Taken from error
        except self._sql.exc.SQLAlchemyError as error:
            # the driver's own words; SQLAlchemy's would repeat what the user wrote
            cause = getattr(error, "orig", None) or type(error).__name__
            raise ConversationError(f"conversations: {self._name}: {cause}") from error

    def read(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        with self._translated() as connection:
            rows = connection.execute(self._sql.text(statement), dict(values))
            return [tuple(row) for row in rows]

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._translated() as connection:
            return int(connection.execute(self._sql.text(statement), dict(values)).rowcount)

    def erase(self) -> None:
        """A server sees to it itself (vacuum)."""

    def interrupt(self) -> None:
        # a driver waits for its socket for ever; one that is shut down wakes it with an error
        for connection in list(self._connections):
            with contextlib.suppress(Exception):
                with socket.socket(fileno=os.dup(connection.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._engine.dispose()
