"""
How many conversations a decision takes: before training by the live model's losses alone, after an
undecided verdict by what both models showed.
"""

from dataclasses import dataclass

import numpy as np

from parlai_cu.retention.paired import WIDER, PairedDifference, Sums, paired_difference

# a candidate that changes nothing is to pass in so many of cases
POWER = 0.8
# an update that was learnt gains so many times what it must
_LEARNT = 6.0
# more than so many times what there is: no advice
_OUT_OF_REACH = 50
# standard deviation of a candidate's change over conversations, in those of the live model's own
# values: of losses what updates of telecom and SGD showed (.25 to .27; a careless one .55), of
# shares what two replies in ten that change come to
_OF_LOSSES, _OF_SHARES = 0.3, 0.6


@dataclass(frozen=True)
class DecisionPlan:
    """
    What a test of the gate takes.

    :param name: of the test
    :param there: conversations that there are
    :param needed: conversations that decide it
    """

    name: str
    there: int
    needed: int

    @property
    def more(self) -> int:
        """Conversations that are missing."""
        return max(0, self.needed - self.there)

    def words(self) -> str:
        """For people."""
        told = f"{self.name}: {self.there} held-out conversations"
        if self.more:
            return f"{told} will hardly decide, about {self.more} more would"
        return f"{told} can decide"


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
    from scipy.stats import norm, t  # type: ignore[import-untyped]

    spread = error * np.sqrt(conversations)
    size = 3
    for _ in range(30):  # Student's t depends on the number that is sought
        factor = float(WIDER * t.ppf(confidence, size - 1) + norm.ppf(POWER))
        wanted = max(3, int(np.ceil((factor * spread / margin) ** 2)))
        if wanted == size:
            break
        size = wanted
    return size


def conversations_do_not_tell(found: PairedDifference, wanted: int) -> str:
    """
    Why a test is undecided, and what would decide it.

    :param found: with the data there is
    :param wanted: number of conversations that would, of :func:`needed`
    """
    words = f"{found.conversations} conversations do not tell"
    more = wanted - found.conversations
    if more > _OUT_OF_REACH * found.conversations:
        return f"{words}, and it is so near the limit that many times as many would not"
    return f"{words}; about {max(more, 1)} more would, if it stays so"


def before_training(
    name: str,
    metric: str,
    limit: float,
    live: Sums,
    confidence: float,
    least: int,
    of_update: bool = False,
) -> DecisionPlan:
    """
    Whether a test can be decided with the data there is.

    What the candidate will change is not known yet. Over conversations it varies as a share of what
    the live model's own values do, as candidates of other updates have shown.

    :param name: of the test
    :param metric: that is compared
    :param limit: what may be lost, or must be gained, in units of the metric
    :param live: the live model's values
    :param confidence: of the one-sided test
    :param least: number of conversations that the gate wants in any case
    :param of_update: the limit is what must be gained; what is learnt is a multiple of it
    """
    nothing = Sums(np.zeros_like(live.total), live.count, live.conversation)
    own = paired_difference(nothing, live, level=2 * confidence - 1, resamples=100)
    error = own.error * (_OF_LOSSES if metric in ("ppl", "loss") else _OF_SHARES)
    size = own.conversations
    margin = limit * (_LEARNT - 1) if of_update else limit
    return DecisionPlan(name, size, max(least, needed(error, size, margin, confidence)))
