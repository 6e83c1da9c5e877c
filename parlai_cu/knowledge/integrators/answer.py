"""``--kb-integrate answer``: the fact alone."""

from collections.abc import Sequence

from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn


class Answer:
    """The best fact, word for word; the model is not asked."""

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        return evidence[0].text
