"""
Which facts are worth comparing with a question.

Full text indexes score every fact in which any word of a question stands; in a million facts that
is most of them. Here the rarest words are looked up first, and frequent ones only among what those
found: the order of MaxScore (Turtle and Flood 1995, "Query evaluation: strategies and
optimizations"), with sums of inverse frequencies as the bound. benchmarks/knowledge_speed.py has
the figures.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # what only looks at facts never waits for NumPy
    import numpy as np

# facts read of all rare words together; a word that would exceed it is a frequent one
_RARE = 2000
# facts returned at most, to be compared by all their words
_MOST = 192
# a fact is kept while it may come near the fifth best; nearer than this no sum of inverse
# frequencies tells which is better, as it knows neither repetition nor length
_WANTED, _NEAR = 5, 0.75
# words that are worth less than this beside the fifth best are not looked up
_LITTLE = 0.2


class Lookup(Protocol):
    """A full text index."""

    def facts_with(self, all_of: Sequence[str], any_of: Sequence[str] = (), limit: int = -1) -> Any:
        """
        The keys of facts that have all of some terms, and any of others if there are others.

        :param all_of: terms
        :param any_of: terms
        :param limit: how many facts at most; -1: all
        :return: a sequence or an array of numbers, each once
        """
        ...


def best(index: Lookup, worth: Mapping[str, float], documents: Mapping[str, int]) -> list[int]:
    """
    The keys of the facts whose terms are worth most, in no order.

    :param index: where the facts are
    :param worth: term -> what a fact gains by it
    :param documents: term -> number of facts it stands in; terms of no fact are missing
    """
    import numpy as np

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
    keys, sums = _summed([(index.facts_with([term]), worth[term]) for term in rare])
    for i, term in enumerate(frequent):
        to_come, best_five = sum(worth[other] for other in frequent[i:]), _fifth(sums)
        near = sums + to_come >= _NEAR * best_five
        keys, sums = keys[near], sums[near]
        # what is still to come and small moves nobody to the front
        if len(keys) <= _MOST or to_come < _LITTLE * best_five:
            break
        found = np.asarray(index.facts_with([term], rare), dtype=np.int64)
        sums = sums + worth[term] * np.isin(keys, found, assume_unique=True)
    return [int(key) for key in keys[np.lexsort((keys, -sums))[:_MOST]]]


def _summed(parts: Sequence[tuple[Any, float]]) -> "tuple[np.ndarray, np.ndarray]":
    """Each key once, and what the terms it stands in are worth together."""
    import numpy as np

    found = [np.asarray(keys, dtype=np.int64) for keys, _ in parts]
    keys, places = np.unique(np.concatenate(found), return_inverse=True)
    worth = np.repeat([gain for _, gain in parts], [len(some) for some in found])
    return keys, np.bincount(places.ravel(), weights=worth, minlength=len(keys))


def _fifth(sums: "np.ndarray") -> float:
    """The fifth best; 0 where there are not so many."""
    import numpy as np

    return float(np.sort(sums)[-_WANTED]) if len(sums) >= _WANTED else 0.0


def _with_all(index: Lookup, frequent: Sequence[str]) -> list[int]:
    """
    Facts with all of the words; where there are too few, without the most frequent ones.

    Begins with the rarest two: a look-up that finds enough ends early, one of many words does not.
    """
    keys: list[int] = []
    for count in range(2 if len(frequent) > 1 else 1, len(frequent) + 1):
        found = [int(key) for key in index.facts_with(frequent[:count], limit=_MOST + 1)]
        if len(found) < _WANTED:
            return [*found, *(key for key in keys if key not in found)][:_MOST]
        keys = found
        if len(keys) <= _MOST:
            break
    return keys[:_MOST]
