"""What a gate is."""

from collections.abc import Sequence
from typing import Protocol

from parlai_cu.types import Evidence, GateDecision, Turn


class Gate(Protocol):
    """
    One file per variant in this package, and one line in ``parlai_cu/plugin.py``.

    A variant is made as ``Variant(threshold)``: with None it takes the one that suits it.
    """

    # whether it has to be told how unsure the model is of its own reply
    needs_entropy: bool
    # whether what it lets pass is used only if the best fact answers at all
    may_abstain: bool
    threshold: float

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """
        Whether a turn is to be answered with knowledge.

        :param turn: what was said
        :param evidence: what was found for it, best first; with nothing the answer is no
        :param entropy: of the model's own reply, in nats a token, for a gate that needs it
        """
        ...
