"""``--kb-integrate prompt``: the model reads the facts before the conversation."""

from typing import Sequence

from parlai_cu.knowledge.integrators.base import Model
from parlai_cu.types import Evidence, Turn


class Prompt:
    """
    The facts, a line each, before the context.

    For a model that was trained with knowledge there; others may ignore it or be confused.
    """

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: Model) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        return model.reply("\n".join(found.text for found in evidence))
