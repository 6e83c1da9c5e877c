"""
Two models on the same examples: by how much they differ, and how sure that is.

What one conversation's turns say is not independent: where one answer gets worse, its neighbours do
too. So the unit is the conversation, and the interval is the wider of two on either side: the
cluster bootstrap-t (conversations are drawn again, each draw studentised: Cameron, Gelbach and
Miller 2008, https://doi.org/10.1162/rest.90.3.414, section III), which follows a skew, and the
jackknife's standard error with Student's t of one degree less than there are conversations (Bell
and McCaffrey 2002; MacKinnon, Nielsen and Webb 2023, https://doi.org/10.1002/jae.2969), which holds
with few. ``benchmarks/gate.py`` has the rate of error of both, and of turns drawn alone.
"""

from dataclasses import dataclass

import numpy as np

# a draw's standard error is at least this part of the sample's: a draw without any of the few
# conversations that differ has none, and would make the bound infinite
_LEAST_ERROR = 0.25
# with fewer conversations that differ, a share's bound is widened to the exact one
_FEW_DIFFER = 10
# of a share, between two turns of one conversation, where nothing shows another one yet
_CORRELATION = 0.05


@dataclass
class Sums:
    """
    A metric of a model, example by example, as what is summed: value = sum / count.

    :param total: float[examples], e.g. the negative log-likelihood of each reply
    :param count: float[examples], e.g. its tokens; 1 where every example counts alike
    :param conversation: [examples], which one each is of; by default every example is one
    """

    total: np.ndarray
    count: np.ndarray
    conversation: np.ndarray | None = None

    def of(self, chosen: np.ndarray) -> "Sums":
        """Those that are ``chosen``: bool[examples], or their indexes."""
        ids = None if self.conversation is None else self.conversation[chosen]
        return Sums(self.total[chosen], self.count[chosen], ids)

    def scaled(self, factor: float) -> "Sums":
        """The values times ``factor``."""
        return Sums(factor * self.total, self.count, self.conversation)

    def ids(self) -> np.ndarray:
        """int[examples], which conversation each is of, counted from 0."""
        if self.conversation is None:
            return np.arange(len(self.total))
        return np.unique(self.conversation, return_inverse=True)[1]

    @property
    def conversations(self) -> int:
        """How many there are."""
        return len(np.unique(self.ids()))


@dataclass
class PairedDifference:
    """
    The candidate's metric, the base's, and the interval of their difference.

    :param low: lower end of the interval
    :param high: upper end
    :param level: of confidence, e.g. .95
    :param error: standard error of the difference
    :param conversations: that it is of
    """

    base: float
    candidate: float
    low: float
    high: float
    level: float
    error: float = 0.0
    conversations: int = 0

    @property
    def difference(self) -> float:
        """Candidate minus base."""
        return self.candidate - self.base

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes no difference."""
        return self.low > 0 or self.high < 0


def both_measured(base: Sums, candidate: Sums) -> tuple[Sums, Sums]:
    """The examples that both were measured on: some metrics are of some examples only."""
    size = min(len(base.count), len(candidate.count))
    both = np.flatnonzero((base.count[:size] > 0) & (candidate.count[:size] > 0))
    return base.of(both), candidate.of(both)


def paired_difference(
    base: Sums,
    candidate: Sums,
    *,
    exponential: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int | None = 0,
) -> PairedDifference:
    """
    Compare two models on the same examples, conversation by conversation.

    :param base: one entry an example
    :param candidate: the same examples in the same order
    :param exponential: the metric is exp(sum / count), as perplexity is
    :param level: of confidence of the interval
    :param resamples: how often conversations are drawn again
    :param seed: of the draws; None for other ones each time
    :raises ValueError: when the numbers of examples differ or there are none
    """
    size = len(base.total)
    if size != len(candidate.total) or not size:
        raise ValueError(
            f"{size} examples of the base and {len(candidate.total)} of the candidate cannot be "
            "paired; expected the same examples of both, at least one"
        )
    rows = _by_conversation(base, candidate)
    size = len(rows)
    tail = (1 - level) / 2
    difference, error, base_value, candidate_value = _estimate(
        rows, np.ones((1, size)), exponential
    )
    change = float(difference[0])
    jackknife = _jackknife_error(rows, exponential)
    if jackknife <= 1e-12:  # all differ alike
        low = high = change
    elif size < 2:
        low, high = -float("inf"), float("inf")
    else:
        least, most = _student(rows, exponential, change, float(error[0]), tail, resamples, seed)
        student = student_t(1 - tail, size) * jackknife
        low = change + min(-student, least * float(error[0]))
        high = change + max(student, most * float(error[0]))
    if not exponential and _is_share(base, candidate):
        low, high = _widened(base, candidate, low, high, 1 - tail)
    return PairedDifference(
        float(base_value[0]), float(candidate_value[0]), low, high, level, jackknife, size
    )


def _by_conversation(base: Sums, candidate: Sums) -> np.ndarray:
    """float[conversations, 4]: total and count of the base, total and count of the candidate."""
    ids = base.ids()
    columns = (base.total, base.count, candidate.total, candidate.count)
    return np.stack([np.bincount(ids, column) for column in columns], axis=1)


def _estimate(
    rows: np.ndarray, weights: np.ndarray, exponential: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Difference, its standard error (by linearisation), and both values, of each row of weights.

    :param rows: float[conversations, 4]
    :param weights: float[draws, conversations]
    :param exponential: the metric is exp(sum / count)
    """
    size = len(rows)
    sums = weights @ rows
    values, factors = [], []
    for total, count in ((0, 1), (2, 3)):
        counted = np.maximum(sums[:, count], 1e-12)
        ratio = sums[:, total] / counted
        value = np.exp(ratio) if exponential else ratio
        slope = (value if exponential else 1.0) * size / counted
        values.append(value)
        factors.append((slope, -slope * ratio))
    (b, b_count), (c, c_count) = factors
    influence = np.stack([-b, -b_count, c, c_count], axis=1)
    products = weights @ np.einsum("gi,gj->gij", rows, rows).reshape(size, -1)
    squares = np.einsum("di,dij,dj->d", influence, products.reshape(-1, 4, 4), influence)
    error = np.sqrt(np.maximum(squares, 0.0) / (size * max(size - 1, 1)))
    return values[1] - values[0], error, values[0], values[1]


def _jackknife_error(rows: np.ndarray, exponential: bool) -> float:
    """Standard error of the difference, each conversation left out in turn; infinite with one."""
    size = len(rows)
    if size < 2:
        return float("inf")
    left = np.maximum(rows.sum(0) - rows, 1e-12)
    values = [(rows[:, t].sum() - rows[:, t]) / left[:, c] for t, c in ((0, 1), (2, 3))]
    if exponential:
        values = [np.exp(value) for value in values]
    without = values[1] - values[0]
    return float(np.sqrt((size - 1) / size * np.square(without - without.mean()).sum()))


def _student(
    rows: np.ndarray,
    exponential: bool,
    change: float,
    error: float,
    tail: float,
    resamples: int,
    seed: int | None,
) -> tuple[float, float]:
    """Ends of the bootstrap-t interval, in standard errors from the estimate."""
    size = len(rows)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, 100):  # in parts: memory is parts x conversations
        drawn = _drawn_again(rng, min(100, resamples - start), size)
        differences, errors, *_ = _estimate(rows, drawn, exponential)
        found.append((differences - change) / np.maximum(errors, _LEAST_ERROR * error))
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return -float(high), -float(low)


def _drawn_again(rng: np.random.Generator, draws: int, size: int) -> np.ndarray:
    """How often each of ``size`` was drawn, float[draws, size]."""
    chosen = rng.integers(size, size=(draws, size)) + size * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * size).reshape(draws, size).astype(float)


def student_t(level: float, conversations: int) -> float:
    """Quantile of Student's t, at a level, of one degree less than there are conversations."""
    from scipy.stats import t  # type: ignore[import-untyped]

    return float(t.ppf(level, max(conversations - 1, 1)))


def _is_share(base: Sums, candidate: Sums) -> bool:
    """Whether every example's value is between 0 and 1, or between 0 and -1."""
    sign = -1 if base.total.sum() + candidate.total.sum() < 0 else 1
    return all(
        bool((sign * sums.total >= 0).all() and (np.abs(sums.total) <= sums.count + 1e-9).all())
        and bool((sums.count <= 1).all())
        for sums in (base, candidate)
    )


def _widened(
    base: Sums, candidate: Sums, low: float, high: float, level: float
) -> tuple[float, float]:
    """
    The bounds of a share, exact where hardly anything differs: of no difference in 20 examples it
    doesn't follow that there is none in the next thousand.

    Clopper and Pearson's bound for as many examples as the turns are worth (Korn and Graubard 1998,
    https://www150.statcan.gc.ca/n1/pub/12-001-x/1998002/article/4356-eng.pdf): those that differ
    in one conversation count as one.
    """
    from scipy.stats import beta

    change = candidate.total - base.total
    conversations = base.conversations
    differing = len(np.unique(base.ids()[change != 0]))
    if differing >= _FEW_DIFFER:
        return low, high
    turns = len(change)
    effect = 1 + (turns / conversations - 1) * _CORRELATION
    effect = max(effect, np.count_nonzero(change) / max(differing, 1))
    worth = turns / effect
    down, up = -change[change < 0].sum() / effect, change[change > 0].sum() / effect
    most = [float(beta.ppf(level, n + 1, max(worth - n, 1e-9))) for n in (down, up)]
    return -most[0], most[1]
