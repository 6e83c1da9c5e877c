"""``--kb-rank search``: the knowledge base's own order."""

from collections.abc import Sequence

from parlai_cu.knowledge.gates import abstaining
from parlai_cu.types import Evidence, Turn


class Search:
    """Leaves the order as it is."""

    candidates = 0

    def rank(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """See :class:`~parlai_cu.knowledge.rankers.base.Ranker`."""
        return list(evidence)

    def answers(self, turn: Turn, fact: Evidence) -> bool:
        """When they share a word beside the name."""
        return abstaining.answers(turn, fact)

    def chosen(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """All: its scores do not tell which are no answers."""
        return list(evidence)
