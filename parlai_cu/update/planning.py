"""
How many conversations a decision takes: before training by the live model's losses and by earlier
updates, after an undecided verdict by what both models showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parlai_cu.retention.paired import PairedDifference, Sums, paired_difference, student_t

# a candidate that changes nothing is to pass in so many of cases
POWER = 0.8
# an update that was learnt gains so many times what it must
_LEARNT = 6.0
# more than so many times what there is: no advice
_OUT_OF_REACH = 50
# standard deviation of a candidate's change over conversations, in those of the live model's own
# values, at the least and at the most: of losses what updates of telecom and SGD showed
# (benchmarks/gate.py), of shares what two replies in ten that change come to
_OF_LOSSES, _OF_SHARES = (0.12, 0.33), (0.3, 0.6)
# share of cases in which a spread lies between its two bounds
_CERTAIN = 0.8


@dataclass(frozen=True)
class DecisionPlan:
    """
    What a test of the gate takes.

    :param name: of the test
    :param there: conversations that there are
    :param needed: conversations that decide it, however much the candidate changes
    :param fewest: conversations that decide it where the candidate changes little
    """

    name: str
    there: int
    needed: int
    fewest: int = 0

    @property
    def more(self) -> int:
        """Conversations that are missing."""
        return max(0, self.needed - self.there)

    def words(self) -> str:
        """For people."""
        told = f"{self.name}: {self.there} held-out conversations"
        if not self.more:
            return f"{told} can decide"
        if self.there >= self.fewest:
            return f"{told} may decide; with {self.more} more it is likely whatever changes"
        least = self.fewest - self.there
        more = f"{least}" if least == self.more else f"{least} to {self.more}"
        return f"{told} will hardly decide, about {more} more would"


def needed(error: float, conversations: int, margin: float, confidence: float) -> int:
    """
    How many conversations decide a test in four of five cases, when the truth is ``margin`` away.

    :param error: standard error of the difference
    :param conversations: that it was measured on
    :param margin: from what is true to the limit
    :param confidence: of the one-sided test
    """
    if error <= 0:
        return conversations
    if margin <= 0 or not np.isfinite(error):
        return 10**9
    from scipy.stats import norm  # type: ignore[import-untyped]

    spread = error * np.sqrt(conversations)
    size = 3
    for _ in range(30):  # Student's t depends on the number that is sought
        factor = student_t(confidence, size) + float(norm.ppf(POWER))
        wanted = max(3, int(np.ceil((factor * spread / margin) ** 2)))
        if wanted == size:
            break
        size = wanted
    return size


def spread_bounds(error: float, conversations: int) -> tuple[float, float]:
    """
    Between which two a standard error lies in four of five cases, by chi-square (of long-tailed
    losses in two of three): of 20 conversations a variance is known to a third only.
    """
    from scipy.stats import chi2

    degrees = max(conversations - 1, 1)
    low, high = (chi2.ppf(share, degrees) for share in ((1 + _CERTAIN) / 2, (1 - _CERTAIN) / 2))
    return error * float(np.sqrt(degrees / low)), error * float(np.sqrt(degrees / high))


def conversations_do_not_tell(found: PairedDifference, margin: float, confidence: float) -> str:
    """
    Why a test is undecided, and what would decide it.

    :param found: with the data there is
    :param margin: from what was found to the limit
    :param confidence: of the one-sided test
    """
    there = found.conversations
    words = f"{there} conversations do not tell"
    more = needed(found.error, there, margin, confidence) - there
    if more > _OUT_OF_REACH * there:
        return f"{words}, and it is so near the limit that many times as many would not"
    least, most = (
        max(needed(error, there, margin, confidence) - there, 1)
        for error in spread_bounds(found.error, there)
    )
    return f"{words}; about {max(more, 1)} more would, if it stays so ({least} to {most})"


def before_training(
    name: str,
    metric: str,
    limit: float,
    live: Sums,
    confidence: float,
    least: int,
    of_update: bool = False,
    earlier: Sequence[float] = (),
) -> DecisionPlan:
    """
    Whether a test can be decided with the data there is.

    What the candidate will change is not known yet. Over conversations it varies as candidates of
    earlier updates did; of a first one as a share of what the live model's own values do.

    :param name: of the test
    :param metric: that is compared
    :param limit: what may be lost, or must be gained, in units of the metric
    :param live: the live model's values
    :param confidence: of the one-sided test
    :param least: number of conversations that the gate wants in any case
    :param of_update: the limit is what must be gained; what is learnt is a multiple of it
    :param earlier: standard deviations over conversations that earlier candidates' changes had
    """
    nothing = Sums(np.zeros_like(live.total), live.count, live.conversation)
    own = paired_difference(nothing, live, level=2 * confidence - 1, resamples=100)
    size = own.conversations
    if earlier:
        errors = [float(np.quantile(earlier, share)) / np.sqrt(size) for share in (0.5, 0.8)]
    else:
        errors = [own.error * x for x in (_OF_LOSSES if metric in ("ppl", "loss") else _OF_SHARES)]
    margin = limit * (_LEARNT - 1) if of_update else limit
    fewest, most = (max(least, needed(error, size, margin, confidence)) for error in errors)
    return DecisionPlan(name, size, most, fewest)
