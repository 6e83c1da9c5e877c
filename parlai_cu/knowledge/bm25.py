"""
BM25 as a share of what could be had, so that one threshold suits short and long questions.

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.5.
"""

import math
from collections import Counter
from typing import Dict, Mapping, Sequence

# the usual constants: how soon repetition stops to count, and how much length does
K1, B = 1.2, 0.75


def inverse_frequency(facts: int, documents: int) -> float:
    """
    How much a term says.

    :param facts: number of all facts
    :param documents: in how many of them the term stands
    """
    return math.log1p((facts - documents + 0.5) / (documents + 0.5))


def relevance(
    query: Mapping[str, float],
    frequencies: Mapping[str, float],
    terms: Sequence[str],
    average_length: float,
) -> float:
    """
    How well a fact matches a query, from 0 to 1.

    :param query: term -> how much it counts; what counts less than 1 was said before, and only
        adds
    :param frequencies: term -> inverse frequency
    :param terms: the fact's
    :param average_length: terms of a fact, in the mean
    :return: BM25 divided by its bound for what is said now
    """
    bound = sum(frequencies[term] for term, weight in query.items() if weight == 1) * (K1 + 1)
    if not bound:
        return 0.0
    counts: Dict[str, int] = Counter(terms)
    norm = K1 * (1 - B + B * len(terms) / max(average_length, 1e-9))
    total = sum(
        weight * frequencies[term] * counts[term] * (K1 + 1) / (counts[term] + norm)
        for term, weight in query.items()
        if term in counts
    )
    return min(total / bound, 1.0)
