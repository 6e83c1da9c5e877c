"""
``sqlite:///facts.db``: the embedded knowledge base, one file, and an index of its words beside it.

One process writes while many read (write-ahead log); a reader sees a change with its next query,
and a query sees one state of all.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends import sqlite_file
from parlai_cu.knowledge.backends.store import AlreadyThere, Store
from parlai_cu.knowledge.backends.stored import StoredFacts
from parlai_cu.knowledge.word_index import cache_folder


class SQLiteFacts(StoredFacts):
    """
    A knowledge base in one SQLite file.

    :param uri: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``
    :param writable: open it for changes, and make it where it is not there; serving never needs it
    :raises KnowledgeError: when there is no such file, or it is none of ours
    """

    _connection: sqlite3.Connection | None

    def __init__(self, uri: str, writable: bool = False) -> None:
        super().__init__(uri, writable)
        self.path = sqlite_file.path_of(uri)
        self._opened: Any = None
        self._vectors: list[Any] = []
        with self._reading():
            pass

    def _index_folder(self, uuid: str) -> str:
        beside = os.path.abspath(self.path)
        return (
            f"{beside}.words" if os.access(os.path.dirname(beside), os.W_OK) else cache_folder(uuid)
        )

    def _bytes(self, store: Store) -> int:
        return os.path.getsize(self.path)

    def _own_check(self, store: Store) -> list[str]:
        rows = [str(row[0]) for row in store.execute("PRAGMA integrity_check(20)").fetchall()]
        return [] if rows == ["ok"] else [f"{self.name}: {row}" for row in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Store]:
        with self._lock, self._named_errors():
            db = self._open()
            db.execute("BEGIN")
            try:
                yield _File(db, self._vectors)
            finally:
                db.rollback()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Store]:
        with self._lock, self._named_errors():
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield _File(db, self._vectors)
                db.commit()
            except BaseException:
                db.rollback()
                raise

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise KnowledgeError(f"{self.name}: half a character cannot be stored") from error
        except (sqlite3.Error, OSError) as error:
            # the next call opens the file anew
            self.close()
            raise KnowledgeError(f"{self.name}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            if not self.writable:
                self.close()
                raise KnowledgeError(
                    f"{self.name}: no such file. Make it by parlai knowledge_base import --kb "
                    f"{self.name} --file FACTS.csv"
                ) from None
            now = None
        # another file may have been put in its place
        seen = None if now is None else (now.st_dev, now.st_ino)
        if self._connection is None or seen != self._opened:
            self.close()
            self._vectors, self._words = [], None
            self._connection = sqlite_file.connect(self.path, self.name, self.writable)
            found = os.stat(self.path)
            self._opened = (found.st_dev, found.st_ino)
        return self._connection


class _File:
    """A transaction; see :class:`~parlai_cu.knowledge.backends.store.Store`."""

    def __init__(self, db: sqlite3.Connection, vectors: list[Any]) -> None:
        self._db, self._vectors = db, vectors
        self.execute = db.execute

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._db.executemany(sql, rows)

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        keys = []
        for values in rows:
            marks = ", ".join("?" * len(values))
            sql = f"INSERT INTO facts ({', '.join(values)}) VALUES ({marks})"
            try:
                keys.append(int(self._db.execute(sql, tuple(values.values())).lastrowid or 0))
            except sqlite3.IntegrityError as error:
                raise AlreadyThere(values["id"]) from error
        return keys

    def delete(self, key: int) -> None:
        self._db.execute("DELETE FROM facts WHERE key = ?", (key,))
        self._db.execute("DELETE FROM vectors WHERE key = ?", (key,))

    def make_vectors(self, size: int) -> None:
        self._db.execute("DELETE FROM vectors")

    def put_vectors(self, keys: Sequence[int], vectors: Any) -> None:
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors)]
        self._db.executemany("INSERT INTO vectors (key, vector) VALUES (?, ?)", rows)

    def nearest(self, vector: object, count: int) -> list[tuple[int, float]]:
        from parlai_cu.knowledge.backends.sqlite_vectors import Vectors

        if not self._vectors:
            self._vectors.append(Vectors())
        near: list[tuple[int, float]] = self._vectors[0].nearest(self._db, vector, count)
        return near
