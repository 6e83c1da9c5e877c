"""Words that are spelt wrong, in the words of a table and of questions."""

from collections.abc import Collection

from rapidfuzz.distance import OSA
from rapidfuzz.process import extractOne

# shorter words have too many neighbours
_SHORTEST, _SHORTEST_TWO = 4, 8


def corrected(word: str, known: Collection[str]) -> str:
    """
    The known word that was meant: one slip away, of long words two; else the word itself.

    :param word: as it was said
    :param known: words
    """
    if word in known or len(word) < _SHORTEST or not word.isalpha():
        return word
    slips = 2 if len(word) >= _SHORTEST_TWO else 1
    near = [
        other for other in known if abs(len(other) - len(word)) <= slips and _begins(word, other)
    ]
    found = extractOne(word, near, scorer=OSA.distance, score_cutoff=slips)
    return found[0] if found else word


def _begins(word: str, other: str) -> bool:
    """Hardly anybody gets the first letter wrong, but for the order of the first two."""
    return len(other) >= _SHORTEST and (word[0] == other[0] or word[:2] == other[1::-1])
