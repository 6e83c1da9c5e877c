"""``--kb-integrate answer``: the fact alone."""

from typing import Sequence

from parlai_cu.knowledge.integrators.base import Model
from parlai_cu.types import Evidence, Turn


class Answer:
    """The best fact, word for word; the model is not asked."""

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: Model) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        return evidence[0].text
