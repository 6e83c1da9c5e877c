"""
Who is let in, and what becomes of each message before a world reads it.

Everything here runs on the IOLoop's thread and does no I/O of its own.
"""

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Set, Union

from parlai_cu.serving import logs
from parlai_cu.serving.conversation import Connection, Conversation
from parlai_cu.serving.limits import Addresses, Limits, same_secret
from parlai_cu.serving.protocol import Incoming, Refusal, read_frame

# wrong passwords on one connection before it is closed, and how many messages each counts for
_WRONG_PASSWORDS, WRONG_COST = 5, 5.0
# websocket close codes: going away, policy, and one of our own
GOING_AWAY, POLICY, TAKEN_OVER = 1001, 1008, 4000


class House(Protocol):
    """What lies behind the reception: where conversations are held."""

    def begin(self, conversation: Conversation) -> None:
        """Let a conversation begin."""

    def leave(self, conversation: Conversation) -> None:
        """A conversation is over: free what it holds."""

    def leave_pool(self, conversation: Conversation) -> None:
        """The user does not want to wait for another person any more."""

    def knows_token(self, token: str) -> bool:
        """Whether something is kept from a conversation with this token."""


@dataclass
class Guest:
    """
    A connection, and whose it is.

    :param connection: how it is reached
    :param conversation: None before it begins, and after it has ended
    :param trusted: whether the password, if there is one, was given
    :param wrong: how many passwords were wrong
    :param since: when it was last heard of, seconds of the reception's clock
    """

    connection: Connection
    conversation: Optional[Conversation] = None
    trusted: bool = False
    wrong: int = 0
    # when it was last heard of
    since: float = 0.0


class Reception:
    """
    The guests of a service and their conversations.

    :param house: where conversations are held
    :param limits: what guests may do
    :param post: runs a function on the IOLoop's thread, from any thread
    :param password: what must be known to be let in; None for all
    :param on_answer: told the seconds from each message to its first answer
    :param on_refusal: told the code of each refusal
    :param clock: seconds of a steady clock
    """

    def __init__(
        self,
        house: House,
        limits: Limits,
        post: Callable[..., Any],
        password: Optional[str] = None,
        on_answer: Callable[[float], None] = lambda seconds: None,
        on_refusal: Callable[[str], None] = lambda code: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.house, self.limits, self.password = house, limits, password
        self.addresses = Addresses(limits)
        self.by_id: Dict[str, Conversation] = {}
        self.by_token: Dict[str, Conversation] = {}
        self.busy: Set[Conversation] = set()
        self.draining = False
        self._guest_of: Dict[int, Guest] = {}
        self._post, self._clock = post, clock
        self._on_answer, self._on_refusal = on_answer, on_refusal

    # -- connections -------------------------------------------------------------------------

    def arrive(self, connection: Connection) -> Optional[Guest]:
        """A connection opens; None where its address has too many already."""
        if not self.addresses.connect(connection.address):
            self._on_refusal("connections")
            return None
        guest = Guest(connection, trusted=self.password is None, since=self._clock())
        self._guest_of[id(connection)] = guest
        return guest

    def depart(self, guest: Guest) -> None:
        """A connection has closed: its conversation is held for a while, or ends."""
        self.addresses.disconnect(guest.connection.address)
        self._guest_of.pop(id(guest.connection), None)
        conversation, guest.conversation = guest.conversation, None
        if conversation is None or conversation.connection is not guest.connection:
            return  # it has ended, or goes on elsewhere
        conversation.detach()
        if not (guest.connection.modern and self.limits.resume_seconds > 0 and not self.draining):
            self.end(conversation)

    # -- messages ----------------------------------------------------------------------------

    def hear(self, guest: Guest, frame: Union[str, bytes]) -> None:
        """A frame has come from a guest: pass it on, or tell him why not."""
        guest.since = self._clock()
        message = self._checked(guest, frame)
        if isinstance(message, Refusal):
            self.refuse(guest.connection, message)
            return
        if message.type == "hello":
            self._greet(guest, message)
            return
        mid = message.fields.get("mid")
        if not guest.trusted:
            self._ask_password(guest, message.text, mid)
            return
        if guest.conversation is None and not self._admit(guest, None):
            self.refuse(guest.connection, Refusal("busy", self._full(), mid))
            return
        assert guest.conversation is not None
        refusal = self.say(guest.conversation, message)
        if refusal is not None:
            self.refuse(guest.connection, refusal)

    def say(self, conversation: Conversation, message: Incoming) -> Optional[Refusal]:
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
        """Tell a guest that his message was not taken."""
        self._on_refusal(refusal.code)
        connection.send(refusal.message())

    def allow(self, address: str, cost: float = 1.0) -> bool:
        """Whether an address may send one more message now; ``cost``: how many it counts for."""
        return self.addresses.take(address, self._clock(), cost)

    def _checked(self, guest: Guest, frame: Union[str, bytes]) -> Union[Incoming, Refusal]:
        if not self.allow(guest.connection.address):
            return Refusal("rate")
        message = read_frame(frame, self.limits)
        if self.draining and isinstance(message, Incoming):
            return Refusal("draining", "", message.fields.get("mid"))
        return message

    # -- who it is ---------------------------------------------------------------------------

    def _greet(self, guest: Guest, message: Incoming) -> None:
        guest.connection.modern = True
        if not guest.trusted and same_secret(message.fields.get("password"), self.password):
            guest.trusted = True
        if not guest.trusted:
            if message.fields.get("password") is not None:
                self._ask_password(guest, None, message.fields.get("mid"))
            guest.connection.send({"type": "hello", "text": "", "password": True})
            return
        token = message.fields.get("token")
        if guest.conversation is None and not self._admit(guest, token):
            self.refuse(guest.connection, Refusal("busy", self._full()))

    def _admit(self, guest: Guest, token: Any) -> bool:
        """Let a guest's conversation begin, or go on; False where all places are taken."""
        known = self.by_token.get(token) if isinstance(token, str) else None
        if known is not None:
            self._take_up(guest, known)
            return True
        if not self.room():
            return False
        kept = isinstance(token, str) and self.house.knows_token(token)
        guest.conversation = self.open(guest.connection, token if kept else None)
        self._say_hello(guest.connection, guest.conversation, kept)
        self.house.begin(guest.conversation)
        return True

    def _take_up(self, guest: Guest, conversation: Conversation) -> None:
        """A conversation goes on, on another connection."""
        before = conversation.connection
        if before is not None:
            old = self._guest_of.get(id(before))
            if old is not None:
                old.conversation = None
            before.close(TAKEN_OVER, "the conversation goes on in another window")
        guest.conversation = conversation
        conversation.last_heard = self._clock()
        self._say_hello(guest.connection, conversation, True)
        conversation.attach(guest.connection)
        if "resumed" in conversation.accepts:
            conversation.put(Incoming("resumed"))

    def _say_hello(self, connection: Connection, conversation: Conversation, resumed: bool) -> None:
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

    def _ask_password(self, guest: Guest, given: Optional[str], mid: Optional[str]) -> None:
        if same_secret(given, self.password):
            guest.trusted = True
            # as in ParlAI, the conversation begins: the password is not part of it
            if guest.conversation is None and not self._admit(guest, None):
                self.refuse(guest.connection, Refusal("busy", self._full(), mid))
            return
        guest.wrong += 1
        self.allow(guest.connection.address, WRONG_COST)
        self.refuse(guest.connection, Refusal("password", "", mid))
        if guest.wrong >= _WRONG_PASSWORDS:
            guest.connection.close(POLICY, "too many wrong passwords")

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

    def open(self, connection: Optional[Connection], token: Optional[str] = None) -> Conversation:
        """
        A new conversation; :meth:`House.begin` is still to be called.

        :param connection: the user's, if he is there
        :param token: what resumes the conversation; a new one where missing
        """
        conversation = Conversation(self._post, self.busy, self._on_answer, self._clock, token)
        self.by_id[conversation.id] = self.by_token[conversation.token] = conversation
        if connection is not None:
            conversation.attach(connection)
        conversation.begun = True
        return conversation

    def end(self, conversation: Conversation) -> None:
        """End a conversation and free what it holds. The connection, if any, stays open."""
        if self.by_id.pop(conversation.id, None) is None:
            return
        self.by_token.pop(conversation.token, None)
        if conversation.connection is not None:
            guest = self._guest_of.get(id(conversation.connection))
            if guest is not None:
                guest.conversation = None
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
        for guest in list(self._guest_of.values()):
            if guest.conversation is None and now - guest.since > self.limits.idle_seconds:
                guest.connection.close(GOING_AWAY, "idle")

    def guests(self) -> int:
        """Connections that are open."""
        return len(self._guest_of)

    def farewell(self, code: int, reason: str) -> None:
        """Close all connections, with a code and a reason of the websocket protocol."""
        for guest in list(self._guest_of.values()):
            guest.connection.close(code, reason)

    def _full(self) -> str:
        return f"all {self.limits.max_conversations:,d} places are taken"
