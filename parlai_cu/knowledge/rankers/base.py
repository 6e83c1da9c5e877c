"""What a ranker is."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from parlai_cu.types import Evidence, Turn

# of turns: each fact's share and whether it is right; and how many are right, found or not
Judged = Sequence[tuple[Sequence[tuple[float, bool]], int]]


class Ranker(Protocol):
    """Puts what the search found in order. One file per variant, and one line in ``plugin.py``."""

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


@runtime_checkable
class TrainableRanker(Ranker, Protocol):
    """A ranker that learns; it is a ``torch.nn.Module`` as well."""

    # whether it is of use before it has learnt
    optional: bool

    def __call__(self, turn: Turn, evidence: Sequence[Evidence]) -> torch.Tensor:
        """FloatTensor[facts], logits of each being an answer."""
        ...

    def loss(self, logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """
        :param logits: FloatTensor[facts]
        :param right: FloatTensor[facts], 1 for each right one, of which there is at least one
        :return: FloatTensor[]
        """
        ...

    def shares(self, turn: Turn, evidence: Sequence[Evidence]) -> list[float]:
        """The probability of each fact, as a share of the first one's."""
        ...

    def settle(self, judged: Judged) -> None:
        """Decide by validation turns how near to the first a fact must come to answer as well."""
        ...
