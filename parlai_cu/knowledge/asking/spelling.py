"""Words that are spelt wrong, in the words of a table and of questions."""

from collections.abc import Collection

from rapidfuzz.distance import OSA
from rapidfuzz.process import extractOne

# shorter words have too many neighbours
_SHORTEST, _SHORTEST_TWO = 4, 8


def corrected(word: str, known: Collection[str], small: Collection[str]) -> str:
    """
    The known word that was meant: one slip away, of long words two; else the word itself.

    :param word: as it was said
    :param known: words
    :param small: those of them that say nothing: "dogs" is no "does"
    """
    if word in known or len(word) < _SHORTEST or not word.isalpha():
        return word
    slips = 2 if len(word) >= _SHORTEST_TWO else 1
    near = [other for other in known if _may_be(word, other, slips, small)]
    found = extractOne(word, near, scorer=OSA.distance, score_cutoff=slips)
    return found[0] if found else word


def _may_be(word: str, other: str, slips: int, small: Collection[str]) -> bool:
    """Hardly anybody gets the first letter wrong, and of short words another letter is another."""
    if len(other) < _SHORTEST or abs(len(other) - len(word)) > slips:
        return False
    if word[0] != other[0] and word[:2] != other[1::-1]:
        return False
    same_length = len(word) == len(other) and sorted(word) != sorted(other)
    return not (same_length and (len(word) == _SHORTEST or other in small))
