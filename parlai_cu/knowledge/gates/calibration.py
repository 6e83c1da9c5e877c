"""
What a gate's probability is worth: threshold, temperature and shift, and calibration error.

Guo et al. 2017, "On calibration of modern neural networks" (https://arxiv.org/abs/1706.04599),
sections 2 and 4.1. Each function takes what a gate judged: (probability, whether knowledge was
needed).
"""

import math
from collections.abc import Sequence

from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

Judged = Sequence[tuple[float, bool]]

BINS = 10
# with fewer examples than this a temperature tells of chance
_ENOUGH = 20
_COLDEST, _HOTTEST = 0.1, 10.0
# the inverse of the penalty on the slope; by cross-validation on DSTC11's training dialogues
_LOOSE = 3.0
_NEARLY = 1e-6


def threshold_for(judged: Judged, precision: float) -> float:
    """
    The lowest threshold at which enough of what passes is right; so that most of it passes.

    :param judged: (score or probability, whether knowledge was needed) of each turn
    :param precision: wanted share of right ones among those that pass
    :return: 1.0 where no threshold gives it
    """
    best, right, passed = 1.0, 0, 0
    ordered = sorted(judged, reverse=True)
    for i, (score, needed) in enumerate(ordered):
        right, passed = right + needed, passed + 1
        tied = i + 1 < len(ordered) and ordered[i + 1][0] == score
        if not tied and right / passed >= precision:
            best = score
    return best


def bin_of(probability: float) -> int:
    """Which of the equally wide bins a probability falls into."""
    return min(int(probability * BINS), BINS - 1)


def calibration_error(judged: Judged) -> float:
    """
    Expected calibration error: in each bin, mean probability against share of needed ones.

    :param judged: (score or probability, whether knowledge was needed) of each turn
    :return: 0 where all probabilities are what they say, up to 1
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, needed in judged:
        bins[bin_of(probability)].append((probability, needed))
    gaps = (abs(sum(p for p, _ in found) - sum(n for _, n in found)) for found in bins)
    return sum(gaps) / max(len(judged), 1)


def scale_for(judged: Judged, shifts: bool = True) -> tuple[float, float]:
    """
    How logits become probabilities that say how often they are right (Platt 1999, "Probabilistic
    outputs for support vector machines", section 2).

    The slope is penalised: where nearly all are told apart, one example would move the boundary
    far.

    :param judged: (score or probability, whether knowledge was needed) of each turn
    :param shifts: False where the examples do not tell where the boundary is
    :return: temperature and shift of least cross-entropy, for :func:`scaled`; 1.0 and 0.0 where
        there is too little to go by
    """
    kinds = {needed for _, needed in judged}
    if len(judged) < _ENOUGH or len(kinds) < 2:
        return 1.0, 0.0
    model = LogisticRegression(C=_LOOSE, fit_intercept=shifts).fit(
        [[logit(probability)] for probability, _ in judged], [needed for _, needed in judged]
    )
    slope, offset = float(model.coef_[0][0]), float(model.intercept_[0]) if shifts else 0.0
    if slope <= 0:
        return _HOTTEST, 0.0
    return min(max(1 / slope, _COLDEST), _HOTTEST), offset / slope


def scaled(probability: float, temperature: float, shift: float) -> float:
    """A probability after its logit got a shift added, and was divided by a temperature."""
    return sigmoid((logit(probability) + shift) / temperature)


def logit(probability: float) -> float:
    """The logit of a probability, the inverse of :func:`sigmoid`; of 0 and 1 something large."""
    bounded = min(max(probability, _NEARLY), 1 - _NEARLY)
    return math.log(bounded / (1 - bounded))


def sigmoid(x: float) -> float:
    """From a logit ``x`` to a probability."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
