"""
What a service lets its users do, with the defaults; and who has used up how much of it.

Nothing here does I/O or reads a clock of its own: time is given.
"""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

# addresses whose use is remembered; the least recently seen are forgotten
_REMEMBERED = 10_000


@dataclass(frozen=True)
class ServiceLimits:
    """
    All limits of a service. Each is a flag of ``parlai serve`` and may stand in config.yml.

    :param max_text: characters of a message
    :param max_frame: bytes of a websocket frame or HTTP body; up to 16 times as many are answered
        by an error message, beyond that the connection is closed (1009)
    :param max_queue: messages of one user that wait; the next is answered by "busy"
    :param max_conversations: conversations at once; the next is answered by "busy"
    :param max_waiting: turns that wait for the model; the next is answered by "busy"
    :param max_unsent: bytes that wait for a slow reader before they are disconnected
    :param connections_per_address: open connections from one address
    :param turns_per_second: messages a second from one address, in the long run
    :param turns_at_once: messages from one address in a burst
    :param idle_seconds: silence of a user after which the conversation ends
    :param resume_seconds: for how long a lost conversation can be taken up again
    :param ping_seconds: between pings; a peer that does not answer within one is gone
    :param drain_seconds: for turns under way when the service is told to stop
    """

    max_text: int = 4000
    max_frame: int = 64 * 1024
    max_queue: int = 16
    max_conversations: int = 1000
    max_waiting: int = 2048
    max_unsent: int = 1024 * 1024
    connections_per_address: int = 64
    turns_per_second: float = 20.0
    turns_at_once: int = 60
    idle_seconds: float = 1800.0
    resume_seconds: float = 300.0
    ping_seconds: float = 30.0
    drain_seconds: float = 30.0


class Addresses:
    """
    What each address uses: open connections, and a token bucket of messages.

    :param limits: how much it may
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self.limits = limits
        self._connections: dict[str, int] = {}
        # address -> (messages it may still send at once, when that was)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def connect(self, address: str) -> bool:
        """Whether an address may connect once more; if so, :meth:`disconnect` must follow."""
        if self._connections.get(address, 0) >= self.limits.connections_per_address:
            return False
        self._connections[address] = self._connections.get(address, 0) + 1
        return True

    def disconnect(self, address: str) -> None:
        """A connection of an address that was let in has closed."""
        left = self._connections.get(address, 0) - 1
        if left > 0:
            self._connections[address] = left
        else:
            self._connections.pop(address, None)

    def take(self, address: str, now: float, cost: float = 1.0) -> bool:
        """
        Whether one more message of an address is let through.

        :param address: whose it is
        :param now: seconds of any steady clock
        :param cost: how many messages this one counts for
        """
        full = float(self.limits.turns_at_once)
        left, at = self._buckets.pop(address, (full, now))
        left = min(full, left + (now - at) * self.limits.turns_per_second)
        allowed = left >= cost
        self._buckets[address] = (left - cost if allowed else left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return allowed


def same_secret(given: Any, wanted: str | None) -> bool:
    """
    Compare a password or token in constant time.

    :param given: what the user sent
    :param wanted: the secret; None, and one that is empty, lets nobody in
    """
    if not wanted or not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def origin_allowed(origin: str | None, host: str, allowed: tuple[str, ...] = ()) -> bool:
    """
    Whether a page from ``origin`` may talk to the service at ``host``.

    :param origin: the Origin header; None where the client is no browser
    :param host: the Host header
    :param allowed: origins let in beside the service's own, e.g. ``https://shop.example``; ``*``
        lets in all
    """
    if origin is None or "*" in allowed:
        return True
    if origin.rstrip("/").lower() in {each.rstrip("/").lower() for each in allowed}:
        return True
    return bool(host) and urlparse(origin).netloc.lower() == host.lower()
