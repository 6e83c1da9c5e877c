"""The name that somebody meant who did not spell it right."""

import functools
import importlib
import importlib.util
import os
import re
import runpy
from collections.abc import Callable, Collection, Iterable

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.words import STOP_WORDS, stem, words

try:
    from rapidfuzz import process
    from rapidfuzz.distance import OSA
except ImportError:  # an extra
    process = None  # type: ignore[assignment]

# shorter ones are too near to one another; of longer ones two letters may be wrong
_SHORT, _LONG = 5, 9
# a part of a compound has so many letters; of one word so many are looked up
_PART, _MOST_PARTS = 5, 4
_WORD = re.compile(r"[^\W\d_]+")


class Spelling:
    """
    Names that are known.

    A name is what is meant by what differs from it by one letter, put in, left out, exchanged or
    swapped with the next (optimal string alignment distance), by two if it is long, and each of
    its words likewise; if no other name is as near, it begins with the same letter, and what was
    said is not made of known words.

    :param names: as words with a blank between
    :param words: what else is known and is no misspelt name
    :raises KnowledgeError: where rapidfuzz is not installed
    """

    def __init__(self, names: Iterable[str], words: Iterable[str] = ()) -> None:
        if process is None:
            raise KnowledgeError(
                'values that are spelt wrong need rapidfuzz: pip install "parlai-cu[knowledge]"'
            )
        self._known: set[str] = {word for text in words for word in text.split()}
        self._known |= STOP_WORDS | _english_stop_words()
        # first letter, length -> names; what is compared must be few
        self._names: dict[tuple[str, int], dict[str, None]] = {}
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Know more names; some may be known already."""
        for name in names:
            self._known.update(name.split())
            if len(name) >= _SHORT and not any(letter.isdigit() for letter in name):
                alike = self._names.setdefault((name[0], len(name)), {})
                alike[name] = None

    def meant(self, said: str) -> str | None:
        """The name that is meant by what was said, a few words, if any."""
        if len(said) < _SHORT or all(word in self._known for word in said.split()):
            return None
        most = 1 if len(said) < _LONG else 2
        near = [
            name
            for length in range(len(said) - most, len(said) + most + 1)
            for name in self._names.get((said[0], length), ())
        ]
        found = process.extract(
            said, near, scorer=OSA.distance, score_cutoff=most, limit=2, processor=None
        )
        if not found or (len(found) > 1 and found[0][1] == found[1][1]):
            return None
        name = str(found[0][0])
        return name if _word_by_word(said, name) else None


class Vocabulary:
    """All words of some facts, and what is meant by those that are none."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._spelling: Spelling | None = None
        self._english: Collection[str] = ()

    def add(self, texts: Iterable[str]) -> None:
        """Know the words of more texts."""
        new = {word for text in texts for word in words(text)} - self._words
        self._words |= new
        if self._spelling is not None:
            self._spelling.add(self._spellable(new))

    def corrected(
        self, said: str, unknown: Callable[[list[str]], set[str]], english: Collection[str]
    ) -> str:
        """
        What was said, with the words that were meant.

        :param said: by a user
        :param unknown: which of some words stand in no fact, in any form
        :param english: words that are none of the facts', and right
        """
        if process is None:
            return said
        some = [word for word in words(said) if len(word) >= _SHORT and word not in english]
        strange = unknown(some) - STOP_WORDS if some else set()
        if not strange:
            return said
        if self._spelling is None or english is not self._english:
            self._english = english
            self._spelling = Spelling(self._spellable(self._words))
        meant = {
            word: self._spelling.meant(word) or " ".join([word, *self._parts(word)])
            for word in strange
        }
        return _WORD.sub(lambda match: meant.get(match[0].casefold(), match[0]), said)

    def _parts(self, word: str) -> list[str]:
        """Words that a compound ends or begins with, or compounds with it: Karte, Kundenkarte."""
        found = [
            known
            for known in self._words
            if min(len(known), len(word)) >= _PART
            and (word.startswith(known) or word.endswith(known))
            or len(word) >= _PART
            and (known.startswith(word) or known.endswith(word))
        ]
        return sorted(found, key=lambda known: (-len(known), known))[:_MOST_PARTS]

    def _spellable(self, some: Iterable[str]) -> list[str]:
        """The words, and others of the same stem: who cancels, types "cancle" for "cancelled"."""
        stems = {stem(word) for word in some}
        return [*some, *(word for word in self._english if stem(word) in stems)]


@functools.cache
def _english_stop_words() -> frozenset[str]:
    """scikit-learn's list; its file alone, as the library brings SciPy and pandas with it."""
    spec = importlib.util.find_spec("sklearn")
    folder = (list(spec.submodule_search_locations or ()) if spec else [""])[0]
    path = os.path.join(folder, "feature_extraction", "_stop_words.py")
    if os.path.exists(path):
        return frozenset(runpy.run_path(path)["ENGLISH_STOP_WORDS"])
    public = importlib.import_module("sklearn.feature_extraction.text")
    return frozenset(public.ENGLISH_STOP_WORDS)


def _word_by_word(said: str, name: str) -> bool:
    """Whether each word is near by itself: "the total" is not the oval."""
    pairs = list(zip(said.split(), name.split()))
    if len(said.split()) != len(name.split()):
        return True
    return all(
        one == other
        or (len(one) >= _SHORT and OSA.distance(one, other) <= (1 if len(one) < _LONG else 2))
        for one, other in pairs
    )
