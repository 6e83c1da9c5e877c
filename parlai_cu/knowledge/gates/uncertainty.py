"""``--kb-gate uncertainty``: the model does not know what to say."""

import math
from collections.abc import Sequence

from parlai_cu.types import Evidence, GateDecision, Turn

_DEFAULT = 0.5


class Uncertainty:
    """
    The entropy of the model's own reply: the mean over its tokens, mapped to 0 to 1.

    Kuhn et al. 2023 (https://arxiv.org/abs/2302.09664), section 2, call it length-normalised
    predictive entropy; here it is that of each next token's distribution.

    :param threshold: from which on knowledge is used; 0.5 is an entropy of ln 2, a coin thrown at
        every token
    """

    needs_entropy = True
    may_abstain = True

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = _DEFAULT if threshold is None else threshold

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        score = 1.0 - math.exp(-(entropy or 0.0))
        return GateDecision(bool(evidence) and score >= self.threshold, score, "uncertainty")
