"""
The entity that is meant by a name that is not written as the facts write it.

"Lensfield hotel" is The Lensfield Hotel, "acorn guesthouse" the Acorn Guest House, "the varsity"
the Varsity Restaurant where there is but one, "cambrdige belfry" the Cambridge Belfry.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.spelling import Spelling
from parlai_cu.knowledge.words import STOP_WORDS, words

# more names than this are found only as they are written: their spellings take too long to compare
MOST_NAMES = 20_000
# words of a name, and of an utterance, that count
_LONGEST_NAME, _LONGEST = 8, 60
# words that so many names end with tell none of them apart
_KIND_OF = 3
# a part of a name that is one word is no shorter
_SHORT = 5
# by how much names must grow in number to look again which endings are kinds
_GROWN = 1.1
# words that people leave out or put in
_SMALL = frozenset("a an and at in of on the".split())


class Aliases:
    """Other ways to write names."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._endings: Counter[str] = Counter()
        # without blanks and small words -> names; without the kind of thing at the end as well
        self._squeezed: dict[str, set[str]] = {}
        self._parts: dict[str, set[str]] = {}
        # how many names there were when it was last looked which endings are kinds of things
        self._settled = 0
        self._spelling: Spelling | None = None

    def add(self, names: Iterable[str]) -> None:
        """Know more names, as words with a blank between; some may be known already."""
        new = {name for name in names if name} - self._names
        self._names |= new
        if not new or len(self._names) > MOST_NAMES:
            return
        for name in new:
            self._endings.update(_endings(name))
        for name in new:
            self._squeezed.setdefault(_squeezed(name.split()), set()).add(name)
        if len(self._names) > _GROWN * self._settled:
            self._parts, self._spelling, new = {}, None, self._names
            self._settled = len(new)
        for name in new:
            for part in self._parts_of(name):
                self._parts.setdefault(part, set()).add(name)
        if self._spelling is not None:
            self._spelling.add([part for name in new for part in self._parts_of(name)])

    def meant(
        self,
        text: str,
        rare: Callable[[str, str], bool],
        unknown: Callable[[list[str]], set[str]],
    ) -> list[str]:
        """
        The names that are meant in a text.

        :param text: what was said
        :param rare: whether a word is hardly used but for the entity of a name; such a word alone
            may stand for the name
        :param unknown: which of some words stand in no fact, and may be misspelt
        """
        if not self._names or len(self._names) > MOST_NAMES:
            return []
        said = words(text)[-_LONGEST:]
        strange = unknown([word for word in said if word not in STOP_WORDS])
        found: set[str] = set()
        # longest first: what is part of a name that was found names nothing else
        taken: list[tuple[int, int]] = []
        for start, end in _runs(said):
            if any(first <= start and end <= last for first, last in taken):
                continue
            run = said[start:end]
            names = self._written(run, rare)
            if not names and strange.intersection(run):
                names = self._spelt(run, rare)
            if names:
                found |= names
                taken.append((start, end))
        return sorted(found)

    def _written(self, run: list[str], rare: Callable[[str, str], bool]) -> set[str]:
        """With other blanks or without the kind of thing, where only one name is so."""
        key = _squeezed(run)
        if key in STOP_WORDS:
            return set()
        if key in self._squeezed:
            return _one(self._squeezed[key])
        found = _one(self._parts.get(key, set()))
        if len(run) > 1:
            return found
        return {name for name in found if len(key) >= _SHORT and rare(run[0], name)}

    def _spelt(self, run: list[str], rare: Callable[[str, str], bool]) -> set[str]:
        if self._spelling is None:
            try:
                self._spelling = Spelling([*self._squeezed, *self._parts])
            except KnowledgeError:  # an extra that is not there
                return set()
        key = self._spelling.meant(_squeezed(run))
        if key is None:
            return set()
        if key in self._squeezed:
            return _one(self._squeezed[key])
        # a month is no Monte Vista: one word has to be as rare as where it is spelt right
        return {name for name in _one(self._parts[key]) if len(run) > 1 or rare(key, name)}

    def _parts_of(self, name: str) -> set[str]:
        """A name without the kind of thing that it is of, however that may be told."""
        kinds = [end for end in _endings(name) if self._endings[end] >= _KIND_OF]
        return {_squeezed(name[: len(name) - len(kind)].split()) for kind in ["", *kinds]}


def _runs(said: list[str]) -> list[tuple[int, int]]:
    """Where names may begin and end, longest first."""
    return [
        (start, start + length)
        for length in range(min(_LONGEST_NAME, len(said)), 0, -1)
        for start in range(len(said) - length + 1)
        if said[start] not in _SMALL and said[start + length - 1] not in _SMALL
    ]


def _endings(name: str) -> list[str]:
    """What a name ends with: of "acorn guest house", "guest house" and "house"."""
    parts = name.split()
    return [" ".join(parts[i:]) for i in range(1, len(parts))]


def _one(found: set[str]) -> set[str]:
    return found if len(found) == 1 else set()


def _squeezed(parts: Iterable[str]) -> str:
    return "".join(part for part in parts if part not in _SMALL)
