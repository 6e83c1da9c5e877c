"""What is known of ParlAI's metrics by their names: which way is better, and which tells most."""

from collections.abc import Collection

import numpy as np

# the metrics compared by default: the first there is
PREFERRED = ("ppl", "accuracy", "hits@1", "f1", "token_acc")
_LOWER_IS_BETTER = {"ppl", "loss", "mean_loss", "rank"}


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better."""
    return metric in _LOWER_IS_BETTER


def is_logarithmic(metric: str) -> bool:
    """Whether a metric is compared by its logarithm, and what may be lost of it is a share."""
    return metric == "ppl"


def preferred(metrics: Collection[str]) -> str | None:
    """The one of these metrics that tells most, if any does."""
    return next((name for name in PREFERRED if name in metrics), None)


def allowed_loss(metric: str, most: float) -> float:
    """What may be lost at most, in the units that a metric is compared in."""
    return float(np.log1p(most)) if is_logarithmic(metric) else most


def direction(metric: str) -> float:
    """What a metric's values are multiplied by so that more is better: 1, or -1."""
    return -1.0 if lower_is_better(metric) else 1.0
