"""
A user's conversation: what waits to be read, what waits to be sent, and whether a turn is open.

Messages arrive on the IOLoop's thread and are read by a world on its own; what a world sends goes
back to the IOLoop. A conversation outlives its connection for a while, and its worlds: what was
said between one world and the next is read by the next.
"""

import re
import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeGuard

from parlai_cu.serving.protocol import Message

# messages kept for a user whose connection was lost
_BACKLOG = 100
_TOKEN_BYTES = 24
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")


class Connection(Protocol):
    """How a user is reached. Only the IOLoop's thread calls it."""

    address: str
    # whether it said hello: it then knows `type`, and can take up a lost conversation
    modern: bool

    def send(self, message: Message) -> None:
        """Write a message; dropped if the user is gone."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection, with a code and a reason of the websocket protocol."""


def new_token() -> str:
    """What resumes a conversation: nobody guesses it."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_token(given: object) -> TypeGuard[str]:
    """
    Whether something has the form of our tokens; nothing else resumes anything over the network.

    :param given: what a client sent
    """
    return isinstance(given, str) and _TOKEN.fullmatch(given) is not None


class ChatSession:
    """
    One user's conversation.

    :param post: runs a function on the IOLoop's thread; may be called from any
    :param busy: conversations with an open turn; shared by all of a service
    :param on_answer: told the seconds from a message to its first answer
    :param clock: seconds of a steady clock
    :param token: what its user says that resumes it
    """

    def __init__(
        self,
        post: Callable[..., Any],
        busy: set["ChatSession"],
        on_answer: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
        token: str | None = None,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.token = new_token()
        # what its user has shown to resume it: counts until the new one is used
        self.claimed = token
        self.connection: Connection | None = None
        # the kinds of message that the world now running takes, beside plain ones
        self.accepts: tuple[str, ...] = ()
        # whose it is, and whether it began without a connection
        self.address, self.by_http = "", False
        # in a pool, until there are enough users for the world
        self.pooled = False
        self.last_heard = clock()
        self.lost_at: float | None = None
        # plain messages of the user so far; all that arrived for a world; those that one has read
        self.turn = self.arrived = self.read = 0
        self.over = False
        self._clock, self._post, self._busy, self._on_answer = clock, post, busy, on_answer
        self._unread: deque[tuple[Message, float]] = deque()
        self._unsent: deque[Message] = deque(maxlen=_BACKLOG)
        self._lock = threading.Lock()
        self._waker: Callable[[], None] | None = None
        # whether the user sees that a reply is being written
        self._typing = False
        # of the message that is being answered
        self._mid: str | None = None
        self._turn_now = 0
        self._asked_at: float | None = None
        self._quiet: set[Callable[[], None]] = set()

    # -- the user's side: the IOLoop's thread ------------------------------------------------

    def unread(self) -> int:
        """Messages that no world has read yet."""
        return len(self._unread)

    def put(self, message: Message) -> None:
        """A message has arrived: let the world that waits for it go on."""
        if message.type == "message":
            self.turn += 1
            message = replace(message, fields={**message.fields, "turn": self.turn})
        self._busy.add(self)
        with self._lock:
            self.arrived += 1
            self._unread.append((message, self._clock()))
            waker = self._waker
        if waker is not None:
            waker()

    def attach(self, connection: Connection) -> None:
        """The user is there, or there again: what was kept for them is sent."""
        self.connection, self.lost_at = connection, None
        while self._unsent:
            self._write(self._unsent.popleft())

    def detach(self) -> None:
        """The user's connection is lost; what is said meanwhile is kept."""
        self.connection, self.lost_at = None, self._clock()

    def renew_token(self, used: str) -> None:
        """Another token resumes it from now on, and until that is used the one just ``used``."""
        self.token, self.claimed = new_token(), used

    def forget_tokens(self) -> None:
        """Nothing that its user has resumes it any more. From any thread."""
        self.token, self.claimed = new_token(), None

    def close(self) -> None:
        """Forget what waits to be read. Nothing more is said."""
        self.over = True
        self._unread.clear()
        self._settled(self.arrived)

    def collect(self) -> list[Message]:
        """What waits to be sent, for a user who comes for it."""
        messages = list(self._unsent)
        self._unsent.clear()
        return messages

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Call a callback on the IOLoop's thread when all that was said has been answered, once."""
        self._quiet.add(callback)

    def forget_quiet(self, callback: Callable[[], None]) -> None:
        """Do not call that callback any more."""
        self._quiet.discard(callback)

    # -- the world's side: its own thread ----------------------------------------------------

    def wake_with(self, waker: Callable[[], None] | None) -> None:
        """What a new message is to call, from the IOLoop's thread (``waker``); None for nothing."""
        with self._lock:
            self._waker = waker

    def take(self) -> Message | None:
        """The oldest message that nobody has read, if there is one."""
        with self._lock:
            if not self._unread:
                return None
            message, self._asked_at = self._unread.popleft()
        self.read += 1
        self._mid = message.fields.get("mid")
        self._turn_now = message.fields.get("turn", self._turn_now)
        return message

    def waits(self) -> None:
        """The world waits for the user: if they have said nothing more, the turn is over."""
        # what it says from now on answers no message
        self._mid, self._asked_at = None, None
        with self._lock:
            if not self._unread and self in self._busy:
                self._post(self._settled, self.arrived)

    def show_typing(self) -> None:
        """Tell a user whose client shows it that a reply is being written. From any thread."""
        connection = self.connection
        if connection is not None and connection.modern and not self._typing:
            self._typing = True
            self._post(self._write, Message("typing"))

    def send(self, act: Mapping[str, Any]) -> None:
        """Send an act, what a world says. From any thread; the order is kept."""
        named = {} if self._mid is None else {"mid": self._mid}
        message = Message.of_act(act, turn=self._turn_now, **named)
        self._typing = False
        if message.type == "message" and self._asked_at is not None:
            self._on_answer(self._clock() - self._asked_at)
            self._asked_at = None
        self._post(self._write, message)

    # -- on the IOLoop's thread again --------------------------------------------------------

    def _settled(self, arrived: int) -> None:
        if arrived != self.arrived:
            return
        self._busy.discard(self)
        callbacks, self._quiet = self._quiet, set()
        for callback in callbacks:
            callback()

    def _write(self, message: Message) -> None:
        if self.over:
            return
        if self.connection is not None:
            # a client that knows only ParlAI's format is sent every reply, though it be empty, and
            # what else a person can read
            if self.connection.modern or message.type == "message" or message.text:
                self.connection.send(message)
        elif message.type != "typing":
            self._unsent.append(message)
