"""
How much of the old was kept and how much of the new was learnt.

R[i, j] is the score on task j of the model after it was trained on task i; higher is better. For
perplexity take the negative logarithm.
"""

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
