"""The vectors of a SQLite file's facts, in memory."""

import json
import sqlite3
from typing import Any

import numpy


class Vectors:
    """All vectors in memory, as many as there are; a change reads only what is new."""

    def __init__(self) -> None:
        # a vector is never changed, only put in under a new number or taken out
        self._numbers = numpy.zeros(0, dtype=numpy.int64)
        self._keys = numpy.zeros(0, dtype=numpy.int64)
        self._matrix: Any = None
        self._version: Any = None

    def nearest(self, db: sqlite3.Connection, vector: Any, count: int) -> list[tuple[int, float]]:
        """
        The keys of the nearest facts, and their cosines.

        :param db: where they are kept
        :param vector: float32, [size]
        :param count: how many at most
        """
        self._update(db)
        if not len(self._keys):
            return []
        cosines = self._matrix @ vector.astype(numpy.float32)
        best = numpy.argsort(-cosines, kind="stable")[:count]
        return [(int(self._keys[i]), float(cosines[i])) for i in best]

    def _update(self, db: sqlite3.Connection) -> None:
        # of others' commits, and of this connection's own changes
        version = (db.execute("PRAGMA data_version").fetchone()[0], db.total_changes)
        if version == self._version:
            return
        self._version = version
        found = db.execute("SELECT group_concat(number) FROM vectors").fetchone()[0]
        numbers = numpy.array(json.loads(f"[{found or ''}]"), dtype=numpy.int64)
        kept = numpy.isin(self._numbers, numbers)
        newest = int(self._numbers.max()) if len(self._numbers) else 0
        rows = db.execute(
            "SELECT number, key, vector FROM vectors WHERE number > ? ORDER BY number", (newest,)
        ).fetchall()
        new = [numpy.frombuffer(row["vector"], dtype="<f4") for row in rows]
        parts = [self._matrix[kept]] if self._matrix is not None and kept.any() else []
        self._matrix = numpy.vstack([*parts, *new]) if parts or new else None
        more = numpy.array([[row["number"], row["key"]] for row in rows], dtype=numpy.int64)
        more = more.reshape(-1, 2)
        self._numbers = numpy.concatenate([self._numbers[kept], more[:, 0]])
        self._keys = numpy.concatenate([self._keys[kept], more[:, 1]])
