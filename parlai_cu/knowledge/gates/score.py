"""``--kb-gate score``: the best fact matches well enough."""

from typing import Optional, Sequence

from parlai_cu.types import Evidence, GateDecision, Turn

# half of what the question says is in the fact; less is mostly small talk that shares a word
_DEFAULT = 0.3


class Score:
    """
    The score of the best fact, which for the embedded knowledge base is between 0 and 1.

    :param threshold: from which on it is used
    """

    needs_entropy = False

    def __init__(self, threshold: Optional[float] = None) -> None:
        self.threshold = _DEFAULT if threshold is None else threshold

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: Optional[float]
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        best = evidence[0].score if evidence else 0.0
        return GateDecision(bool(evidence) and best >= self.threshold, min(best, 1.0), "score")
