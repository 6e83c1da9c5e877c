"""What a ranker is."""

from collections.abc import Sequence
from typing import Protocol

from parlai_cu.types import Evidence, Turn


class Ranker(Protocol):
    """
    Puts what the search found in order. One file per variant, and one line in ``plugin.py``.

    One that learns is a ``torch.nn.Module`` as well, whose ``forward(turn, evidence)`` returns
    FloatTensor[facts], logits of each being an answer.
    """

    # how many facts it chooses from at most; 0: as many as are asked for
    candidates: int

    def rank(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """The same facts, best first; their scores stay those of the search."""
        ...

    def answers(self, turn: Turn, fact: Evidence) -> bool:
        """Whether a fact is an answer at all."""
        ...

    def chosen(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """
        Of some facts those that answer together with the first, which always does.

        :param turn: what was said
        :param evidence: as :meth:`rank` has them
        """
        ...
