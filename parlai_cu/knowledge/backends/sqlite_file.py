"""The file of :mod:`parlai_cu.knowledge.backends.sqlite`: where it is, and what is in it."""

import dataclasses
import hashlib
import json
import os
import sqlite3
import uuid
from datetime import datetime, timezone
from typing import Any, Dict, Optional

from parlai_cu.errors import DataError, KnowledgeError
from parlai_cu.types import Fact

# in the file's header, so that nobody takes another database for ours
APPLICATION = 0x70637566
VERSION = 1
# how long a writer waits for another
_WAIT_S = 5.0
_TABLES = """
CREATE TABLE facts (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    entity TEXT NOT NULL,
    question TEXT NOT NULL,
    text TEXT NOT NULL,
    fields TEXT NOT NULL,     -- JSON, column -> value
    valid_from TEXT,          -- UTC, ISO
    valid_until TEXT,
    terms TEXT NOT NULL,      -- what the search knows of it
    entity_key TEXT NOT NULL  -- the entity's words
);
CREATE INDEX facts_entity ON facts (entity_key);
CREATE VIRTUAL TABLE search USING fts5 (
    terms, content='', tokenize='unicode61 remove_diacritics 0', detail='none'
);
CREATE TABLE terms (term TEXT PRIMARY KEY, documents INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,   -- of one command
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    id TEXT NOT NULL,
    before TEXT               -- JSON of the fact that was there
);
CREATE INDEX changes_batch ON changes (batch);
CREATE TABLE state (name TEXT PRIMARY KEY, value NOT NULL);
"""


def path_of(uri: str) -> str:
    """
    The file that a URI names.

    :raises KnowledgeError: when it is not ``sqlite:///...``
    """
    scheme, _, path = uri.partition(":///")
    if scheme != "sqlite" or not path:
        raise KnowledgeError(
            f"--kb {uri}: expected sqlite:///relative.db or sqlite:////absolute.db"
        )
    return path


def connect(path: str, name: str, writable: bool) -> sqlite3.Connection:
    """
    Open the file; for writing, make it where it is not there.

    :param name: for messages
    :raises KnowledgeError: when it is no knowledge base of ours
    """
    if writable:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        db = _connection(f"{path}", uri=False)
    else:
        place = "file:" + os.path.abspath(path).replace("%", "%25").replace("?", "%3f")
        place = place.replace("#", "%23")
        db = _connection(f"{place}?mode=ro", uri=True)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            # a log cannot be shared where nothing may be written, and nothing changes there
            db.close()
            db = _connection(f"{place}?immutable=1", uri=True)
    try:
        _check(db, name, writable)
    except BaseException:
        db.close()
        raise
    return db


def _connection(place: str, uri: bool) -> sqlite3.Connection:
    db = sqlite3.connect(
        place, uri=uri, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    db.row_factory = sqlite3.Row
    return db


def _check(db: sqlite3.Connection, name: str, writable: bool) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == APPLICATION:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise KnowledgeError(f"{name} is of format {version}, this package reads {VERSION}")
        return
    if tables or not writable:
        raise KnowledgeError(
            f"{name} is not a knowledge base of ours ({tables} other tables). Import its tables: "
            "parlai knowledge_base import --file, or use its tables as they are: --kb sql+sqlite..."
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION}; "
        f"PRAGMA user_version = {VERSION}; "
        "INSERT INTO state VALUES ('facts', 0), ('terms', 0); COMMIT"
    )
    db.execute("INSERT INTO state VALUES ('uuid', ?)", (uuid.uuid4().hex[:12],))


def state(db: sqlite3.Connection) -> Dict[str, str]:
    """The counts, the file's own name and the number of the last change."""
    found = {row[0]: str(row[1]) for row in db.execute("SELECT name, value FROM state")}
    last = db.execute("SELECT coalesce(max(number), 0) FROM changes").fetchone()[0]
    return {**found, "last": str(last)}


def snapshot(of: Dict[str, str]) -> str:
    """The id of a state."""
    return f"{of['uuid']}:{of['last']}"


def plain(fact: Fact) -> Dict[str, Any]:
    """A fact as JSON holds it."""
    return dataclasses.asdict(dataclasses.replace(fact, fields=dict(fact.fields)))


def id_of(fact: Fact) -> str:
    """An id made from what the fact says."""
    said = [fact.entity, fact.question, fact.text, sorted(dict(fact.fields).items())]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def moment(text: Optional[str]) -> Optional[str]:
    """
    A date or time in UTC, such that later ones sort later.

    :param text: ISO; without a time zone it is meant in UTC, without a time at midnight
    :raises DataError: when it is neither
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{text!r} is no date: expected 2027-01-31 or 2027-01-31T12:00:00+01:00"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc).isoformat()
