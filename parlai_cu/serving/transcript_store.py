"""
Conversations that outlive a connection and a restart: what was said, by whom it can be resumed.

A SQLite file by default; any SQLAlchemy URL (``postgresql+psycopg://...``) where several machines
serve. Both run the same statements; user text is only ever a parameter. A conversation is resumed
by a token, of which only the hash is kept: who reads the store cannot take a conversation over.
"""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from parlai_cu.errors import ConversationError
from parlai_cu.serving.database import MEMORY, ResultRows, Row, Taken, open_rows

DEFAULT_URL = "sqlite:///conversations.db"
# turns of a conversation that are read back: more than any model's history holds
MOST_TURNS = 100
# writers of one conversation at once (two tabs, on two replicas): who loses tries again
_TRIES = 100

_TABLES = (
    """CREATE TABLE IF NOT EXISTS chat_conversations (
        id TEXT PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,
        opened DOUBLE PRECISION NOT NULL,
        seen DOUBLE PRECISION NOT NULL,
        since INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS chat_turns (
        conversation TEXT NOT NULL,
        turn INTEGER NOT NULL,
        mid TEXT,
        at DOUBLE PRECISION NOT NULL,
        text TEXT NOT NULL,
        reply TEXT NOT NULL,
        version TEXT,
        knowledge TEXT,
        rating TEXT,
        correction TEXT,
        PRIMARY KEY (conversation, turn)
    )""",
    "CREATE UNIQUE INDEX IF NOT EXISTS chat_turns_mid ON chat_turns (conversation, mid)",
    "CREATE INDEX IF NOT EXISTS chat_conversations_seen ON chat_conversations (seen)",
)
_COLUMNS = "turn, mid, text, reply, version, knowledge, rating, correction"


@dataclass
class StoredTurn:
    """
    What a user said and what they were answered.

    :param turn: its number in the conversation, from 1
    :param text: what the user said
    :param reply: the answer
    :param mid: what the client called it, so that a turn sent twice is answered once
    :param version: that gave it, where that is known
    :param knowledge: the facts that were used, as the model's act names them
    :param rating: ``up``, ``down`` or None
    :param correction: what the user says the answer should have been
    """

    turn: int
    text: str
    reply: str
    mid: str | None = None
    version: str | None = None
    knowledge: list[dict[str, Any]] | None = None
    rating: str | None = None
    correction: str | None = None


@dataclass
class StoredConversation:
    """
    One user's conversation.

    :param id: its name, which may be shown
    :param since: turns up to this one were forgotten on request (``[RESET]``)
    :param turns: what was said since, oldest first; the last :data:`MOST_TURNS` of it
    """

    id: str
    since: int = 0
    turns: list[StoredTurn] = field(default_factory=list)


class TranscriptStore:
    """
    The store. Safe to use from several threads, and by several processes at once.

    :param url: ``sqlite:///file.db``, an SQLAlchemy URL, or ``none`` for this process's memory
    :param keep_days: conversations nobody spoke in for so long are deleted; None keeps them
    :raises ConversationError: when it cannot be opened
    """

    def __init__(self, url: str = DEFAULT_URL, keep_days: float | None = 30) -> None:
        self.in_memory = url == MEMORY
        self.keep_days = keep_days
        self._purged = 0.0
        # what was the time at the start, and has passed since: a clock that is set forward in
        # between must not make conversations look old enough to be deleted
        self._began = time.time() - time.monotonic()
        self._rows: ResultRows = open_rows(url)
        for statement in _TABLES:
            self._create(statement)

    def _create(self, statement: str) -> None:
        # PostgreSQL: IF NOT EXISTS of two replicas at once may still collide
        try:
            self._rows.write(statement, {})
        except (Taken, ConversationError):
            self._rows.write(statement, {})

    def start(self, token: str | None = None) -> tuple[StoredConversation, str]:
        """
        A new conversation, and the token that resumes it.

        :param token: one that the service vouches for; without one it is made up
        """
        self._purge_now_and_then()
        token = token or secrets.token_urlsafe(24)
        name = secrets.token_hex(8)
        values = {"id": name, "token": _hashed(token), "now": self._now()}
        self._rows.write(
            "INSERT INTO chat_conversations (id, token, opened, seen, since) "
            "VALUES (:id, :token, :now, :now, 0)",
            values,
        )
        return StoredConversation(name), token

    def resume(self, token: str | None) -> StoredConversation | None:
        """The conversation of a token, with what was said in it; None where there is none."""
        if not token:
            return None
        found = self._rows.read(
            "SELECT id, since FROM chat_conversations WHERE token = :token",
            {"token": _hashed(token)},
        )
        if not found:
            return None
        (name, since), *_ = found
        self._rows.write(
            "UPDATE chat_conversations SET seen = :now WHERE id = :id",
            {"id": name, "now": self._now()},
        )
        rows = self._rows.read(
            f"SELECT {_COLUMNS} FROM chat_turns WHERE conversation = :id AND turn > :since "
            "ORDER BY turn DESC LIMIT :most",
            {"id": name, "since": since, "most": MOST_TURNS},
        )
        return StoredConversation(name, since, [_turn(row) for row in reversed(rows)])

    def knows(self, token: str | None) -> bool:
        """Whether a token resumes a conversation."""
        if not token:
            return False
        return bool(
            self._rows.read(
                "SELECT 1 FROM chat_conversations WHERE token = :token", {"token": _hashed(token)}
            )
        )

    def add(self, conversation: str, turn: StoredTurn) -> StoredTurn:
        """
        Keep a turn.

        :param conversation: its id
        :param turn: with the number it should have; the next free one where that is taken
        :return: the turn as it is kept; the earlier one where its ``mid`` was answered before
        :raises ConversationError: when it cannot be written
        """
        values = {
            "id": conversation,
            "mid": turn.mid,
            "now": self._now(),
            "text": _storable(turn.text),
            "reply": _storable(turn.reply),
            "version": turn.version,
            "knowledge": json.dumps(turn.knowledge, default=str) if turn.knowledge else None,
        }
        for _ in range(_TRIES):
            try:
                self._rows.write(
                    "INSERT INTO chat_turns "
                    "(conversation, turn, mid, at, text, reply, version, knowledge) VALUES "
                    "(:id, :turn, :mid, :now, :text, :reply, :version, :knowledge)",
                    {**values, "turn": turn.turn},
                )
                return turn
            except Taken:
                known = self.answered(conversation, turn.mid)
                if known is not None:
                    return known
                turn.turn = self._last(conversation) + 1
        raise ConversationError(f"conversation {conversation}: a turn could not be numbered")

    def _last(self, conversation: str) -> int:
        (number,) = self._rows.read(
            "SELECT COALESCE(MAX(turn), 0) FROM chat_turns WHERE conversation = :id",
            {"id": conversation},
        )[0]
        return int(number)

    def answered(self, conversation: str, mid: str | None) -> StoredTurn | None:
        """The turn of a conversation that a client called ``mid``, if it was answered before."""
        if mid is None:
            return None
        return self._one(conversation, "mid = :value", mid)

    def turn(self, conversation: str, number: int) -> StoredTurn | None:
        """A turn of a conversation by its number."""
        return self._one(conversation, "turn = :value", number)

    def _one(self, conversation: str, condition: str, value: Any) -> StoredTurn | None:
        rows = self._rows.read(
            f"SELECT {_COLUMNS} FROM chat_turns WHERE conversation = :id AND {condition}",
            {"id": conversation, "value": value},
        )
        return _turn(rows[0]) if rows else None

    def judge(
        self, conversation: str, turn: int, rating: str | None, correction: str | None
    ) -> bool:
        """
        Keep what a user thinks of a reply; False where there is no such turn.

        :param conversation: its id
        :param turn: its number
        :param rating: ``up``, ``down`` or None
        :param correction: what the answer should have been; None where that was not said
        """
        kept = None if correction is None else _storable(correction)
        changed = self._rows.write(
            "UPDATE chat_turns SET rating = CAST(:rating AS TEXT), "
            "correction = CAST(:correction AS TEXT) WHERE conversation = :id AND turn = :turn",
            {"id": conversation, "turn": turn, "rating": rating, "correction": kept},
        )
        return changed > 0

    def forget(self, conversation: str) -> int:
        """Begin anew in a conversation; returns the last turn that no longer counts."""
        self._rows.write(
            "UPDATE chat_conversations SET since = (SELECT COALESCE(MAX(turn), 0) "
            "FROM chat_turns WHERE conversation = :id) WHERE id = :id",
            {"id": conversation},
        )
        (since,) = self._rows.read(
            "SELECT since FROM chat_conversations WHERE id = :id", {"id": conversation}
        )[0]
        return int(since)

    def finish(self, conversation: str) -> None:
        """A conversation is over: its token resumes nothing any more; its turns are kept."""
        self._rows.write(
            "UPDATE chat_conversations SET token = :done WHERE id = :id",
            {"id": conversation, "done": f"done:{conversation}"},
        )

    def delete(self, conversation: str) -> None:
        """Remove a conversation and all that was said in it."""
        for statement in (
            "DELETE FROM chat_turns WHERE conversation = :id",
            "DELETE FROM chat_conversations WHERE id = :id",
        ):
            self._rows.write(statement, {"id": conversation})

    def purge(self, older_than: float) -> int:
        """
        Delete conversations that nobody spoke in since a time (``older_than``, seconds of the
        epoch).
        """
        silent = (
            "seen < :limit AND NOT EXISTS "
            "(SELECT 1 FROM chat_turns WHERE conversation = id AND at >= :limit)"
        )
        values = {"limit": older_than}
        self._rows.write(
            "DELETE FROM chat_turns WHERE conversation IN "
            f"(SELECT id FROM chat_conversations WHERE {silent})",
            values,
        )
        return self._rows.write(f"DELETE FROM chat_conversations WHERE {silent}", values)

    def close(self) -> None:
        """Let go of the file or the connections."""
        self._rows.close()

    def _now(self) -> float:
        return self._began + time.monotonic()

    def _purge_now_and_then(self) -> None:
        now = self._now()
        if self.keep_days is not None and now - self._purged > 3600:
            self._purged = now
            self.purge(now - self.keep_days * 24 * 3600)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """Without what a database refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _turn(row: Row) -> StoredTurn:
    number, mid, text, reply, version, knowledge, rating, correction = row
    facts = json.loads(knowledge) if knowledge else None
    return StoredTurn(number, text, reply, mid, version, facts, rating, correction)
