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

from parlai_cu.errors import ConversationError, UnknownConversationError
from parlai_cu.serving.database import MEMORY, ResultRows, Row, Schema, Taken, open_rows
from parlai_cu.serving.history import MOST_TURNS
from parlai_cu.serving.purging import Purge
from parlai_cu.serving.session import new_token

DEFAULT_URL = "sqlite:///conversations.db"
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
    """CREATE TABLE IF NOT EXISTS chat_clock (
        id INTEGER PRIMARY KEY,
        seen DOUBLE PRECISION NOT NULL
    )""",
)
# the hash of the token before, which counts until the new one is used
_SCHEMA = Schema(_TABLES, [("chat_conversations", "earlier", "TEXT")])
# begins the name of a turn that the client gave none: a turn that is written twice is kept once
_UNNAMED = "~"
_COLUMNS = "turn, mid, text, reply, version, knowledge, rating, correction"
# nothing is kept of a conversation that was deleted; PostgreSQL wants to know the kinds
_INSERT = (
    "INSERT INTO chat_turns (conversation, turn, mid, at, text, reply, version, knowledge) "
    "SELECT id, CAST(:turn AS INTEGER), CAST(:mid AS TEXT), CAST(:now AS DOUBLE PRECISION), "
    "CAST(:text AS TEXT), CAST(:reply AS TEXT), CAST(:version AS TEXT), CAST(:knowledge AS TEXT) "
    "FROM chat_conversations WHERE id = :id AND since < :turn"
)


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
    :param key: what names it in the store where the client gave no ``mid``
    :param kept: whether the store has it
    """

    turn: int
    text: str
    reply: str
    mid: str | None = None
    version: str | None = None
    knowledge: list[dict[str, Any]] | None = None
    rating: str | None = None
    correction: str | None = None
    key: str | None = field(default=None, compare=False)
    kept: bool = field(default=True, compare=False)


@dataclass
class StoredConversation:
    """
    One user's conversation.

    :param id: its name, which may be shown
    :param since: turns up to this one were forgotten on request (``[RESET]``)
    :param turns: what was said since, oldest first; the last ``MOST_TURNS`` of it
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
        self._rows: ResultRows = open_rows(url, _SCHEMA)
        # calls of the database at once
        self.at_once = self._rows.at_once
        self._purge = Purge(self._rows)
        # what was the time at the start, and has passed since: a clock that is set forward in
        # between must not make conversations look old enough to be deleted
        self._began = max(time.time(), self._purge.clock()) - time.monotonic()
        # what earlier releases left of turns that were to be forgotten
        self._rows.write(
            "DELETE FROM chat_turns WHERE EXISTS (SELECT 1 FROM chat_conversations "
            "WHERE chat_conversations.id = conversation AND turn <= since)",
            {},
        )

    def check(self) -> None:
        """
        Whether it can be written.

        :raises ConversationError: when it cannot
        """
        self._rows.write("UPDATE chat_conversations SET seen = seen WHERE id = ''", {})

    def interrupt(self) -> None:
        """End calls that hang, where that can be done. From any thread."""
        self._rows.interrupt()

    def start(self, token: str | None = None) -> tuple[StoredConversation, str]:
        """
        A new conversation, and the token that resumes it.

        :param token: one that the service vouches for; without one it is made up
        """
        self._purge_now_and_then()
        token = token or new_token()
        name = secrets.token_hex(8)
        values = {"id": name, "token": _hashed(token), "now": self._now()}
        self._rows.write(
            "INSERT INTO chat_conversations (id, token, opened, seen, since) "
            "VALUES (:id, :token, :now, :now, 0)",
            values,
        )
        return StoredConversation(name), token

    def open(
        self, token: str | None, claimed: str | None = None
    ) -> tuple[StoredConversation, bool]:
        """
        The conversation of a token, else a new one; and whether it was there.

        :param token: what resumes it from now on
        :param claimed: what its user says that resumes it, where that is another one
        :raises ConversationError: when it can be neither read nor begun
        """
        for _ in range(_TRIES):
            found = self.resume(claimed or token, token)
            if found is not None:
                return found, True
            try:
                return self.start(token)[0], False
            except Taken:
                continue  # begun by another, in this moment
        raise ConversationError("a conversation could be neither read nor begun")

    def renew(self, conversation: str, token: str, used: str) -> None:
        """
        Let another token resume a conversation, and until it is used the one that was used last.

        :param conversation: its id
        :param token: the new one
        :param used: the one that its user has shown
        """
        self._rows.write(
            "UPDATE chat_conversations SET token = :token, earlier = :used WHERE id = :id",
            {"id": conversation, "token": _hashed(token), "used": _hashed(used)},
        )

    def resume(self, token: str | None, renewed: str | None = None) -> StoredConversation | None:
        """
        The conversation of a token, with what was said in it; None where there is none.

        :param token: the one that was given last, or the one before where that was never used
        :param renewed: what resumes it from now on; the same where missing
        """
        found = self._of_token(token)
        if found is None:
            return None
        name, since = found
        values = {"id": name, "now": self._now(), "old": _hashed(token or "")}
        renewal = ""
        if renewed is not None and renewed != token:
            values["new"] = _hashed(renewed)
            renewal = ", token = :new, earlier = :old"
        try:
            self._rows.write(
                f"UPDATE chat_conversations SET seen = :now{renewal} WHERE id = :id "
                "AND (token = :old OR earlier = :old)",
                values,
            )
        except ConversationError:
            if renewal:
                raise
            # it can be read though it cannot be written
        rows = self._rows.read(
            f"SELECT {_COLUMNS} FROM chat_turns WHERE conversation = :id AND turn > :since "
            "ORDER BY turn DESC LIMIT :most",
            {"id": name, "since": since, "most": MOST_TURNS},
        )
        return StoredConversation(name, since, [_turn(row) for row in reversed(rows)])

    def knows(self, token: str | None) -> bool:
        """Whether a token resumes a conversation."""
        return self._of_token(token) is not None

    def _of_token(self, token: str | None) -> tuple[str, int] | None:
        if not token:
            return None
        found = self._rows.read(
            "SELECT id, since FROM chat_conversations WHERE token = :token OR earlier = :token",
            {"token": _hashed(token)},
        )
        return (str(found[0][0]), int(found[0][1])) if found else None

    def add(self, conversation: str, turn: StoredTurn) -> StoredTurn:
        """
        Keep a turn.

        :param conversation: its id
        :param turn: with the number it should have; the next free one where that is taken
        :return: the turn as it is kept; the earlier one where its ``mid`` was answered before
        :raises UnknownConversationError: when the conversation is not there (any more)
        :raises ConversationError: when it cannot be written
        """
        if turn.mid is None and turn.key is None:
            turn.key = _UNNAMED + secrets.token_hex(8)
        values: dict[str, Any] = {
            "id": conversation,
            "mid": turn.mid or turn.key,
            "now": self._now(),
            "text": _storable(turn.text),
            "reply": _storable(turn.reply),
            "version": turn.version,
            "knowledge": json.dumps(turn.knowledge, default=str) if turn.knowledge else None,
        }
        for _ in range(_TRIES):
            try:
                if self._rows.write(_INSERT, {**values, "turn": turn.turn}):
                    return turn
                # its number was of a turn that is forgotten, or there is no such conversation
                turn.turn = self._since(conversation) + 1
            except Taken:
                known = self.answered(conversation, values["mid"])
                if known is not None:
                    return known
                turn.turn = self._last(conversation) + 1
        raise ConversationError(f"conversation {conversation}: a turn could not be numbered")

    def _since(self, conversation: str) -> int:
        found = self._rows.read(
            "SELECT since FROM chat_conversations WHERE id = :id", {"id": conversation}
        )
        if not found:
            raise UnknownConversationError(f"conversation {conversation} is not there")
        return int(found[0][0])

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

    def _one(self, conversation: str, condition: str, value: object) -> StoredTurn | None:
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

    def forget(self, conversation: str, last: int | None = None) -> int:
        """
        Delete what was said in a conversation, which goes on.

        :param conversation: its id
        :param last: the number of the last turn that is to go; all where missing
        :return: the number of the last turn that has gone
        :raises UnknownConversationError: when there is no such conversation
        """
        values = {"id": conversation}
        if last is None:
            self._rows.write(
                "UPDATE chat_conversations SET since = (SELECT COALESCE(MAX(turn), since) "
                "FROM chat_turns WHERE conversation = :id) WHERE id = :id",
                values,
            )
        else:
            self._rows.write(
                "UPDATE chat_conversations SET since = :last WHERE id = :id AND since < :last",
                {**values, "last": last},
            )
        since = self._since(conversation)
        self._rows.write(
            "DELETE FROM chat_turns WHERE conversation = :id AND turn <= :since",
            {**values, "since": since},
        )
        self._rows.erase()
        return since

    def delete(self, conversation: str) -> None:
        """Remove a conversation, its token and all that was said in it."""
        for statement in (
            "DELETE FROM chat_turns WHERE conversation = :id",
            "DELETE FROM chat_conversations WHERE id = :id",
        ):
            self._rows.write(statement, {"id": conversation})
        self._rows.erase()

    def purge(self, older_than: float) -> int:
        """
        Delete conversations that nobody spoke in since a time (``older_than``, seconds of the
        epoch), and turns of that age whose conversation is not there.
        """
        return self._purge.delete(older_than)

    def close(self) -> None:
        """Let go of the file or the connections."""
        self._rows.close()

    def _now(self) -> float:
        return self._began + time.monotonic()

    def _purge_now_and_then(self) -> None:
        if self.keep_days is not None:
            self._purge.now_and_then(self._now(), self.keep_days * 24 * 3600)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """Without what a database refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _turn(row: Row) -> StoredTurn:
    number, mid, text, reply, version, knowledge, rating, correction = row
    facts = json.loads(knowledge) if knowledge else None
    key = mid if mid and mid.startswith(_UNNAMED) else None
    named = None if key else mid
    return StoredTurn(number, text, reply, named, version, facts, rating, correction, key)
