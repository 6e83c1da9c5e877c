"""``--kb-gate never``: the model's own reply, to compare with."""

from collections.abc import Sequence

from parlai_cu.types import Evidence, GateDecision, Turn


class Never:
    """No; whatever the threshold."""

    needs_entropy = False
    may_abstain = False

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = 1.0

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        return GateDecision(False, 0.0, "never")
