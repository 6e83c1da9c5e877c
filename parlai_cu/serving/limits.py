"""
What a service lets its users do, with the defaults; and who has used up how much of it.

Nothing here does I/O or reads a clock of its own: time is given.
"""

import hmac
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlparse, urlsplit

# addresses whose use is remembered; those that have all their tokens again are forgotten
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
    :param waiting_per_address: conversations of one address without a connection: those of the HTTP
        API, and lost ones
    :param max_connections: open at once, in all; fewer where the system gives fewer descriptors
    :param header_seconds: for a request's headers, and between two requests
    :param body_seconds: for a request's body
    :param write_seconds: for which a reader may take nothing of what waits for them
    :param turns_per_second: messages a second from one address, in the long run
    :param turns_at_once: messages from one address in a burst
    :param guesses_at_once: wrong admin tokens of one address in a burst; then none is compared
    :param guesses_per_minute: in the long run
    :param idle_seconds: silence of a user after which the conversation ends
    :param resume_seconds: for how long a lost conversation can be taken up again
    :param ping_seconds: between pings; a peer that does not answer within one is gone
    :param drain_seconds: for turns under way when the service is told to stop
    :param turn_seconds: that the model may take for a batch; then those turns get an apology, and
        another thread takes the place of the model's
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
    guesses_at_once: int = 10
    guesses_per_minute: float = 6.0
    waiting_per_address: int = 32
    max_connections: int = 4096
    header_seconds: float = 20.0
    body_seconds: float = 20.0
    write_seconds: float = 30.0
    idle_seconds: float = 1800.0
    resume_seconds: float = 300.0
    ping_seconds: float = 30.0
    drain_seconds: float = 30.0
    turn_seconds: float = 120.0


class Buckets:
    """
    A token bucket for each address, and one more for all that find no place.

    :param rate: tokens a second, in the long run
    :param burst: tokens at once
    :param overflow: how many addresses' worth those share that find no place
    """

    def __init__(self, rate: float, burst: float, overflow: float = 10.0) -> None:
        self.rate, self.burst = rate, float(burst)
        # address -> (tokens left, when that was), the least recently seen first
        self.left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._overflow, self._shared = overflow, (self.burst * overflow, 0.0)

    def has(self, address: str, now: float, cost: float = 1.0) -> bool:
        """
        Whether an address has so many tokens left.

        :param address: whose they are
        :param now: seconds of any steady clock
        :param cost: how many tokens
        """
        return self._now(address, now)[0] >= cost

    def take(self, address: str, now: float, cost: float = 1.0) -> bool:
        """
        Take tokens of an address, if it has so many.

        :param address: whose they are
        :param now: seconds of any steady clock
        :param cost: how many tokens
        """
        left, shared = self._now(address, now)
        allowed = left >= cost
        left -= cost if allowed else 0.0
        if shared:
            self._shared = (left, now)
        else:
            self.left[address] = (left, now)
            self.left.move_to_end(address)
        return allowed

    def _now(self, address: str, now: float) -> tuple[float, bool]:
        """What is left for an address, and whether it is of the bucket that is shared."""
        known = self.left.get(address)
        if known is not None:
            return min(self.burst, known[0] + (now - known[1]) * self.rate), False
        if self._room(now):
            return self.burst, False
        left, at = self._shared
        most = self.burst * self._overflow
        return min(most, left + (now - at) * self.rate * self._overflow), True

    def _room(self, now: float) -> bool:
        """Whether one more address can be remembered: one that is full again is forgotten."""
        while len(self.left) >= _REMEMBERED:
            address, (left, at) = next(iter(self.left.items()))
            if left + (now - at) * self.rate < self.burst:
                return False  # who has used up its own would begin anew
            del self.left[address]
        return True


class Addresses:
    """
    What each address uses: open connections, messages, and guesses at a secret.

    :param limits: how much it may
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self.limits = limits
        self._connections: dict[str, int] = {}
        self._turns = Buckets(limits.turns_per_second, limits.turns_at_once)
        self._guesses = Buckets(limits.guesses_per_minute / 60, limits.guesses_at_once)
        self._buckets = self._turns.left

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
        return self._turns.take(address, now, cost)

    def has(self, address: str, now: float, cost: float) -> bool:
        """
        Whether so many more messages of an address would be let through.

        :param address: whose they are
        :param now: seconds of any steady clock
        :param cost: how many
        """
        return self._turns.has(address, now, cost)

    def may_guess(self, address: str, now: float) -> bool:
        """
        Whether an admin token that an address gives is looked at at all.

        :param address: whose it is
        :param now: seconds of any steady clock
        """
        return self._guesses.has(address, now)

    def guessed_wrong(self, address: str, now: float) -> None:
        """
        An admin token was wrong.

        :param address: whose it is
        :param now: seconds of any steady clock
        """
        self._guesses.take(address, now)


def same_secret(given: object, wanted: str | None) -> bool:
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
    try:
        return bool(host) and urlparse(origin).netloc.lower() == host.lower()
    except ValueError:  # such as http://[
        return False


def host_allowed(host: str, allowed: frozenset[str]) -> bool:
    """
    Whether the service may be called by a name: another site's name that leads here (DNS
    rebinding) would make that site's page our own.

    :param host: the Host header, perhaps with a port
    :param allowed: names in small letters; without any all are. Addresses and localhost always are
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not allowed or name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return name in allowed
