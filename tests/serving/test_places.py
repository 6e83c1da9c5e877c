"""parlai_cu/serving/places.py: who gives way when all places are taken."""

from typing import Any

import pytest

from parlai_cu.serving import places
from parlai_cu.serving.protocol import Refusal
from tests.serving.test_gateway import Desk


def by_http(desk: Desk, address: str, count: int, turns: int = 0) -> list[Any]:
    """Conversations by HTTP; those that were let in."""
    made = [desk.gateway.open_by_http(address) for _ in range(count)]
    found = [one for one in made if not isinstance(one, Refusal)]
    for one in found:
        one.turn = turns
        desk.house.begin(one)
    return found


def hello(desk: Desk, address: str) -> dict[str, Any]:
    """What somebody who connects is told."""
    return desk.send(desk.arrive(address), type="hello")[0]


def test_places_taken_by_http() -> None:
    """One address has so many; others come in in spite of them, and real visitors always."""
    desk = Desk(max_conversations=10, waiting_per_address=8)
    assert len(by_http(desk, "hog", 20)) == 8
    assert len(by_http(desk, "other", 20)) == 5  # until both have as many
    assert [hello(desk, "hog")["type"] for _ in range(10)] == ["hello"] * 10
    assert {one.by_http for one in desk.gateway.by_id.values()} == {False}
    assert by_http(desk, "hog", 1) == []


@pytest.mark.parametrize("turns, silence, let_in", [(0, 0, 5), (3, 0, 0), (3, 61, 5)])
def test_those_that_are_used(turns: int, silence: float, let_in: int) -> None:
    """A conversation by HTTP that somebody talks in stays; silent ones give way."""
    desk = Desk(max_conversations=5)
    by_http(desk, "a", 5, turns)
    desk.now += silence
    assert [hello(desk, "a")["type"] for _ in range(5)].count("hello") == let_in


def test_places_taken_by_connections() -> None:
    """Who holds most gives way to who holds least: unused first, then the longest silent."""
    desk = Desk(max_conversations=4, connections_per_address=10)
    hog = [desk.arrive("hog") for _ in range(4)]
    for client in hog:
        desk.send(client, type="hello")
    for client in hog[1:]:
        desk.send(client, text="hi")
    assert hello(desk, "guest")["code"] == "busy"  # all have just begun
    desk.now += places.FIRST + 1
    assert hello(desk, "guest")["type"] == "hello"
    line: Any = hog[0].connection
    assert line.closed is not None and hog[0].conversation is None
    assert hello(desk, "another")["code"] == "busy"  # the others are in use
    desk.now += places.SILENT
    desk.send(hog[1], text="still here")
    assert hello(desk, "another")["type"] == "hello"
    assert hog[1].conversation is not None
    desk.now += 1000
    # now each address has a fair share
    assert hello(desk, "guest")["code"] == "busy" and hello(desk, "hog")["code"] == "busy"


def test_lost_ones_of_one_address() -> None:
    """They are held for those who come back, but not without end."""
    desk = Desk(waiting_per_address=3)
    for _ in range(10):
        client = desk.arrive("hog")
        desk.send(client, type="hello")
        desk.gateway.depart(client)
        desk.now += 0.1
    newest = list(desk.gateway.by_id)[-3:]
    desk.gateway.tidy()
    assert list(desk.gateway.by_id) == newest


def test_connections_that_begin_nothing() -> None:
    """They are closed long before a conversation would be."""
    desk = Desk()
    silent: Any = desk.arrive().connection
    desk.now += 301
    desk.gateway.tidy()
    assert silent.closed is not None
