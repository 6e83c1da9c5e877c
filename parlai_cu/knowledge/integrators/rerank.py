"""``--kb-integrate rerank``: the model chooses between its own reply and the facts."""

from collections.abc import Sequence

from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn


class Rerank:
    """Of the model's reply and the facts, the one that the model finds likeliest."""

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        replies = [found.text for found in evidence]
        own = model.reply()
        replies += [own] if own and own not in replies else []
        scores = model.scores(replies)
        return replies[max(range(len(replies)), key=lambda i: scores[i])]
