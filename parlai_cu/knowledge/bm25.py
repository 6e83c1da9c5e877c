"""
BM25 as a share of what could be had, so that one threshold suits short and long questions.

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.5.
"""

import math
from collections.abc import Mapping, Sequence

# the usual constants: how soon repetition stops to count, and how much length does
K1, B = 1.2, 0.75


def inverse_frequency(facts: int, documents: int) -> float:
    """
    How much a term says.

    :param facts: number of all facts
    :param documents: in how many of them the term stands
    """
    return math.log1p((facts - documents + 0.5) / (documents + 0.5))


class Relevance:
    """
    How well facts match one query, from 0 to 1.

    :param query: term -> how much it counts; what counts less than 1 was said before, and only
        adds
    :param frequencies: term -> inverse frequency
    :param average_length: terms of a fact, in the mean
    """

    def __init__(
        self, query: Mapping[str, float], frequencies: Mapping[str, float], average_length: float
    ) -> None:
        self._average = max(average_length, 1e-9)
        self._worth = [(t, weight * frequencies[t] * (K1 + 1)) for t, weight in query.items()]
        self._bound = sum(frequencies[t] for t, weight in query.items() if weight == 1) * (K1 + 1)

    def of(self, terms: Sequence[str]) -> float:
        """
        BM25 of a fact, divided by its bound for what is said now.

        :param terms: the fact's
        """
        if not self._bound:
            return 0.0
        norm = K1 * (1 - B + B * len(terms) / self._average)
        total = 0.0
        for term, worth in self._worth:
            if term in terms:
                times = terms.count(term)
                total += worth * times / (times + norm)
        return min(total / self._bound, 1.0)


def relevance(
    query: Mapping[str, float],
    frequencies: Mapping[str, float],
    terms: Sequence[str],
    average_length: float,
) -> float:
    """
    How well one fact matches one query.

    :param query: see :class:`Relevance`
    :param frequencies: see :class:`Relevance`
    :param terms: of the fact
    :param average_length: terms of a fact, in the mean
    """
    return Relevance(query, frequencies, average_length).of(terms)
