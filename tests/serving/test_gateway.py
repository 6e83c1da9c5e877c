"""parlai_cu/serving/gateway.py: who is let in, lost and found again, by a clock of the test's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from parlai_cu.serving.gateway import POLICY, TAKEN_OVER, ClientConnection, Gateway
from parlai_cu.serving.limits import ServiceLimits
from parlai_cu.serving.protocol import Message
from parlai_cu.serving.session import ChatSession


class Line:
    """A connection that notes what is sent."""

    def __init__(self, address: str = "a") -> None:
        self.address, self.modern = address, False
        self.heard: list[Mapping[str, Any]] = []
        self.closed: int | None = None

    def send(self, message: Message) -> None:
        """Note it."""
        self.heard.append(message.content())

    def close(self, code: int, reason: str) -> None:
        """Note why."""
        self.closed = code


class House:
    """Where conversations are held; it notes which."""

    def __init__(self) -> None:
        self.inside: list[ChatSession] = []
        # None: it cannot be told
        self.kept: list[str] | None = []
        self.asked: list[Any] = []
        self.answers = True

    def begin(self, conversation: ChatSession) -> None:
        """One begins."""
        self.inside.append(conversation)

    def close(self, conversation: ChatSession) -> None:
        """One is over."""
        self.inside.remove(conversation)

    def leave_pool(self, conversation: ChatSession) -> None:
        """Nobody waits here."""

    def find_token(self, token: str, then: Any) -> None:
        """Of those that were kept; at once, or when the test says so."""
        kept = None if self.kept is None else token in self.kept
        self.asked.append(lambda: then(kept))
        if self.answers:
            self.asked.pop()()


class Desk:
    """A gateway, its house, and a clock that is set by hand."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.house = House()
        password = limits.pop("password", None)
        self.refused: list[str] = []
        self.gateway = Gateway(
            self.house,
            ServiceLimits(**limits),
            lambda function, *arguments: function(*arguments),
            password,
            on_refusal=self.refused.append,
            clock=lambda: self.now,
        )

    def arrive(self, address: str = "a") -> ClientConnection:
        """Somebody connects."""
        client = self.gateway.arrive(Line(address))
        assert client is not None
        return client

    def send(self, client: ClientConnection, **message: Any) -> list[dict[str, Any]]:
        """A client sends something; what he is sent at once."""
        line: Any = client.connection
        before = len(line.heard)
        self.gateway.hear(client, json.dumps(message))
        return [dict(each) for each in line.heard[before:]]


def test_the_first_message_begins_a_conversation() -> None:
    """It is the first that is read."""
    desk = Desk()
    client = desk.arrive()
    assert desk.send(client, text="hi") == []
    (conversation,) = desk.house.inside
    assert conversation.take().text == "hi"  # type: ignore[union-attr]


def test_hello_tells_the_token() -> None:
    """The conversation begins at once, and its token is no other's."""
    desk = Desk()
    tokens = {desk.send(desk.arrive(), type="hello")[0]["token"] for _ in range(10)}
    assert len(tokens) == 10 and all(len(token) >= 32 for token in tokens)


def test_a_lost_conversation_goes_on() -> None:
    """Within the time; what was said meanwhile follows."""
    desk = Desk(resume_seconds=60)
    client = desk.arrive()
    token = desk.send(client, type="hello")[0]["token"]
    (conversation,) = desk.house.inside
    desk.gateway.depart(client)
    conversation.send({"text": "are you there?"})
    conversation.send({"type": "typing"})
    desk.now += 59
    desk.gateway.tidy()
    back = desk.send(desk.arrive("b"), type="hello", token=token)
    assert [each["type"] for each in back] == ["hello", "message"]
    assert back[0]["resumed"] and back[0]["token"] != token
    assert desk.house.inside == [conversation]


def test_a_lost_conversation_ends_after_its_time() -> None:
    """And its token is worth nothing."""
    desk = Desk(resume_seconds=60)
    client = desk.arrive()
    token = desk.send(client, type="hello")[0]["token"]
    desk.gateway.depart(client)
    desk.now += 61
    desk.gateway.tidy()
    assert desk.house.inside == [] and desk.gateway.by_token == {}
    told = desk.send(desk.arrive(), type="hello", token=token)[0]
    assert told["token"] != token and not told["resumed"]


OLD, MADE_UP = "k" * 32, "m" * 32


def test_a_token_that_the_house_has_kept() -> None:
    """After a restart the conversation goes on, by another token; a made-up one is not taken."""
    desk = Desk()
    desk.house.kept = [OLD]
    told = desk.send(desk.arrive(), type="hello", token=OLD)[0]
    assert told["token"] != OLD and told["resumed"]
    assert desk.house.inside[0].claimed == OLD
    told = desk.send(desk.arrive(), type="hello", token=MADE_UP)[0]
    assert told["token"] != MADE_UP and not told["resumed"]
    assert desk.house.inside[1].claimed is None


def test_tokens_of_another_kind() -> None:
    """What we do not issue over this line is not even looked for."""
    desk = Desk()
    desk.house.answers = False
    others = ["messenger:1:2", "", "x" * 31, "x" * 33, "done:abc", "é" * 32, 5, None, ["k" * 32]]
    for other in others:
        told = desk.send(desk.arrive(), type="hello", token=other)[0]
        assert told["type"] == "hello" and not told["resumed"]
    assert desk.house.asked == []


def test_while_it_is_looked_for() -> None:
    """What is said meanwhile waits in its order, and only so much of it; nobody else waits."""
    desk = Desk(max_queue=2)
    desk.house.answers = False
    client = desk.arrive()
    assert desk.send(client, type="hello", token=OLD) == []
    assert desk.send(client, text="one") == [] and desk.send(client, text="two") == []
    assert desk.send(client, text="three")[0]["code"] == "busy"
    assert desk.send(desk.arrive(), type="hello")[0]["type"] == "hello"
    desk.house.asked.pop()()
    conversation = client.conversation
    assert conversation is not None
    assert [conversation.take().text for _ in range(2)] == ["one", "two"]  # type: ignore[union-attr]
    gone = desk.arrive()
    desk.send(gone, type="hello", token=MADE_UP)
    desk.gateway.depart(gone)
    desk.house.asked.pop()()
    assert len(desk.house.inside) == 2


def test_when_it_cannot_be_told() -> None:
    """The chat begins; the client keeps its token, by which it finds the same chat again."""
    desk = Desk()
    desk.house.kept = None
    client = desk.arrive()
    told = desk.send(client, type="hello", token=OLD)[0]
    assert told["type"] == "hello" and "token" not in told and not told["resumed"]
    desk.gateway.depart(client)
    assert desk.send(desk.arrive(), type="hello", token=OLD)[0]["resumed"]
    assert len(desk.house.inside) == 1


def test_tokens_change() -> None:
    """Each time it is resumed; the one before counts until the new one is used, no other does."""
    desk = Desk()
    desk.house.kept = []
    first = desk.send(desk.arrive(), type="hello")[0]["token"]
    second = desk.send(desk.arrive(), type="hello", token=first)[0]["token"]
    # its answer was lost on the way
    third = desk.send(desk.arrive(), type="hello", token=first)[0]["token"]
    assert not desk.send(desk.arrive(), type="hello", token=second)[0]["resumed"]
    assert desk.send(desk.arrive(), type="hello", token=third)[0]["resumed"]
    assert not desk.send(desk.arrive(), type="hello", token=first)[0]["resumed"]
    (conversation, *_) = desk.house.inside
    desk.gateway.close(conversation)
    assert all(one is not conversation for one in desk.gateway.by_token.values())


def test_a_new_token_when_it_is_over() -> None:
    """What resumed it resumes nothing; the client is sent the new one."""
    desk = Desk()
    client = desk.arrive()
    token = desk.send(client, type="hello")[0]["token"]
    assert client.conversation is not None
    client.conversation.forget_tokens()
    desk.gateway.renewed(client.conversation)
    line: Any = client.connection
    assert line.heard[-1]["type"] == "hello" and line.heard[-1]["token"] != token
    assert not desk.send(desk.arrive(), type="hello", token=token)[0]["resumed"]


def test_only_we_say_that_somebody_is_back() -> None:
    """A client's own "resumed" is no message."""
    desk = Desk()
    client = desk.arrive()
    desk.send(client, text="hi")
    assert client.conversation is not None
    client.conversation.accepts = ("resumed",)
    assert desk.send(client, type="resumed", token=OLD)[0]["code"] == "malformed"


def test_another_window() -> None:
    """The conversation goes on there; the first one's end does not end it."""
    desk = Desk()
    first, second = desk.arrive(), desk.arrive()
    token = desk.send(first, type="hello")[0]["token"]
    desk.send(second, type="hello", token=token)
    line: Any = first.connection
    assert line.closed == TAKEN_OVER
    desk.gateway.depart(first)
    (conversation,) = desk.house.inside
    assert conversation.connection is second.connection


def test_who_did_not_say_hello_is_forgotten_at_once() -> None:
    """He could not take it up again."""
    desk = Desk()
    client = desk.arrive()
    desk.send(client, text="hi")
    desk.gateway.depart(client)
    assert desk.house.inside == [] and desk.gateway.clients() == 0


def test_a_lost_conversation_makes_room() -> None:
    """Where all places are taken, the one that was lost first gives way; others do not."""
    desk = Desk(max_conversations=2)
    lost, here = desk.arrive(), desk.arrive()
    desk.send(lost, type="hello")
    desk.send(here, type="hello")
    desk.gateway.depart(lost)
    assert desk.send(desk.arrive(), type="hello")[0]["type"] == "hello"
    assert len(desk.house.inside) == 2
    told = desk.send(desk.arrive(), type="hello")[0]
    assert told["code"] == "busy" and here.conversation in desk.house.inside


def test_too_many_connections_and_messages() -> None:
    """Of one address; another's are let in."""
    desk = Desk(connections_per_address=1, turns_at_once=2, turns_per_second=1)
    client = desk.arrive()
    assert desk.gateway.arrive(Line()) is None
    other = desk.arrive("b")
    told = [desk.send(client, text="hi") for _ in range(3)]
    assert told[:2] == [[], []] and told[2][0]["code"] == "rate"
    assert desk.send(other, text="hi") == []
    desk.now += 1
    assert desk.send(client, text="hi") == []
    assert desk.refused == ["connections", "rate"]


def test_too_many_messages_that_wait() -> None:
    """Of one user: an honest "busy"."""
    desk = Desk(max_queue=2)
    client = desk.arrive()
    told = [desk.send(client, text=str(number), mid=str(number)) for number in range(3)]
    assert told[2][0]["code"] == "busy" and told[2][0]["mid"] == "2"
    assert "2 messages of yours wait already" in told[2][0]["text"]


def test_passwords() -> None:
    """In hello or as the first message; nothing is let through before; guesses are few."""
    desk = Desk(password="open", turns_at_once=100)
    assert desk.send(desk.arrive(), text="open") == [] and len(desk.house.inside) == 1
    polite = desk.arrive()
    assert desk.send(polite, type="hello")[0]["password"] is True
    wrong = desk.send(polite, type="hello", password="opem")
    assert [each.get("code") for each in wrong] == ["password", None]
    assert desk.send(polite, type="hello", password="open")[0]["password"] is False
    guesser = desk.arrive()
    for number in range(5):
        assert desk.send(guesser, text=str(number))[0]["code"] == "password"
    line: Any = guesser.connection
    assert line.closed == POLICY and len(desk.house.inside) == 2


def test_guesses_use_up_the_address() -> None:
    """A wrong password counts for several messages, on however many connections."""
    desk = Desk(password="open", turns_at_once=12, turns_per_second=0)
    codes = [desk.send(desk.arrive(), text="x")[0]["code"] for _ in range(3)]
    assert codes == ["password", "password", "rate"]


@pytest.mark.parametrize("kind", ["rating", "x" * 100])
def test_kinds_that_the_world_does_not_take(kind: str) -> None:
    """The user is told; a world that takes ratings is given them."""
    desk = Desk()
    client = desk.arrive()
    desk.send(client, text="hi")
    told = desk.send(client, type=kind, rating="up")[0]
    assert told["code"] == "malformed" and f"takes no '{kind[:40]}'" in told["text"]
    (conversation,) = desk.house.inside
    conversation.accepts = ("rating",)
    conversation.take()
    desk.send(client, type="rating", rating="up", turn=1)
    act = conversation.take()
    assert act is not None and act.fields == {"rating": "up", "turn": 1}


def test_a_turn_is_open_until_the_world_waits() -> None:
    """A message that came meanwhile keeps it open."""
    desk = Desk()
    client = desk.arrive()
    desk.send(client, text="one")
    (conversation,) = desk.house.inside
    posted: list[Any] = []
    conversation._post = lambda function, *arguments: posted.append((function, arguments))
    conversation.take()
    conversation.waits()
    desk.send(client, text="two")
    conversation.take()
    (settled, arguments), posted[:] = posted[0], []
    settled(*arguments)
    assert conversation in desk.gateway.busy
    conversation.waits()
    (settled, arguments) = posted[0]
    settled(*arguments)
    assert conversation not in desk.gateway.busy
