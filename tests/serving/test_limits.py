"""parlai_cu/serving/limits.py: connections and messages of an address, secrets, origins."""

from parlai_cu.serving import limits
from parlai_cu.serving.limits import Addresses, ServiceLimits, origin_allowed


def test_connections_of_one_address() -> None:
    """As many as are allowed; another's do not count, closed ones neither."""
    addresses = Addresses(ServiceLimits(connections_per_address=2))
    assert addresses.connect("a") and addresses.connect("a") and not addresses.connect("a")
    assert addresses.connect("b") and sum(addresses._connections.values()) == 3
    addresses.disconnect("a")
    assert addresses.connect("a")
    for address in ("a", "a", "b", "b"):
        addresses.disconnect(address)
    assert addresses._connections == {}


def test_messages_of_one_address() -> None:
    """A burst at once, then as many as the time gives; another address is not held back."""
    addresses = Addresses(ServiceLimits(turns_per_second=2, turns_at_once=3))
    assert [addresses.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert addresses.take("b", 0.0)
    assert addresses.take("a", 0.5) and not addresses.take("a", 0.5)
    assert [addresses.take("a", 100.0) for _ in range(4)] == [True, True, True, False]
    assert not addresses.take("b", 100.0, cost=3.5)


def test_addresses_are_forgotten(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Only so many are remembered, however many come."""
    monkeypatch.setattr(limits, "_REMEMBERED", 10)
    addresses = Addresses(ServiceLimits())
    for number in range(50):
        addresses.take(str(number), 0.0)
    assert len(addresses._buckets) == 10


def test_origins() -> None:
    """The same host; those named; all; and clients that are no browser."""
    assert origin_allowed("http://chat.example:80", "chat.example:80")
    assert origin_allowed("https://Chat.Example", "chat.example")
    assert not origin_allowed("http://evil.example", "chat.example")
    assert not origin_allowed("http://chat.example.evil", "chat.example")
    assert not origin_allowed("null", "chat.example") and not origin_allowed("null", "")
    assert origin_allowed("http://shop.example/", "chat.example", ("http://shop.example",))
    assert origin_allowed("http://any.example", "chat.example", ("*",))
    assert origin_allowed(None, "chat.example")
