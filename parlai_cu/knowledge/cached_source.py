"""
What sources that compose an answer share, be it a model or a service that holds one.

Answers are remembered for a while, what asking costs is counted, and a source that fails again and
again is left alone, so that no conversation waits for it.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from parlai_cu.errors import KnowledgeError, ParlaiCuError
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.types import Evidence, Turn

# answers that can be had again, by the conversation or by their id, and for how long
_REMEMBERED, _REMEMBERED_S = 1000, 600.0
# so many failures in a row, and it is left alone for so long
_FAILURES, _REST_S = 5, 30.0


class CircuitBreaker:
    """
    A circuit breaker (Nygard 2007, "Release It!", chapter 5).

    Those on PyPI hold a lock during a call, so that everybody would wait for one slow answer.

    :param failures: in a row, after which nobody asks
    :param rest_s: for how long; then one may try, and the others only if that went well
    :param clock: seconds, ever growing
    """

    def __init__(
        self,
        failures: int = _FAILURES,
        rest_s: float = _REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.rest_s, self.clock = failures, rest_s, clock
        self._lock = threading.Lock()
        self._failed, self._until = 0, 0.0

    def wait(self) -> float:
        """For how many seconds not to ask. At 0 the caller asks, and tells how it went."""
        with self._lock:
            if self._failed < self.most:
                return 0.0
            now = self.clock()
            if now < self._until:
                return self._until - now
            self._until = now + self.rest_s
            return 0.0

    def succeeded(self) -> None:
        """All is well again."""
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        """One more in a row."""
        with self._lock:
            self._failed += 1
            self._until = self.clock() + self.rest_s


class CachedSource(ReadOnly):
    """
    A source whose answer is composed anew for each conversation.

    :param name: as it is shown
    :param clock: seconds, ever growing
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.breaker = CircuitBreaker(clock=clock)
        self._clock = clock
        self._counting = threading.Lock()
        self._answers: OrderedDict[str, tuple[float, list[Evidence]]] = OrderedDict()
        self._total: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def answer(self, turn: Turn) -> list[Evidence]:
        """Compose it. Whatever is raised is told as a :class:`KnowledgeError`."""
        raise NotImplementedError

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """
        Its answer to the conversation; none where it has none.

        :raises KnowledgeError: when it gave no answer, or failed so often that it is left alone
        """
        key = self.id_of(turn)
        found = self._remembered(key)
        if found is not None:
            self.count("cached", 1)
            return found[:top_k]
        wait = self.breaker.wait()
        if wait:
            raise KnowledgeError(
                f"{self.name}: failed {self.breaker.most} times in a row and is left alone for "
                f"another {wait:.0f} s"
            )
        started = self._clock()
        self.count("calls", 1)
        try:
            found = self.answer(turn)
        except Exception as error:
            self.breaker.failed()
            self.count("failures", 1)
            # of the network and our own errors the words; others may quote what a user wrote
            told = isinstance(error, (ParlaiCuError, OSError))
            raise KnowledgeError(
                f"{self.name}: {error if told else type(error).__name__}"
            ) from error
        finally:
            self.count("seconds", self._clock() - started)
        self.breaker.succeeded()
        self._remember(key, found)
        return found[:top_k]

    def id_of(self, turn: Turn) -> str:
        """What an answer to a conversation is called."""
        said = "\n".join([self.snapshot_id(), *turn.history, turn.text])
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]

    def _remembered(self, key: str) -> list[Evidence] | None:
        with self._counting:
            kept = self._answers.get(key)
            if kept is None or self._clock() - kept[0] > _REMEMBERED_S:
                return None
            self._answers.move_to_end(key)
            return kept[1]

    def _remember(self, key: str, found: list[Evidence]) -> None:
        with self._counting:
            self._answers[key] = (self._clock(), found)
            self._answers.move_to_end(key)
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)

    def count(self, name: str, amount: float) -> None:
        """Add an amount to what asking cost, under a name."""
        with self._counting:
            self._total[name] = self._total.get(name, 0) + amount

    def spent(self) -> dict[str, float]:
        """What asking cost since this was last called."""
        with self._counting:
            new = {name: total - self._told.get(name, 0) for name, total in self._total.items()}
            self._told = dict(self._total)
        return {name: amount for name, amount in new.items() if amount}

    def get(self, fact_id: str) -> Evidence | None:
        """An answer that was given lately."""
        with self._counting:
            kept = self._answers.get(fact_id)
        return kept[1][0] if kept and kept[1] else None

    def stats(self) -> dict[str, Any]:
        """How often it was asked, failed, and how long it took; facts cannot be counted."""
        with self._counting:
            total = dict(self._total)
        calls = total.pop("calls", 0)
        ms = 1000 * total.pop("seconds", 0.0) / max(calls, 1)
        counts = {name: int(amount) for name, amount in total.items()}
        return {
            "facts": 0,
            "snapshot": self.snapshot_id(),
            **{"calls": int(calls), "failures": 0, "cached": 0, **counts, "ms": round(ms, 1)},
        }

    def snapshot_id(self) -> str:
        """Of what answers."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held open."""
