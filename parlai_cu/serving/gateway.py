"""
Who is let in, and what becomes of each message before a world reads it.

Everything here runs on the IOLoop's thread and does no I/O of its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from parlai_cu.serving import logs, places
from parlai_cu.serving.limits import Addresses, ServiceLimits, same_secret
from parlai_cu.serving.protocol import Message, Refusal, read_frame
from parlai_cu.serving.session import ChatSession, Connection, is_token

# wrong passwords on one connection before it is closed, and how many messages each counts for
_WRONG_PASSWORDS, WRONG_COST = 5, 5.0
# s for a connection to begin a conversation
_TO_BEGIN = 300.0
# what a world that accepts it is told when its user is back; only by us
RESUMED = "resumed"
# websocket close codes: going away, policy, and one of our own
GOING_AWAY, POLICY, TAKEN_OVER = 1001, 1008, 4000


class SessionHost(Protocol):
    """What lies behind the gateway: where conversations are held."""

    def begin(self, conversation: ChatSession) -> None:
        """Let a conversation begin."""

    def close(self, conversation: ChatSession) -> None:
        """A conversation is over: free what it holds."""

    def leave_pool(self, conversation: ChatSession) -> None:
        """The user does not want to wait for another person any more."""

    def find_token(self, token: str, then: Callable[[bool | None], None]) -> None:
        """
        Look whether something is kept from a conversation with this token.

        :param token: what a user has shown
        :param then: called on the IOLoop's thread; with None where it cannot be told just now
        """


@dataclass
class ClientConnection:
    """
    A connection, and whose it is.

    :param connection: how it is reached
    :param conversation: None before it begins, and after it has ended
    :param trusted: whether the password, if there is one, was given
    :param wrong: how many passwords were wrong
    :param since: when it was last heard of, seconds of the gateway's clock
    :param held: messages that wait until it is known whose the connection is; None: none need to
    """

    connection: Connection
    conversation: ChatSession | None = None
    trusted: bool = False
    wrong: int = 0
    since: float = 0.0
    held: list[Message] | None = None


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
        self._tokens_of: dict[str, list[str]] = {}
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
            self.close(conversation)

    # -- messages ----------------------------------------------------------------------------

    def hear(self, client: ClientConnection, frame: str | bytes) -> None:
        """A frame has come from a client: pass it on, or tell them why not."""
        client.since = self._clock()
        message = self._checked(client, frame)
        if isinstance(message, Refusal):
            self.refuse(client.connection, message)
        elif client.held is None:
            self._take(client, message)
        elif len(client.held) < self.limits.max_queue:
            client.held.append(message)
        else:
            why = f"{len(client.held)} messages of yours wait already"
            self.refuse(client.connection, Refusal("busy", why, message.fields.get("mid")))

    def _take(self, client: ClientConnection, message: Message) -> None:
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

    def say(self, conversation: ChatSession, message: Message) -> Refusal | None:
        """Let a conversation have a message; a refusal where it cannot be taken now."""
        conversation.last_heard = self._clock()
        mid = message.fields.get("mid")
        if conversation.pooled:
            if message.text.strip().upper() == "EXIT":
                self.house.leave_pool(conversation)
                return None
            return Refusal("waiting", "", mid)
        accepted = message.type in conversation.accepts and message.type != RESUMED
        if message.type != "message" and not accepted:
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

    def may_guess(self, address: str) -> bool:
        """Whether a password that an address gives is looked at at all."""
        return self.addresses.has(address, self._clock(), WRONG_COST)

    def guessed_wrong(self, address: str) -> None:
        """A password that an address gave was wrong."""
        self.allow(address, WRONG_COST)

    def may_try_token(self, address: str) -> bool:
        """Whether an admin token that an address gives is looked at at all."""
        return self.addresses.may_guess(address, self._clock())

    def wrong_token(self, address: str) -> None:
        """An admin token that an address gave was wrong."""
        self.addresses.guessed_wrong(address, self._clock())

    def _checked(self, client: ClientConnection, frame: str | bytes) -> Message | Refusal:
        if not self.allow(client.connection.address):
            return Refusal("rate")
        message = read_frame(frame, self.limits)
        if self.draining and isinstance(message, Message):
            return Refusal("draining", "", message.fields.get("mid"))
        return message

    # -- who it is ---------------------------------------------------------------------------

    def _greet(self, client: ClientConnection, message: Message) -> None:
        client.connection.modern = True
        given = message.fields.get("password")
        may = client.trusted or self.may_guess(client.connection.address)
        if not client.trusted and may and same_secret(given, self.password):
            client.trusted = True
        if not client.trusted:
            if given is not None:
                self._ask_password(client, None, message.fields.get("mid"))
            client.connection.send(Message("hello", fields={"password": True}))
            return
        if client.conversation is not None:
            return
        token = message.fields.get("token")
        if is_token(token) and token not in self.by_token:
            client.held = []
            self.house.find_token(token, lambda kept: self._found(client, token, kept))
        elif not self._admit(client, token):
            self.refuse(client.connection, Refusal("busy", self._full()))

    def _found(self, client: ClientConnection, token: str, kept: bool | None) -> None:
        """It is known whether a token resumes something: let the conversation begin."""
        held, client.held = client.held or [], None
        if self._client_of.get(id(client.connection)) is not client:
            return  # he has gone
        claimed = None if kept is False else token
        if not self._admit(client, claimed, kept):
            self.refuse(client.connection, Refusal("busy", self._full()))
        for message in held:
            self._take(client, message)

    def _admit(
        self, client: ClientConnection, token: str | None, kept: bool | None = False
    ) -> bool:
        """
        Let a client's conversation begin, or go on; False where all places are taken.

        :param client: who it is
        :param token: what resumes it; one that is not ``kept`` counts where a conversation has it
        :param kept: whether the house has something of that token; None where it cannot tell
        """
        known = self.by_token.get(token) if isinstance(token, str) else None
        if known is not None and isinstance(token, str):
            self._take_up(client, known, token)
            return True
        if not self.room(client.connection.address):
            return False
        claimed = token if kept or kept is None else None
        client.conversation = self.open(client.connection, claimed)
        self._say_hello(client.connection, client.conversation, bool(kept), kept is not None)
        self.house.begin(client.conversation)
        return True

    def _take_up(self, client: ClientConnection, conversation: ChatSession, token: str) -> None:
        """A conversation goes on, on another connection."""
        before = conversation.connection
        if before is not None:
            old = self._client_of.get(id(before))
            if old is not None:
                old.conversation = None
            before.close(TAKEN_OVER, "the conversation goes on in another window")
        client.conversation = conversation
        conversation.last_heard = self._clock()
        self._forget_tokens(conversation)
        conversation.renew_token(token)
        self._note_tokens(conversation)
        self._say_hello(client.connection, conversation, True)
        conversation.attach(client.connection)
        if RESUMED in conversation.accepts:
            conversation.put(Message(RESUMED))

    def renewed(self, conversation: ChatSession) -> None:
        """A conversation has a token that its user does not know yet; those he has are void."""
        if conversation.id in self.by_id:
            self._forget_tokens(conversation)
            self._note_tokens(conversation)
            if conversation.connection is not None:
                self._say_hello(conversation.connection, conversation, False)

    def _note_tokens(self, conversation: ChatSession) -> None:
        for token in (conversation.token, conversation.claimed):
            if token is not None and token not in self.by_token:
                self.by_token[token] = conversation
                self._tokens_of.setdefault(conversation.id, []).append(token)

    def _forget_tokens(self, conversation: ChatSession) -> None:
        for token in self._tokens_of.pop(conversation.id, ()):
            del self.by_token[token]

    def _say_hello(
        self,
        connection: Connection,
        conversation: ChatSession,
        resumed: bool,
        with_token: bool = True,
    ) -> None:
        """Greet a client; where it is unknown whether its token counts, it is to keep that one."""
        if connection.modern:
            limit = self.limits.max_text
            hello: dict[str, Any] = {"resumed": resumed, "max_text": limit, "password": False}
            if with_token:
                hello["token"] = conversation.token
            connection.send(Message("hello", fields=hello))

    def _ask_password(self, client: ClientConnection, given: str | None, mid: str | None) -> None:
        may = self.may_guess(client.connection.address)
        if may and same_secret(given, self.password):
            client.trusted = True
            # as in ParlAI, the conversation begins: the password is not part of it
            if client.conversation is None and not self._admit(client, None):
                self.refuse(client.connection, Refusal("busy", self._full(), mid))
            return
        client.wrong += 1
        self.guessed_wrong(client.connection.address)
        self.refuse(client.connection, Refusal("password" if may else "rate", "", mid))
        if client.wrong >= _WRONG_PASSWORDS:
            client.connection.close(POLICY, "too many wrong passwords")

    # -- conversations -----------------------------------------------------------------------

    def room(self, address: str, by_http: bool = False) -> bool:
        """
        Whether one more conversation may begin; one that needs its place least makes room for it.

        :param address: whose it is going to be
        :param by_http: whether it has no connection
        """
        if len(self.by_id) < self.limits.max_conversations:
            return True
        gives_way = places.least_needed(self.by_id.values(), address, by_http, self._clock())
        if gives_way is None:
            return False
        self._on_refusal("gave_way")
        self.close(gives_way, Refusal("busy", self._full()))
        return True

    def open_by_http(self, address: str) -> ChatSession | Refusal:
        """
        A new conversation without a connection; :meth:`SessionHost.begin` is still to be called.

        :param address: whose it is
        """
        waiting = [one for one in self.by_id.values() if one.by_http and one.address == address]
        if len(waiting) >= self.limits.waiting_per_address:
            return Refusal("busy", f"{len(waiting)} conversations of your address are open already")
        if not self.room(address, by_http=True):
            return Refusal("busy", "all places are taken")
        conversation = self.open(None)
        conversation.address, conversation.by_http = address, True
        return conversation

    def open(self, connection: Connection | None, token: str | None = None) -> ChatSession:
        """
        A new conversation; :meth:`SessionHost.begin` is still to be called.

        :param connection: the user's, if they are there
        :param token: what he says that resumes the conversation
        """
        conversation = ChatSession(self._post, self.busy, self._on_answer, self._clock, token)
        self.by_id[conversation.id] = conversation
        self._note_tokens(conversation)
        if connection is not None:
            conversation.address = connection.address
            conversation.attach(connection)
        return conversation

    def close(self, conversation: ChatSession, reason: Refusal | None = None) -> None:
        """
        End a conversation and free what it holds.

        With a ``reason`` its user is told so and the connection closes; without one it stays open.
        """
        if self.by_id.pop(conversation.id, None) is None:
            return
        connection = conversation.connection
        self._forget_tokens(conversation)
        client = self._client_of.get(id(connection))
        if client is not None:
            client.conversation = None
        conversation.close()
        self.house.close(conversation)
        if connection is not None and reason is not None:
            self.refuse(connection, reason)
            connection.close(GOING_AWAY, reason.code)

    def tidy(self) -> None:
        """End what has been silent or lost for too long. To be called every few seconds."""
        now = self._clock()
        for conversation in list(self.by_id.values()):
            lost = conversation.lost_at
            if lost is not None and now - lost > self.limits.resume_seconds:
                self.close(conversation)
            elif now - conversation.last_heard > self.limits.idle_seconds:
                self.close(conversation, Refusal("idle"))
        for conversation in places.lost_beyond(
            self.by_id.values(), self.limits.waiting_per_address
        ):
            self.close(conversation)
        for client in list(self._client_of.values()):
            patience = min(_TO_BEGIN, self.limits.idle_seconds)
            if client.conversation is None and now - client.since > patience:
                client.connection.close(GOING_AWAY, "idle")

    def clients(self) -> int:
        """Connections that are open."""
        return len(self._client_of)

    def close_all(self, code: int, reason: str) -> None:
        """Close all connections, with a code and a reason of the websocket protocol."""
        for client in list(self._client_of.values()):
            client.connection.close(code, reason)

    def _full(self) -> str:
        return f"all {self.limits.max_conversations:,d} places are taken"
