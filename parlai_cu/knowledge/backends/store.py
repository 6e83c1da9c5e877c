"""
The place where facts of our own are kept, as an open transaction, and all that a command changes.

See :mod:`parlai_cu.knowledge.backends.stored`.
"""

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.encoders import Encoder
from parlai_cu.knowledge.fact_codec import id_of, moment, plain
from parlai_cu.knowledge.words import terms, words
from parlai_cu.types import Fact

COLUMNS = "id, entity, question, text, fields, valid_from, valid_until, terms, entity_key, key"
# facts that are stored, and made vectors, at once
ENCODED = 256


class Store(Protocol):
    """An open transaction, in SQL with ``?`` for values and rows that are known by name."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run an SQL statement with these values; a cursor."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run an SQL statement for each row of values."""
        ...

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """
        Store and index facts; their keys.

        :param rows: column -> value
        :raises AlreadyThere: with an id that is taken
        """
        ...

    def delete(self, key: int) -> None:
        """Take the fact of a ``key`` out, with its vector."""
        ...

    def make_vectors(self, size: int) -> None:
        """Make room for vectors of that size; what was there is gone."""
        ...

    def put_vectors(self, keys: Sequence[int], vectors: object) -> None:
        """Keep facts' vectors, by their keys."""
        ...

    def nearest(self, vector: object, count: int) -> list[tuple[int, float]]:
        """
        The keys of the ``count`` facts nearest to a vector, with their cosines, nearest first.
        """
        ...


class AlreadyThere(Exception):
    """An id that is taken, which it holds."""


class Change:
    """
    All that one command changes: facts, their index, and the record of it.

    :param store: an open transaction
    :param action: what it is called in the record
    :param encoder: what makes vectors of facts, where there are any
    """

    def __init__(self, store: Store, action: str, encoder: Encoder | None) -> None:
        self.store, self.action, self.encoder = store, action, encoder
        self.last = _last_batch(store)
        self.batch = self.last + 1
        self.at = datetime.now(UTC).isoformat(timespec="seconds")
        self.who = _who()
        self.removed: list[str] = []
        self.notes: list[tuple[Any, ...]] = []
        self.facts = self.terms = 0
        # facts to be stored, together: a server has a way to go for each
        self.new: list[Mapping[str, Any]] = []
        # facts without a vector, where they are to have one
        self.waiting: dict[int, str] = {}

    def add(self, fact: Fact, before: str | None = None) -> str:
        """
        Store one fact; its id.

        Facts are stored a few at a time, at the latest by :meth:`finish`.

        :param fact: without an id, it gets one
        :param before: JSON of the fact that was there, for the record
        :raises KnowledgeError: when the id of a fact that waits is taken
        """
        fact_id = fact.id if fact.id is not None else id_of(fact)
        found = terms(said_of(fact))
        values = {
            "id": fact_id,
            "entity": fact.entity,
            "question": fact.question,
            "text": fact.text,
            "fields": json.dumps(dict(fact.fields), ensure_ascii=False),
            "valid_from": moment(fact.valid_from),
            "valid_until": moment(fact.valid_until),
            "terms": " ".join(found),
            "entity_key": " ".join(words(fact.entity)),
        }
        self.new.append(values)
        if len(self.new) >= ENCODED:
            self._insert()
        self._count(found, 1)
        self.note(fact_id, before)
        return fact_id

    def remove(self, fact_id: str, missing: Any) -> None:
        """
        Take one fact out; what it was is the last of ``removed``.

        :param fact_id: the fact's
        :param missing: makes the error to be raised where there is none
        :raises KnowledgeError: when the id of a fact that waits is taken
        """
        self._insert()
        row = row_of(self.store, fact_id)
        if row is None:
            raise missing(self.store, fact_id)
        self.removed.append(json.dumps(plain(fact_in(row)), ensure_ascii=False))
        self.waiting.pop(row["key"], None)
        self.store.delete(row["key"])
        self._count(row["terms"].split(), -1)

    def undo(self) -> int:
        """
        Put back what the last batch changed.

        :raises KnowledgeError: when no fact was ever changed
        """
        if not self.last:
            raise KnowledgeError("there is nothing to undo: no fact was ever changed")
        rows = self.store.execute(
            "SELECT id, before FROM changes WHERE batch = ? ORDER BY number DESC", (self.last,)
        ).fetchall()
        for row in rows:
            fact_id, before, now = row["id"], row["before"], None
            self._insert()
            if row_of(self.store, fact_id) is not None:
                self.remove(fact_id, None)
                now = self.removed[-1]
            if before is not None:
                self.add(Fact(**json.loads(before)), before=now)
            else:
                self.note(fact_id, now)
        return len(rows)

    def back_to(self, number: int) -> int:
        """
        Put back what was there when the change of that number was the last; how many facts differ.

        :raises KnowledgeError: when the id of a fact that waits is taken
        """
        changed = differing(self.store, number)
        for fact_id, (before, now) in changed.items():
            self._insert()
            if now is not None:
                self.remove(fact_id, None)
            if before is not None:
                self.add(Fact(**json.loads(before)), before=now)
            else:
                self.note(fact_id, now)
        return len(changed)

    def note(self, fact_id: str, before: str | None) -> None:
        """
        Record what is done to the fact of an id; ``before`` is the fact that was there, if any.
        """
        self.notes.append((self.batch, self.at, self.who, self.action, fact_id, before))

    def finish(self) -> None:
        """
        Bring the record, counts and vectors up to date.

        :raises KnowledgeError: when the id of a fact that waits is taken
        """
        self._insert()
        self._encode()
        self.store.executemany(
            "INSERT INTO changes (batch, at, who, action, id, before) VALUES (?, ?, ?, ?, ?, ?)",
            self.notes,
        )
        for name, more in (("facts", self.facts), ("terms", self.terms)):
            self.store.execute(
                "UPDATE state SET value = CAST(CAST(value AS INTEGER) + ? AS TEXT) WHERE name = ?",
                (more, name),
            )

    def _insert(self) -> None:
        if not self.new:
            return
        try:
            keys = self.store.insert(self.new)
        except AlreadyThere as error:
            raise KnowledgeError(
                f"the fact {str(error)!r} is there already; nothing was added. To change it: "
                "parlai knowledge_base update"
            ) from error
        if self.encoder is not None:
            texts = [" ".join((v["entity"], v["question"], v["text"])) for v in self.new]
            self.waiting.update(zip(keys, texts))
            if len(self.waiting) >= ENCODED:
                self._encode()
        self.new = []

    def _encode(self) -> None:
        if self.waiting and self.encoder is not None:
            vectors = self.encoder.encode(list(self.waiting.values()))
            self.store.put_vectors(list(self.waiting), vectors)
            self.waiting = {}

    def _count(self, found: list[str], sign: int) -> None:
        self.facts += sign
        self.terms += sign * len(found)


def said_of(fact: Fact) -> str:
    """All of its words that a search may find."""
    return " ".join((fact.entity, fact.question, fact.text))


def row_of(store: Store, fact_id: str) -> Any:
    """The row of a fact's id; None where there is none."""
    if fact_id.encode("utf-8", "replace").decode("utf-8") != fact_id:
        return None  # half a character is nothing that was stored
    return store.execute(f"SELECT {COLUMNS} FROM facts WHERE id = ?", (fact_id,)).fetchone()


def differing(store: Store, number: int) -> dict[str, tuple[str | None, str | None]]:
    """
    The facts that are not what they were when a change was the last.

    :param store: an open transaction
    :param number: of the change
    :return: id -> JSON of the fact then, and now; None where there was none
    """
    rows = store.execute(
        "SELECT id, before FROM changes WHERE number > ? ORDER BY number", (number,)
    ).fetchall()
    # what was there before the first change of many
    then: dict[str, str | None] = {}
    for row in rows:
        then.setdefault(row["id"], row["before"])
    found = {}
    for fact_id, before in then.items():
        row = row_of(store, fact_id)
        now = None if row is None else json.dumps(plain(fact_in(row)), ensure_ascii=False)
        if now != before:
            found[fact_id] = (before, now)
    return found


def fact_in(row: Any) -> Fact:
    """The fact in a row, as it was written."""
    names = ("text", "id", "entity", "question", "valid_from", "valid_until")
    return Fact(fields=json.loads(row["fields"]), **{name: row[name] for name in names})


def holds(row: Any, now: str) -> bool:
    """Whether the fact in a row is valid ``now``, a moment in UTC."""
    return (row["valid_from"] or "") <= now < (row["valid_until"] or "~")


def _last_batch(store: Store) -> int:
    row = store.execute("SELECT batch FROM changes ORDER BY number DESC LIMIT 1").fetchone()
    return row["batch"] if row else 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return str(os.getuid()) if hasattr(os, "getuid") else ""
