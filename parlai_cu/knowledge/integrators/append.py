"""``--kb-integrate append``: the model's reply, then the fact."""

from collections.abc import Sequence

from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn


class Append:
    """The model's own reply and, unless it says so already, the best fact."""

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        reply, fact = model.reply(), evidence[0].text
        return reply if fact in reply else f"{reply} {fact}".strip()
