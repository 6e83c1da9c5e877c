"""
Whether a canary does worse than the live version: a rule that may be looked at after every turn.

Three things are counted for both, over the same time: conversations in which a turn failed (an
exception or an empty reply), in which one was slow (longer than twice the live version's median so
far), and in which a reply was rated thumbs down. A conversation counts once for each, from when it
happens first: the turns of one are not independent, conversations are. Each is a probability of
which a confidence sequence is kept: an interval that holds at all times at once, so that looking
often does no harm. The canary goes when its interval lies wholly above the live version's for any
of the three.

For k of n conversations and the Beta(1/2, 1/2) mixture, the sequence at level alpha is::

    { p : B(k + 1/2, n - k + 1/2) / B(1/2, 1/2)  <  p^k (1 - p)^(n - k) / alpha }

(Robbins, Statistical methods related to the law of the iterated logarithm, 1970; Howard et al.,
Time-uniform, nonparametric, nonasymptotic confidence sequences, 2021,
https://arxiv.org/abs/1810.08240). With six intervals at ``risk`` / 6 each, a canary that is as good
as the live version is taken back with a probability of at most ``risk``, however long it runs
(``benchmarks/gate.py`` has the share of such that are, at correlations within a conversation from 0
to .5).
"""

import bisect
import collections
import dataclasses
import math
from collections.abc import Callable

RISK = 0.05
# a turn is slow when it takes longer than so many times the live version's median
SLOW = 2.0
# of the live version's last turns the median is taken of, and how many of them it needs
_WINDOW, _FEWEST = 200, 20
# conversations of which it is known what happened in them
_REMEMBERED = 20_000
FAILED, SLOWED, DISLIKED = "failed", "slow", "rated down"
LIVE, CANARY = "live", "canary"


def interval(count: int, total: int, alpha: float) -> tuple[float, float]:
    """
    A confidence sequence's interval for a probability.

    :param count: how often it happened
    :param total: of how many
    :param alpha: probability that any interval of the sequence ever misses the truth
    """
    if total == 0:
        return 0.0, 1.0
    bound = _log_beta(count + 0.5, total - count + 0.5) - _log_beta(0.5, 0.5) + math.log(alpha)

    def outside(p: float) -> bool:
        return _log_likelihood(p, count, total) <= bound

    middle = count / total
    return _edge(0.0, middle, outside), _edge(1.0, middle, outside)


@dataclasses.dataclass
class Count:
    """
    In how many conversations something happened.

    :param count: in so many
    :param total: of so many
    """

    count: int = 0
    total: int = 0
    _seen: dict[str, bool] = dataclasses.field(default_factory=dict, repr=False)

    def add(self, happened: bool, conversation: str) -> None:
        """Whether it ``happened`` now, in a ``conversation``: its id."""
        before = self._seen.get(conversation)
        if before is None:
            # the oldest are over; none that goes on is forgotten before so many have begun
            if len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self.total += 1
        self._seen[conversation] = happened or bool(before)
        self.count += int(happened and not before)


class Guard:
    """
    What is counted of a canary and of the live version while it is tried.

    :param risk: probability of taking back a canary that is as good as the live version
    """

    def __init__(self, risk: float = RISK) -> None:
        self.alpha = risk / 6
        self.counts: dict[str, dict[str, Count]] = {
            arm: {what: Count() for what in (FAILED, SLOWED, DISLIKED)} for arm in (LIVE, CANARY)
        }
        self._recent: collections.deque[float] = collections.deque()
        self._ranked: list[float] = []

    def turn(self, arm: str, conversation: str, seconds: float, failed: bool) -> None:
        """
        Count a turn.

        :param arm: who answered, ``live`` or ``canary``
        :param conversation: its id
        :param seconds: that it took
        :param failed: whether it raised, or its reply was empty
        """
        self.counts[arm][FAILED].add(failed, conversation)
        if failed:
            return
        # judged by what was known before, so that the rule may be looked at all the time
        median = self.median()
        if median is not None:
            self.counts[arm][SLOWED].add(seconds > SLOW * median, conversation)
        if arm == LIVE:
            self._recent.append(seconds)
            bisect.insort(self._ranked, seconds)
            if len(self._recent) > _WINDOW:
                del self._ranked[bisect.bisect_left(self._ranked, self._recent.popleft())]

    def rating(self, arm: str, conversation: str, up: bool) -> None:
        """
        Count a user's rating.

        :param arm: whose reply it is of, ``live`` or ``canary``
        :param conversation: its id
        :param up: thumbs up or down
        """
        self.counts[arm][DISLIKED].add(not up, conversation)

    def median(self) -> float | None:
        """Seconds of the live version's median turn; None while too few are known."""
        return self._ranked[len(self._ranked) // 2] if len(self._ranked) >= _FEWEST else None

    def breach(self) -> str | None:
        """Why the canary is to be taken back, in words and numbers; None where it is not."""
        for what in (FAILED, SLOWED, DISLIKED):
            live, canary = self.counts[LIVE][what], self.counts[CANARY][what]
            most = interval(live.count, live.total, self.alpha)[1]
            least = interval(canary.count, canary.total, self.alpha)[0]
            if least > most:
                return (
                    f"{what}: {canary.count} of {canary.total} conversations of the canary "
                    f"(at least {least:.1%}), {live.count} of {live.total} of the live version "
                    f"(at most {most:.1%})"
                )
        return None

    def status(self) -> dict[str, dict[str, str]]:
        """The counts, for people."""
        return {
            arm: {what: f"{one.count} of {one.total}" for what, one in counts.items()}
            for arm, counts in self.counts.items()
        }


def _edge(end: float, inside: float, outside: Callable[[float], bool]) -> float:
    if not outside(end):
        return end
    for _ in range(40):
        middle = (end + inside) / 2
        if outside(middle):
            end = middle
        else:
            inside = middle
    return end


def _log_likelihood(p: float, count: int, total: int) -> float:
    if (p <= 0 and count) or (p >= 1 and count < total):
        return -math.inf
    up = count * math.log(p) if count else 0.0
    return up + ((total - count) * math.log1p(-p) if count < total else 0.0)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
