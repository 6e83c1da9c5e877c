"""
``sqlite:///facts.db``: the embedded knowledge base, one file, full text search included.

One process writes while many read (write-ahead log); a reader sees a change with its next query,
and a query sees one state of all. Nothing that a user says becomes part of an SQL or search
expression but words of letters and digits.
"""

import contextlib
import getpass
import json
import os
import sqlite3
import threading
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Optional

from parlai_cu.errors import KnowledgeError, nearest
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.backends import sqlite_file, sqlite_search
from parlai_cu.knowledge.question import Question, ask
from parlai_cu.knowledge.words import terms, words
from parlai_cu.types import Evidence, Fact, Turn

# of one entity so many facts are looked at
_OF_AN_ENTITY = 256
# what a fact of another entity than the ones asked about is worth; on DSTC11's training questions
# anything from 0 to 0.5 finds as much
_OF_ANOTHER = 0.5
_COLUMNS = "id, entity, question, text, fields, valid_from, valid_until, terms, entity_key, key"


class SQLiteFacts:
    """
    A knowledge base in one SQLite file.

    :param uri: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``
    :param writable: open it for changes, and make it where it is not there; serving never needs it
    :raises KnowledgeError: when there is no such file, or it is none of ours
    """

    def __init__(self, uri: str, writable: bool = False) -> None:
        self.name = uri
        self.path = sqlite_file.path_of(uri)
        self.writable = writable
        self._lock = threading.RLock()
        self._connection: Optional[sqlite3.Connection] = None
        self._opened: Any = None
        with self._reading():
            pass

    # -- reading -----------------------------------------------------------------------------

    def query(self, turn: Turn, top_k: int = 5) -> List[Evidence]:
        """
        What it knows about a turn, best first; ``score`` is a share of what could match, 0 to 1.

        An entity that was named earlier in the conversation stands in for one that is not named
        now. Facts that are not valid today are left out.
        """
        with self._reading() as db:
            question = ask(turn, lambda names: _known_entities(db, names))
            return self._best(db, question, top_k)

    def _best(self, db: sqlite3.Connection, question: Question, top_k: int) -> List[Evidence]:
        now = datetime.now(timezone.utc).isoformat()
        state = sqlite_file.state(db)
        documents = _documents(db, question.weights)
        facts, length = int(state["facts"]), int(state["terms"])
        frequencies = {
            term: bm25.inverse_frequency(facts, documents.get(term, 0)) for term in question.weights
        }
        worth = {term: weight * frequencies[term] for term, weight in question.weights.items()}
        ranked = []
        for row in _candidates(db, question.entities, sqlite_search.best(db, worth, documents)):
            if (row["valid_from"] or "") > now or (row["valid_until"] or "~") <= now:
                continue
            score = bm25.relevance(
                question.weights, frequencies, row["terms"].split(), length / max(facts, 1)
            )
            if question.entities and row["entity_key"] not in ("", *question.entities):
                score *= _OF_ANOTHER
            ranked.append((-score, row["id"], row))
        ranked.sort(key=lambda found: found[:2])
        return [self._evidence(row, -score, state) for score, _, row in ranked[:top_k]]

    def get(self, fact_id: str) -> Optional[Evidence]:
        """The fact of that id, valid today or not; None if there is none."""
        with self._reading() as db:
            row = _row(db, fact_id)
            return None if row is None else self._evidence(row, 1.0, sqlite_file.state(db))

    def fact(self, fact_id: str) -> Optional[Fact]:
        """The fact of that id as it was written, validity included."""
        with self._reading() as db:
            row = _row(db, fact_id)
            return None if row is None else _fact(row)

    def facts(self) -> Iterator[Fact]:
        """All facts, as written, in the order of their making."""
        with self._reading() as db:
            for row in db.execute(f"SELECT {_COLUMNS} FROM facts ORDER BY key"):
                yield _fact(row)

    def stats(self) -> Dict[str, Any]:
        """Facts, entities, changes, the file's bytes and the snapshot."""
        with self._reading() as db:
            state = sqlite_file.state(db)
            entities = db.execute("SELECT count(DISTINCT entity_key) FROM facts").fetchone()[0]
            changes = db.execute("SELECT count(*) FROM changes").fetchone()[0]
            return {
                "facts": int(state["facts"]),
                "entities": entities,
                "changes": changes,
                "bytes": os.path.getsize(self.path),
                "snapshot": sqlite_file.snapshot(state),
            }

    def snapshot_id(self) -> str:
        """The file's own name and the number of its last change."""
        with self._reading() as db:
            return sqlite_file.snapshot(sqlite_file.state(db))

    def history(self, limit: int = 20) -> List[Dict[str, Any]]:
        """The last changes, newest first: number, time, who, action, id, and what was before."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT batch, at, who, action, id, before FROM changes ORDER BY number DESC "
                "LIMIT ?",
                (limit,),
            )
            return [dict(row) for row in rows]

    def spent(self) -> Dict[str, float]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _evidence(self, row: sqlite3.Row, score: float, state: Dict[str, str]) -> Evidence:
        return Evidence(
            id=row["id"],
            text=row["text"],
            score=score,
            source=self.name,
            snapshot=sqlite_file.snapshot(state),
            entity=row["entity"],
            question=row["question"],
            fields=json.loads(row["fields"]),
        )

    # -- writing -----------------------------------------------------------------------------

    def add(self, facts: Iterable[Fact]) -> List[str]:
        """Add all or none; a fact without an id gets one made from what it says."""
        with self._writing("add") as change:
            return [change.add(fact) for fact in facts]

    def update(self, fact: Fact) -> None:
        """Put a fact in the place of the one of its id."""
        if fact.id is None:
            raise KnowledgeError("a fact to be updated needs the id of the one it replaces")
        with self._writing("update") as change:
            change.remove(fact.id, self._nearest)
            change.add(fact, before=change.removed[-1])

    def remove(self, fact_ids: Iterable[str]) -> None:
        """Remove all or none."""
        with self._writing("remove") as change:
            for fact_id in fact_ids:
                change.remove(fact_id, self._nearest)
                change.note(fact_id, change.removed[-1])

    def undo(self) -> int:
        """
        Take back the last command that changed anything; undoing that is to redo.

        :return: how many facts changed
        :raises KnowledgeError: when nothing was ever changed
        """
        with self._writing("undo") as change:
            return change.undo()

    def _nearest(self, db: sqlite3.Connection, fact_id: str) -> KnowledgeError:
        ids = [row[0] for row in db.execute("SELECT id FROM facts LIMIT 10000")]
        close = nearest(fact_id, ids)
        hint = f"; nearest: {', '.join(close)}" if close else ""
        return KnowledgeError(f"{self.name} has no fact {fact_id!r}{hint}")

    # -- the file ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the file, whatever is written meanwhile."""
        with self._lock, self._named_errors():
            db = self._open()
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.rollback()

    @contextlib.contextmanager
    def _writing(self, action: str) -> Iterator["_Change"]:
        if not self.writable:
            raise KnowledgeError(
                f"{self.name} is open for reading; change it by parlai knowledge_base"
            )
        with self._lock, self._named_errors():
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                change = _Change(db, action)
                yield change
                change.finish()
                db.commit()
            except BaseException:
                db.rollback()
                raise

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
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
            self._connection = sqlite_file.connect(self.path, self.name, self.writable)
            found = os.stat(self.path)
            self._opened = (found.st_dev, found.st_ino)
        return self._connection


class _Change:
    """All that one command changes: facts, their index, and the record of it."""

    def __init__(self, db: sqlite3.Connection, action: str) -> None:
        self.db, self.action = db, action
        self.last = _last_batch(db)
        self.batch = self.last + 1
        self.at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.who = _who()
        self.removed: List[str] = []
        self.documents: Dict[str, int] = {}
        self.facts = self.terms = 0

    def add(self, fact: Fact, before: Optional[str] = None) -> str:
        """Store one fact; its id."""
        fact_id = fact.id if fact.id is not None else sqlite_file.id_of(fact)
        found = terms(" ".join((fact.entity, fact.question, fact.text)))
        try:
            key = self.db.execute(
                "INSERT INTO facts (id, entity, question, text, fields, valid_from, valid_until, "
                "terms, entity_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(fact_id, fact.entity, fact.question, fact.text),
                    json.dumps(dict(fact.fields), ensure_ascii=False),
                    *(sqlite_file.moment(fact.valid_from), sqlite_file.moment(fact.valid_until)),
                    *(" ".join(found), " ".join(words(fact.entity))),
                ),
            ).lastrowid
        except sqlite3.IntegrityError as error:
            raise KnowledgeError(
                f"the fact {fact_id!r} is there already; nothing was added. To change it: parlai "
                "knowledge_base update"
            ) from error
        self.db.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (key, " ".join(found)))
        self._count(found, 1)
        self.note(fact_id, before)
        return fact_id

    def remove(self, fact_id: str, missing: Any) -> None:
        """Take one fact out; what it was is the last of ``removed``."""
        row = _row(self.db, fact_id)
        if row is None:
            raise missing(self.db, fact_id)
        self.removed.append(json.dumps(sqlite_file.plain(_fact(row)), ensure_ascii=False))
        # an index without content wants to be told what it held
        self.db.execute(
            "INSERT INTO search (search, rowid, terms) VALUES ('delete', ?, ?)",
            (row["key"], row["terms"]),
        )
        self.db.execute("DELETE FROM facts WHERE key = ?", (row["key"],))
        self._count(row["terms"].split(), -1)

    def undo(self) -> int:
        """Put back what the last batch changed."""
        if not self.last:
            raise KnowledgeError("there is nothing to undo: no fact was ever changed")
        rows = self.db.execute(
            "SELECT id, before FROM changes WHERE batch = ? ORDER BY number DESC", (self.last,)
        ).fetchall()
        for fact_id, before in rows:
            now = None
            if _row(self.db, fact_id) is not None:
                self.remove(fact_id, None)
                now = self.removed[-1]
            if before is not None:
                self.add(Fact(**json.loads(before)), before=now)
            else:
                self.note(fact_id, now)
        return len(rows)

    def note(self, fact_id: str, before: Optional[str]) -> None:
        """Record it; ``before`` is the fact that was there, if there was one."""
        self.db.execute(
            "INSERT INTO changes (batch, at, who, action, id, before) VALUES (?, ?, ?, ?, ?, ?)",
            (self.batch, self.at, self.who, self.action, fact_id, before),
        )

    def finish(self) -> None:
        """Bring the counts up to date."""
        self.db.executemany(
            "INSERT INTO terms (term, documents) VALUES (?, ?) ON CONFLICT (term) DO UPDATE SET "
            "documents = documents + excluded.documents",
            list(self.documents.items()),
        )
        for name, more in (("facts", self.facts), ("terms", self.terms)):
            self.db.execute(
                "UPDATE state SET value = CAST(value AS INTEGER) + ? WHERE name = ?", (more, name)
            )

    def _count(self, found: List[str], sign: int) -> None:
        self.facts += sign
        self.terms += sign * len(found)
        for term in set(found):
            self.documents[term] = self.documents.get(term, 0) + sign


def _last_batch(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT batch FROM changes ORDER BY number DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def _candidates(
    db: sqlite3.Connection, entities: List[str], keys: List[int]
) -> Iterable[sqlite3.Row]:
    """What is to be compared: the facts found by their words, and those of the entities."""
    marks = ", ".join("?" * len(keys))
    rows = db.execute(f"SELECT {_COLUMNS} FROM facts WHERE key IN ({marks})", keys).fetchall()
    for entity in entities:
        rows += db.execute(
            f"SELECT {_COLUMNS} FROM facts WHERE entity_key = ? LIMIT ?", (entity, _OF_AN_ENTITY)
        )
    return {row["key"]: row for row in rows}.values()


def _documents(db: sqlite3.Connection, wanted: Iterable[str]) -> Dict[str, int]:
    """In how many facts each term stands; those in none are left out."""
    names = list(wanted)
    marks = ", ".join("?" * len(names))
    found = db.execute(
        f"SELECT term, documents FROM terms WHERE documents > 0 AND term IN ({marks})", names
    )
    return dict(tuple(row) for row in found)


def _known_entities(db: sqlite3.Connection, names: List[str]) -> List[str]:
    marks = ", ".join("?" * len(names))
    rows = db.execute(f"SELECT DISTINCT entity_key FROM facts WHERE entity_key IN ({marks})", names)
    return [row[0] for row in rows]


def _row(db: sqlite3.Connection, fact_id: str) -> Any:
    return db.execute(f"SELECT {_COLUMNS} FROM facts WHERE id = ?", (fact_id,)).fetchone()


def _fact(row: sqlite3.Row) -> Fact:
    names = ("text", "id", "entity", "question", "valid_from", "valid_until")
    return Fact(fields=json.loads(row["fields"]), **{name: row[name] for name in names})


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return str(os.getuid()) if hasattr(os, "getuid") else ""
