"""
Which facts are worth comparing with a question.

Full text indexes score every fact in which any word of a question stands; in a million facts that
is most of them. Here the rarest words are looked up first, and frequent ones only among what those
found: the order of MaxScore (Turtle and Flood 1995, "Query evaluation: strategies and
optimizations"), with sums of inverse frequencies as the bound. benchmarks/knowledge_speed.py has
the figures.
"""

import heapq
from typing import Dict, List, Mapping, Protocol, Sequence

# facts read of all rare words together; a word that would exceed it is a frequent one
_RARE = 5000
# facts returned at most, to be compared by all their words
_MOST = 256
# a fact is kept while it may come near the fifth best; nearer than this no sum of inverse
# frequencies tells which is better, as it knows neither repetition nor length
_WANTED, _NEAR = 5, 0.75


class Lookup(Protocol):
    """A full text index."""

    def facts_with(
        self, all_of: Sequence[str], any_of: Sequence[str] = (), limit: int = -1
    ) -> List[int]:
        """
        The keys of facts that have all of some terms, and any of others if there are others.

        :param limit: how many at most; -1: all
        """
        ...


def best(index: Lookup, worth: Mapping[str, float], documents: Mapping[str, int]) -> List[int]:
    """
    The keys of the facts whose terms are worth most, in no order.

    :param worth: term -> what a fact gains by it
    :param documents: term -> number of facts it stands in; terms of no fact are missing
    """
    rarest = sorted(documents, key=lambda term: (documents[term], term))
    read, rare = 0, []
    for term in rarest:
        read += documents[term]
        if read > _RARE:
            break
        rare.append(term)
    frequent = rarest[len(rare) :]
    if not rare:
        return _with_all(index, frequent)
    sums: Dict[int, float] = {}
    for term in rare:
        for key in index.facts_with([term]):
            sums[key] = sums.get(key, 0.0) + worth[term]
    for i, term in enumerate(frequent):
        _drop_hopeless(sums, sum(worth[other] for other in frequent[i:]))
        if len(sums) <= _MOST:
            break
        for key in index.facts_with([term], rare):
            if key in sums:
                sums[key] += worth[term]
    return heapq.nlargest(_MOST, sums, key=lambda key: (sums[key], -key))


def _drop_hopeless(sums: Dict[int, float], to_come: float) -> None:
    enough = min(heapq.nlargest(_WANTED, sums.values()), default=0.0) * _NEAR
    for key in [key for key, found in sums.items() if found + to_come < enough]:
        del sums[key]


def _with_all(index: Lookup, frequent: Sequence[str]) -> List[int]:
    """Facts with all of the words; where there are too few, without the most frequent ones."""
    keys: List[int] = []
    for count in range(len(frequent), 0, -1):
        keys = index.facts_with(frequent[:count], limit=_MOST)
        if len(keys) >= _WANTED:
            break
    return keys
