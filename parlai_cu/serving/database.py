"""Where conversations are kept: a SQLite file by Python's own module, or any SQLAlchemy URL."""

import contextlib
import importlib.util
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from parlai_cu.errors import ConversationError, nearest

# a service without a store on disk: nothing outlives the process
MEMORY = "none"
Row = tuple[Any, ...]
# how long a writer waits for another
_WAIT_S = 5.0


class Taken(Exception):
    """A row with this key is there already."""


class ResultRows(Protocol):
    """How statements reach a database."""

    def read(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """The rows of a statement that asks, with these values."""
        ...

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        """Run one statement with these values as one transaction; how many rows it changed."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def open_rows(url: str) -> ResultRows:
    """
    The database that a URL names.

    :param url: ``sqlite:///file.db``, an SQLAlchemy URL, or ``none`` for this process's memory
    :raises ConversationError: when it cannot be opened
    """
    scheme = url.partition(":")[0]
    if url == MEMORY:
        return _SQLite(":memory:")
    if scheme == "sqlite":
        path = url.partition(":///")[2]
        if not path:
            raise ConversationError(
                f"conversations: {url}: expected sqlite:///relative.db or sqlite:////absolute.db"
            )
        return _SQLite(path)
    if "://" not in url:
        near = nearest(url, ["sqlite:///conversations.db", "postgresql://", MEMORY], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConversationError(
            f"conversations: {url}: expected sqlite:///FILE, an SQLAlchemy URL as "
            f"postgresql://..., or {MEMORY}{hint}"
        )
    return _SQLAlchemy(url)


class _SQLite:
    """A file, with Python's own module."""

    def __init__(self, path: str) -> None:
        self._name = path
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            # a crash of the process loses nothing, one of the machine at most the last turns
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise ConversationError(f"conversations: {path} cannot be opened: {error}") from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._db
        except sqlite3.IntegrityError as error:
            raise Taken from error
        except sqlite3.Error as error:
            raise ConversationError(f"conversations: {self._name}: {error}") from error

    def read(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        with self._told() as db:
            return db.execute(statement, dict(values)).fetchall()

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._told() as db:
            return db.execute(statement, dict(values)).rowcount

    def close(self) -> None:
        self._db.close()


def _with_driver(url: str) -> str:
    """``postgresql://`` by psycopg 3 where it is installed, whatever SQLAlchemy's default is."""
    plain = "postgresql://"
    if url.startswith(plain) and importlib.util.find_spec("psycopg") is not None:
        return "postgresql+psycopg://" + url[len(plain) :]
    return url


class _SQLAlchemy:
    """Any database that SQLAlchemy knows."""

    def __init__(self, url: str) -> None:
        try:
            import sqlalchemy
        except ImportError:
            raise ConversationError(
                "conversations: a database by URL needs SQLAlchemy: "
                'pip install "parlai-cu[knowledge]" and its driver (psycopg for PostgreSQL)'
            ) from None
        self._sql = sqlalchemy
        try:
            self._name = sqlalchemy.make_url(url).render_as_string(hide_password=True)
            url = _with_driver(url)
            # a connection that the database dropped meanwhile is opened anew
            # every statement of ours stands alone, so none needs a transaction's round trips
            self._engine = sqlalchemy.create_engine(
                url, pool_pre_ping=True, isolation_level="AUTOCOMMIT"
            )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            scheme = url.partition(":")[0]
            raise ConversationError(f"conversations: {scheme}://...: {error}") from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[Any]:
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
        with self._told() as connection:
            rows = connection.execute(self._sql.text(statement), dict(values))
            return [tuple(row) for row in rows]

    def write(self, statement: str, values: Mapping[str, Any]) -> int:
        with self._told() as connection:
            return int(connection.execute(self._sql.text(statement), dict(values)).rowcount)

    def close(self) -> None:
        self._engine.dispose()
