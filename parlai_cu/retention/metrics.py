"""
How much of the old was kept and how much of the new was learnt.

R[i, j] is the score on task j of the model after it was trained on task i; higher is better. For
perplexity take the negative logarithm.
"""

from dataclasses import dataclass

import numpy as np


def average_accuracy(r: np.ndarray) -> float:
    """
    ACC: the mean score of the last model over all tasks.

    Lopez-Paz and Ranzato 2017 (GEM, https://arxiv.org/abs/1706.08840), equation 2.

    :param r: float[models, tasks]
    :raises ValueError: when it is not such a matrix
    """
    return float(_matrix(r)[-1].mean())


def backward_transfer(r: np.ndarray) -> float:
    """
    BWT: how much later training changed the score on earlier tasks; below 0 is forgetting.

    Lopez-Paz and Ranzato 2017, equation 3.

    :param r: float[tasks, tasks]
    :raises ValueError: when it is not such a matrix of two tasks or more
    """
    r = _square(r)
    last = len(r) - 1
    return float((r[last, :last] - np.diag(r)[:last]).mean())


def forward_transfer(r: np.ndarray, untrained: np.ndarray) -> float:
    """
    FWT: how much earlier training helps a task before it is trained.

    Lopez-Paz and Ranzato 2017, equation 4.

    :param r: float[tasks, tasks]
    :param untrained: float[tasks], the scores of an untrained model
    :raises ValueError: when it is not such a matrix of two tasks or more
    """
    r = _square(r)
    return float(np.mean([r[i - 1, i] - untrained[i] for i in range(1, len(r))]))


def forgetting(r: np.ndarray) -> float:
    """
    Forgetting: how far the last model is below the best earlier one, over earlier tasks.

    Chaudhry et al. 2018 (https://arxiv.org/abs/1801.10112), section 3.

    :param r: float[tasks, tasks]
    :raises ValueError: when it is not such a matrix of two tasks or more
    """
    r = _square(r)
    last = len(r) - 1
    return float((r[:last, :last].max(axis=0) - r[last, :last]).mean())


@dataclass
class Sums:
    """
    A metric of a model, example by example, as what is summed: value = sum / count.

    :param total: float[examples], e.g. the negative log-likelihood of each reply
    :param count: float[examples], e.g. its tokens; 1 where every example counts alike
    """

    total: np.ndarray
    count: np.ndarray


@dataclass
class PairedDifference:
    """
    The candidate's metric, the base's, and the interval of their difference.

    :param low: lower end of the interval
    :param high: upper end
    :param level: of confidence, e.g. .95
    """

    base: float
    candidate: float
    low: float
    high: float
    level: float

    @property
    def difference(self) -> float:
        """Candidate minus base."""
        return self.candidate - self.base

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes no difference."""
        return self.low > 0 or self.high < 0


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
    Compare two models on the same examples.

    Examples are drawn again with replacement, the same ones for both models (paired bootstrap,
    Koehn 2004, https://aclanthology.org/W04-3250, section 3), and the percentiles of the
    difference taken.

    :param base: one entry an example
    :param candidate: the same examples in the same order
    :param exponential: the metric is exp(sum / count), as perplexity is
    :param level: of confidence of the interval
    :param resamples: how often examples are drawn again
    :param seed: of the draws; None for other ones each time
    :raises ValueError: when the numbers of examples differ or there are none
    """
    size = len(base.total)
    if size != len(candidate.total) or not size:
        raise ValueError(
            f"{size} examples of the base and {len(candidate.total)} of the candidate cannot be "
            "paired; expected the same examples of both, at least one"
        )

    def value(sums: Sums, weights: np.ndarray) -> np.ndarray:
        mean: np.ndarray = (weights @ sums.total) / np.maximum(weights @ sums.count, 1e-12)
        return np.asarray(np.exp(mean)) if exponential else mean

    rng = np.random.default_rng(seed)
    ones = np.ones((1, size))
    differences = []
    for start in range(0, resamples, 100):  # in parts: memory is parts x examples
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(100, resamples - start))
        weights = drawn.astype(float)
        differences.append(value(candidate, weights) - value(base, weights))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(differences), [tail, 1 - tail])
    return PairedDifference(
        float(value(base, ones)[0]),
        float(value(candidate, ones)[0]),
        float(low),
        float(high),
        level,
    )


def _matrix(r: np.ndarray) -> np.ndarray:
    r = np.asarray(r, dtype=float)
    if r.ndim != 2 or not r.size:
        raise ValueError(f"expected a matrix of scores [models, tasks], found shape {r.shape}")
    return r


def _square(r: np.ndarray) -> np.ndarray:
    r = _matrix(r)
    if r.shape[0] != r.shape[1] or len(r) < 2:
        raise ValueError(f"expected scores [tasks, tasks] of two tasks or more, found {r.shape}")
    return r
