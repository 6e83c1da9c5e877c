"""
Texts that are the same but for case, marks, a slip of the pen or a word that says nothing.

Candidates share most of their rare words (scikit-learn), and are then compared word by word
(rapidfuzz): a number or another word makes another text, however alike the rest is. Whether two
known words are one with a slip is told by how often they occur: "form" and "from" are two.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from rapidfuzz.distance import OSA, Levenshtein

from parlai_cu.data.text_key import key_of
from parlai_cu.knowledge.words import STOP_WORDS

_DENIALS = frozenset(
    "no not never t don isn can won without nein nicht kein non pas ne ni nunca".split()
)
_FILLERS = STOP_WORDS - _DENIALS | frozenset(
    "please bitte merci por favor um uh so then just".split()
)
# of a hundred words so many may differ
_MOST_EDITS = 0.15
# longer texts are compared by runs of three words, of which a strange text has few
_LONG = 30
# cosine of the words' weights, below which nothing is compared
_ALIKE = 0.6
# texts that are compared with all others at a time
_BLOCK = 500
# a word that occurs in more texts, or in a greater share of many, is no slip of the pen
_RARE, _RARE_SHARE = 2, 0.002
# texts with fewer words are the same only where their keys are
_FEWEST = 3


def first_of_each(texts: Sequence[str]) -> list[int]:
    """For each text the index of the first that it duplicates, or its own."""
    by_key: dict[str, int] = {}
    first = [by_key.setdefault(key_of([text]), i) for i, text in enumerate(texts)]
    words = {i: key.split() for key, i in by_key.items()}
    seen = Counter(word for held in words.values() for word in set(held))
    rare = max(_RARE, _RARE_SHARE * len(words))
    known = {word for word, count in seen.items() if count > rare}
    root = list(range(len(texts)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for one, other in _candidates(words):
        if find(one) != find(other) and is_same(words[one], words[other], known):
            low, high = sorted((find(one), find(other)))
            root[high] = low
    return [find(i) for i in first]


def _candidates(words: dict[int, list[str]]) -> Iterator[tuple[int, int]]:
    """Pairs of texts that share most of what is rare in them."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    for long in (False, True):
        held = {i: w for i, w in words.items() if len(w) >= _FEWEST and _is_of(len(w), long)}
        if len(held) < 2:
            continue
        names = np.array(list(held))
        weigh = TfidfVectorizer(analyzer=_runs if long else set, dtype=np.float32)
        weights = weigh.fit_transform(held.values())
        for begin in range(0, len(names), _BLOCK):
            block = weights[begin : begin + _BLOCK]
            alike = (block @ weights[: begin + _BLOCK].T).tocoo()
            for row, column in zip(*(alike.coords[axis][alike.data >= _ALIKE] for axis in (0, 1))):
                if column < row + begin:
                    yield int(names[row + begin]), int(names[column])


def _is_of(count: int, long: bool) -> bool:
    # around the limit texts are in both indexes: one may be a word longer than the other
    return count >= 0.8 * _LONG if long else count <= 1.2 * _LONG


def _runs(words: list[str]) -> list[str]:
    return [" ".join(words[i : i + 3]) for i in range(len(words) - 2)]


def is_same(one: Sequence[str], other: Sequence[str], known: Collection[str]) -> bool:
    """Whether one text differs from the other by a slip at most; known words are none."""
    if _numbers(one) != _numbers(other):
        return False
    edits = 0.0
    for edit in Levenshtein.opcodes(one, other):
        gone, come = one[edit.src_start : edit.src_end], other[edit.dest_start : edit.dest_end]
        if edit.tag == "equal":
            continue
        edits += max(len(gone), len(come))
        if all(word in _FILLERS for word in (*gone, *come)):
            continue
        if edit.tag != "replace" or not _is_slip("".join(gone), "".join(come), known):
            return False
    return edits <= max(1.0, _MOST_EDITS * max(len(one), len(other)))


def _numbers(words: Sequence[str]) -> list[str]:
    return sorted(word for word in words if any(letter.isdigit() for letter in word))


def _is_slip(one: str, other: str, known: Collection[str]) -> bool:
    if one == other:  # "phone number", "phonenumber"
        return True
    length = min(len(one), len(other))
    if length < 4 or (one in known and other in known):
        return False
    return OSA.distance(one, other) <= (1 if length < 8 else 2)


def by_near_duplicates(texts: Sequence[str]) -> list[list[int]]:
    """The indexes of texts, those that duplicate each other together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for i, first in enumerate(first_of_each(texts)):
        groups[first].append(i)
    return list(groups.values())
