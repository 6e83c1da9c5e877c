"""
Who is let in, and what becomes of each message before a world reads it.

Everything here runs on the IOLoop's thread and does no I/O of its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from parlai_cu.serving import logs
from parlai_cu.serving.limits import Addresses, ServiceLimits, same_secret
from parlai_cu.serving.protocol import Incoming, Refusal, read_frame
from parlai_cu.serving.session import ChatSession, Connection

# wrong passwords on one connection before it is closed, and how many messages each counts for
_WRONG_PASSWORDS, WRONG_COST = 5, 5.0
# websocket close codes: going away, policy, and one of our own
GOING_AWAY, POLICY, TAKEN_OVER = 1001, 1008, 4000


class SessionHost(Protocol):
    """What lies behind the gateway: where conversations are held."""

    def begin(self, conversation: ChatSession) -> None:
        """Let a conversation begin."""

    def leave(self, conversation: ChatSession) -> None:
        """A conversation is over: free what it holds."""

    def leave_pool(self, conversation: ChatSession) -> None:
        """The user does not want to wait for another person any more."""

    def knows_token(self, token: str) -> bool:
        """Whether something is kept from a conversation with this token."""


@dataclass
class ClientConnection:
    """
    A connection, and whose it is.

    :param connection: how it is reached
    :param conversation: None before it begins, and after it has ended
    :param trusted: whether the password, if there is one, was given
    :param wrong: how many passwords were wrong
    :param since: when it was last heard of, seconds of the gateway's clock
    """

    connection: Connection
    conversation: ChatSession | None = None
    trusted: bool = False
    wrong: int = 0
    # when it was last heard of
    since: float = 0.0


class Gateway:
    """
    The clients of a service and their conversations.

    :param house: where conversations are held
    :param limits: what clients may do
    :param post: runs a function on the IOLoop's thread, from any thread
    :param password: what must be known to be let in; None for all
    :param on_answer: told the seconds from each message to its first answer
    :param on_refusal: told the code of each refusal
    :param clock: seconds of a steady clock
    """

    def __init__(
        self,
        house: SessionHost,
        limits: ServiceLimits,
        post: Callable[..., Any],
        password: str | None = None,
        on_answer: Callable[[float], None] = lambda seconds: None,
        on_refusal: Callable[[str], None] = lambda code: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.house, self.limits, self.password = house, limits, password
        self.addresses = Addresses(limits)
        self.by_id: dict[str, ChatSession] = {}
        self.by_token: dict[str, ChatSession] = {}
        self.busy: set[ChatSession] = set()
        self.draining = False
        self._client_of: dict[int, ClientConnection] = {}
        self._post, self._clock = post, clock
        self._on_answer, self._on_refusal = on_answer, on_refusal

    # -- connections -------------------------------------------------------------------------

    def arrive(self, connection: Connection) -> ClientConnection | None:
        """A connection opens; None where its address has too many already."""
        if not self.addresses.connect(connection.address):
            self._on_refusal("connections")
            return None
        client = ClientConnection(connection, trusted=self.password is None, since=self._clock())
        self._client_of[id(connection)] = client
        return client

    def depart(self, client: ClientConnection) -> None:
        """A connection has closed: its conversation is held for a while, or ends."""
        self.addresses.disconnect(client.connection.address)
        self._client_of.pop(id(client.connection), None)
        conversation, client.conversation = client.conversation, None
        if conversation is None or conversation.connection is not client.connection:
            return  # it has ended, or goes on elsewhere
        conversation.detach()
        if not (client.connection.modern and self.limits.resume_seconds > 0 and not self.draining):
            self.end(conversation)

    # -- messages ----------------------------------------------------------------------------

    def hear(self, client: ClientConnection, frame: str | bytes) -> None:
        """A frame has come from a client: pass it on, or tell them why not."""
        client.since = self._clock()
        message = self._checked(client, frame)
        if isinstance(message, Refusal):
            self.refuse(client.connection, message)
            return
        if message.type == "hello":
            self._greet(client, message)
            return
        mid = message.fields.get("mid")
        if not client.trusted:
            self._ask_password(client, message.text, mid)
            return
        if client.conversation is None and not self._admit(client, None):
            self.refuse(client.connection, Refusal("busy", self._full(), mid))
            return
        assert client.conversation is not None
        refusal = self.say(client.conversation, message)
        if refusal is not None:
            self.refuse(client.connection, refusal)

    def say(self, conversation: ChatSession, message: Incoming) -> Refusal | None:
        """Let a conversation have a message; a refusal where it cannot be taken now."""
        conversation.last_heard = self._clock()
        mid = message.fields.get("mid")
        if conversation.pooled:
            if message.text.strip().upper() == "EXIT":
                self.house.leave_pool(conversation)
                return None
            return Refusal("waiting", "", mid)
        if message.type != "message" and message.type not in conversation.accepts:
            return Refusal("malformed", f"this chat takes no {message.type[:40]!r}", mid)
        if conversation.unread() >= self.limits.max_queue:
            return Refusal("busy", f"{conversation.unread()} messages of yours wait already", mid)
        logs.said(f"user in {conversation.id}", message.text)
        conversation.put(message)
        return None

    def refuse(self, connection: Connection, refusal: Refusal) -> None:
        """Tell a client that their message was not taken."""
        self._on_refusal(refusal.code)
        connection.send(refusal.message())

    def allow(self, address: str, cost: float = 1.0) -> bool:
        """Whether an address may send one more message now; ``cost``: how many it counts for."""
        return self.addresses.take(address, self._clock(), cost)

    def _checked(self, client: ClientConnection, frame: str | bytes) -> Incoming | Refusal:
        if not self.allow(client.connection.address):
            return Refusal("rate")
        message = read_frame(frame, self.limits)
        if self.draining and isinstance(message, Incoming):
            return Refusal("draining", "", message.fields.get("mid"))
        return message

    # -- who it is ---------------------------------------------------------------------------

    def _greet(self, client: ClientConnection, message: Incoming) -> None:
        client.connection.modern = True
        if not client.trusted and same_secret(message.fields.get("password"), self.password):
            client.trusted = True
        if not client.trusted:
            if message.fields.get("password") is not None:
                self._ask_password(client, None, message.fields.get("mid"))
            client.connection.send({"type": "hello", "text": "", "password": True})
            return
        token = message.fields.get("token")
        if client.conversation is None and not self._admit(client, token):
            self.refuse(client.connection, Refusal("busy", self._full()))

    def _admit(self, client: ClientConnection, token: Any) -> bool:
        """Let a client's conversation begin, or go on; False where all places are taken."""
        known = self.by_token.get(token) if isinstance(token, str) else None
        if known is not None:
            self._take_up(client, known)
            return True
        if not self.room():
            return False
        kept = isinstance(token, str) and self.house.knows_token(token)
        client.conversation = self.open(client.connection, token if kept else None)
        self._say_hello(client.connection, client.conversation, kept)
        self.house.begin(client.conversation)
        return True

    def _take_up(self, client: ClientConnection, conversation: ChatSession) -> None:
        """A conversation goes on, on another connection."""
        before = conversation.connection
        if before is not None:
            old = self._client_of.get(id(before))
            if old is not None:
                old.conversation = None
            before.close(TAKEN_OVER, "the conversation goes on in another window")
        client.conversation = conversation
        conversation.last_heard = self._clock()
        self._say_hello(client.connection, conversation, True)
        conversation.attach(client.connection)
        if "resumed" in conversation.accepts:
            conversation.put(Incoming("resumed"))

    def _say_hello(self, connection: Connection, conversation: ChatSession, resumed: bool) -> None:
        if connection.modern:
            hello: Mapping[str, Any] = {
                "type": "hello",
                "text": "",
                "token": conversation.token,
                "resumed": resumed,
                "max_text": self.limits.max_text,
                "password": False,
            }
            connection.send(hello)

    def _ask_password(self, client: ClientConnection, given: str | None, mid: str | None) -> None:
        if same_secret(given, self.password):
            client.trusted = True
            # as in ParlAI, the conversation begins: the password is not part of it
            if client.conversation is None and not self._admit(client, None):
                self.refuse(client.connection, Refusal("busy", self._full(), mid))
            return
        client.wrong += 1
        self.allow(client.connection.address, WRONG_COST)
        self.refuse(client.connection, Refusal("password", "", mid))
        if client.wrong >= _WRONG_PASSWORDS:
            client.connection.close(POLICY, "too many wrong passwords")

    # -- conversations -----------------------------------------------------------------------

    def room(self) -> bool:
        """Whether one more conversation may begin; a lost one makes room for it."""
        if len(self.by_id) < self.limits.max_conversations:
            return True
        lost = [each for each in self.by_id.values() if each.lost_at is not None]
        if not lost:
            return False
        self.end(min(lost, key=lambda each: each.lost_at or 0.0))
        return True

    def open(self, connection: Connection | None, token: str | None = None) -> ChatSession:
        """
        A new conversation; :meth:`SessionHost.begin` is still to be called.

        :param connection: the user's, if they are there
        :param token: what resumes the conversation; a new one where missing
        """
        conversation = ChatSession(self._post, self.busy, self._on_answer, self._clock, token)
        self.by_id[conversation.id] = self.by_token[conversation.token] = conversation
        if connection is not None:
            conversation.attach(connection)
        conversation.begun = True
        return conversation

    def end(self, conversation: ChatSession) -> None:
        """End a conversation and free what it holds. The connection, if any, stays open."""
        if self.by_id.pop(conversation.id, None) is None:
            return
        self.by_token.pop(conversation.token, None)
        if conversation.connection is not None:
            client = self._client_of.get(id(conversation.connection))
            if client is not None:
                client.conversation = None
        conversation.end()
        self.house.leave(conversation)

    def tidy(self) -> None:
        """End what has been silent or lost for too long. To be called every few seconds."""
        now = self._clock()
        for conversation in list(self.by_id.values()):
            lost = conversation.lost_at
            if lost is not None and now - lost > self.limits.resume_seconds:
                self.end(conversation)
            elif now - conversation.last_heard > self.limits.idle_seconds:
                connection = conversation.connection
                self.end(conversation)
                if connection is not None:
                    self.refuse(connection, Refusal("idle"))
                    connection.close(GOING_AWAY, "idle")
        for client in list(self._client_of.values()):
            if client.conversation is None and now - client.since > self.limits.idle_seconds:
                client.connection.close(GOING_AWAY, "idle")

    def clients(self) -> int:
        """Connections that are open."""
        return len(self._client_of)

    def farewell(self, code: int, reason: str) -> None:
        """Close all connections, with a code and a reason of the websocket protocol."""
        for client in list(self._client_of.values()):
            client.connection.close(code, reason)

    def _full(self) -> str:
        return f"all {self.limits.max_conversations:,d} places are taken"
