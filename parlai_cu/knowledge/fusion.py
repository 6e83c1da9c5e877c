"""
Several rankings in one, by ranks alone.

Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual
rank learning methods": a thing gains 1 / (60 + rank) by each ranking it stands in.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

_SOFT = 60
Thing = TypeVar("Thing", bound=Hashable)


def reciprocal_ranks(rankings: Iterable[Sequence[Thing]]) -> dict[Thing, float]:
    """
    What each thing gains; the more the better.

    :param rankings: best first

    >>> sorted(reciprocal_ranks([["a", "b"], ["b", "c"]]))
    ['a', 'b', 'c']
    """
    gains: dict[Thing, float] = {}
    for ranking in rankings:
        for rank, thing in enumerate(ranking, 1):
            gains[thing] = gains.get(thing, 0.0) + 1 / (_SOFT + rank)
    return gains
