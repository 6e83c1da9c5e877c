"""``--kb-gate always``: whatever was found is used."""

from collections.abc import Sequence

from parlai_cu.types import Evidence, GateDecision, Turn


class Always:
    """Yes, when anything was found at all; whatever the threshold."""

    needs_entropy = False
    may_abstain = False

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = 0.0

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        return GateDecision(bool(evidence), 1.0, "always")
