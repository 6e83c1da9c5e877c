"""What an integrator is."""

from collections.abc import Sequence
from typing import Protocol

from parlai_cu.types import Evidence, Turn


class ReplyModel(Protocol):
    """What an integrator may ask of the model, for one turn."""

    def reply(self, knowledge: Sequence[Evidence] = ()) -> str:
        """
        The model's reply.

        :param knowledge: to be read before the conversation, best first
        """
        ...

    def fused(self, told: Sequence[str], shares: Sequence[float], weight: float) -> str:
        """
        The model's reply, with facts to copy from at each token.

        :param told: the facts
        :param shares: how much each counts beside the others
        :param weight: how much they count at most, beside the model's own distribution
        """
        ...

    def scores(self, replies: Sequence[str]) -> list[float]:
        """How likely the model finds each of some replies; the more the better."""
        ...


class Integrator(Protocol):
    """One file per variant in this package, and one line in ``parlai_cu/plugin.py``."""

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """
        The reply.

        :param turn: what was said
        :param evidence: best first, at least one
        :param model: to be asked, or not
        """
        ...
