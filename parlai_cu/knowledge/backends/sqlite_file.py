"""The file of :mod:`parlai_cu.knowledge.backends.sqlite`: where it is, and what is in it."""

import os
import sqlite3
import uuid
from typing import Any, cast

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.verifying import renew_words

# in the file's header, so that nobody takes another database for ours
APPLICATION = 0x70637566
VERSION = 2
# how long a writer waits for another; and a question, for somebody who locked the whole file
_WAIT_S, _ASK_WAIT_S = 5.0, 1.0
_VECTORS = """
CREATE TABLE IF NOT EXISTS vectors (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL UNIQUE, vector BLOB NOT NULL
);
"""
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

    :param path: of the file
    :param name: for messages
    :param writable: to write as well
    :raises KnowledgeError: when it is no knowledge base of ours
    """
    if writable:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        db = _connection(path, uri=False, wait_s=_WAIT_S)
    else:
        place = "file:" + os.path.abspath(path).replace("%", "%25").replace("?", "%3f")
        place = place.replace("#", "%23")
        db = _connection(f"{place}?mode=ro", uri=True)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                db.close()
                raise
            # a log cannot be shared where nothing may be written, and nothing changes there
            db.close()
            db = _connection(f"{place}?immutable=1", uri=True)
    try:
        _check(db, name, writable)
    except BaseException:
        db.close()
        raise
    return db


def _connection(place: str, uri: bool, wait_s: float = _ASK_WAIT_S) -> sqlite3.Connection:
    db = sqlite3.connect(
        place, uri=uri, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    db.row_factory = sqlite3.Row
    return db


def _check(db: sqlite3.Connection, name: str, writable: bool) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == APPLICATION:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not 1 <= version <= VERSION:
            raise KnowledgeError(f"{name} is of format {version}, this package reads {VERSION}")
        if writable:
            # the first format had an index of words of its own
            db.execute("BEGIN IMMEDIATE")
            db.execute(_VECTORS)
            if db.execute("PRAGMA user_version").fetchone()[0] == 1:
                for table in ("search", "terms"):
                    db.execute(f"DROP TABLE IF EXISTS {table}")
                renew_words(cast(Any, db))
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
        return
    if tables or not writable:
        raise KnowledgeError(
            f"{name} is not a knowledge base of ours ({tables} other tables). Import its tables: "
            "parlai knowledge_base import --file, or use its tables as they are: --kb sql+sqlite..."
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} {_VECTORS} PRAGMA application_id = {APPLICATION}; "
        f"PRAGMA user_version = {VERSION}; INSERT INTO state VALUES ('facts', '0'), "
        f"('terms', '0'), ('uuid', '{uuid.uuid4().hex[:12]}'); COMMIT"
    )
