"""What a service counts: for Prometheus, and the last minutes in figures for the operator page."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

# answers whose latency is kept for the percentiles, and s over which turns are counted
_ANSWERS, _WINDOW = 2000, 60.0
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """
    The counters of one service.

    :param live: name -> function that gives the present value (conversations, connections, ...)
    :param clock: seconds of a steady clock
    """

    def __init__(
        self,
        live: dict[str, Callable[[], float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import prometheus_client as prometheus

        self._clock, self._live = clock, live
        # (when, seconds) of the last answers
        self._answers: deque[tuple[float, float]] = deque(maxlen=_ANSWERS)
        # of its own: several services in a process, as in tests, do not share counters
        self.registry = prometheus.CollectorRegistry()
        named: dict[str, Any] = dict(registry=self.registry, namespace="parlai_cu")
        self.answer_seconds = prometheus.Histogram(
            "answer_seconds", "From a message to its first answer", buckets=_SECONDS, **named
        )
        self.batch_turns = prometheus.Histogram(
            "batch_turns", "Turns in one batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128), **named
        )
        self.batch_seconds = prometheus.Histogram(
            "batch_seconds", "Seconds a batch took the model", buckets=_SECONDS, **named
        )
        self.refused = prometheus.Counter(
            "refused_total", "Messages and connections refused, by reason", ["reason"], **named
        )
        self.failed = prometheus.Counter(
            "failed_total", "What failed: a model's turn, or a world", ["what"], **named
        )
        self.begun = prometheus.Counter("conversations_begun_total", "Conversations begun", **named)
        self._gauge: Callable[[str], Any] = lambda name: prometheus.Gauge(
            name, name.replace("_", " "), **named
        )
        for name, value in live.items():
            self._gauge(name).set_function(value)
        # name -> what is told of it to people
        self._shown: dict[str, Callable[[], dict[str, Any]]] = {}
        self._text = prometheus.generate_latest
        self.content_type = prometheus.CONTENT_TYPE_LATEST

    def show(
        self, name: str, value: Callable[[], float], told: Callable[[], dict[str, Any]]
    ) -> None:
        """
        Show one more thing.

        :param name: of the gauge
        :param value: its present value
        :param told: the same in plain values, for the operator's page
        """
        if name not in self._shown:
            self._gauge(name).set_function(value)
        self._shown[name] = told

    def answered(self, seconds: float) -> None:
        """A message got its first answer after so many seconds. From any thread."""
        self._answers.append((self._clock(), seconds))
        self.answer_seconds.observe(seconds)

    def batch(self, turns: int, seconds: float) -> None:
        """The model answered a batch of turns in so many seconds. From any thread."""
        self.batch_turns.observe(turns)
        self.batch_seconds.observe(seconds)

    def refusal(self, reason: str) -> None:
        """Something was refused, for a reason (a word)."""
        self.refused.labels(reason=reason).inc()

    def failure(self, what: str) -> None:
        """Something failed: ``what``, in a word."""
        self.failed.labels(what=what).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        shown: bytes = self._text(self.registry)
        return shown

    def status(self) -> dict[str, Any]:
        """Figures for people: turns a second over the last minute, and latency percentiles."""
        now = self._clock()
        answers = list(self._answers)
        recent = [seconds for at, seconds in answers if now - at <= _WINDOW]
        # under load the kept answers reach back less than a minute
        span = _WINDOW if len(answers) < _ANSWERS else min(_WINDOW, max(1e-3, now - answers[0][0]))
        figures: dict[str, Any] = {name: value() for name, value in self._live.items()}
        figures.update({name: told() for name, told in self._shown.items()})
        figures["turns_per_second"] = round(len(recent) / span, 3)
        for share in (50, 95, 99):
            figures[f"latency_p{share}_ms"] = percentile(recent, share)
        return figures


def percentile(seconds: Any, share: int) -> Any:
    """
    A percentile in ms, by the nearest rank; None of nothing.

    :param seconds: the values
    :param share: 0 to 100
    """
    if not seconds:
        return None
    ranked = sorted(seconds)
    return round(1000 * ranked[min(len(ranked) - 1, int(len(ranked) * share / 100))], 2)
