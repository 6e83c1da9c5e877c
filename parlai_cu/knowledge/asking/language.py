"""
What people say when they ask a table, and how it is answered: one YAML file a language.

A question is read with the words of its own language; what columns are called is known in all.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from parlai_cu.knowledge.words import stem, words

LANGUAGES = ("en", "de")
_PLACE = Path(__file__).parent / "languages"
# numbers keep their points, commas and colons
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_][^\W_]*")
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve".split(), 2
    )
}
_SHORT_NOT = re.compile(r"n[’']t\b", re.I)


@dataclass(frozen=True)
class Concept:
    """
    What a column may be about.

    :param name: as the files of languages have it
    :param columns: stems of words in names of such columns
    :param ask: phrases that ask for it
    :param more: stems that say more of it; ``less``: that say less
    :param none: phrases that say there is none of it
    """

    name: str
    columns: frozenset[str]
    ask: frozenset[tuple[str, ...]]
    more: frozenset[str]
    less: frozenset[str]
    none: frozenset[tuple[str, ...]]


class Language:
    """
    One language.

    :param name: ``en``
    """

    def __init__(self, name: str) -> None:
        raw = yaml.load(
            (_PLACE / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader
        )
        self.name, self.raw = name, raw
        self.fillers = stems(raw["fillers"].split())
        self.say: Mapping[str, Any] = raw["say"]
        self.days = {name: int(day) for day, names in raw["days"].items() for name in names.split()}
        self.day_stems = {stem(name): day for name, day in self.days.items()}
        self.day_names: Sequence[str] = raw["day_names"]
        self.months = frozenset(raw["months"].split())
        self.concepts = {key: _concept(key, part) for key, part in raw["concepts"].items()}
        # what may be a column, and else says nothing; the amounts' currencies
        self.ignored = frozenset(f"{raw['soft']} {raw['currency']}".split())
        # a slip of the finger makes none of them of another word
        self.small = frozenset(words(raw["fillers"]))
        self.words = frozenset(_all_words(raw))

    def any_of(self, key: str) -> frozenset[str]:
        """The stems of the single words of a line, ``key``."""
        return _line(self.name, key)

    def phrases(self, key: str) -> frozenset[tuple[str, ...]]:
        """The phrases of a line, ``key``, as stems."""
        return _phrases(self.name, key)


@functools.cache
def language(name: str) -> Language:
    """One language, read once."""
    return Language(name)


@functools.cache
def _line(name: str, key: str) -> frozenset[str]:
    return stems(str(language(name).raw[key]).split())


@functools.cache
def _phrases(name: str, key: str) -> frozenset[tuple[str, ...]]:
    return _as_phrases(language(name).raw[key])


def language_of(text: str) -> Language:
    """The language of a question: that of most of its small words; English of equals."""
    said = set(words(text))
    return max(
        (language(name) for name in LANGUAGES),
        key=lambda one: len(said & set(one.raw["fillers"].split())),
    )


def concepts_of(name: str) -> frozenset[str]:
    """What a column of that name is about, in any language."""
    called = set(name_stems(name))
    return frozenset(
        key
        for one in LANGUAGES
        for key, concept in language(one).concepts.items()
        if called & concept.columns
    )


def name_stems(name: str) -> list[str]:
    """The stems of a column's name, short words in full: ``Art.-No.`` is an article number."""
    short = language("en").raw["short"]
    return [stem(short.get(word, word)) for word in tokens(name.replace("_", " "))]


def tokens(text: str) -> list[str]:
    """Words and whole numbers, lower case and without accents; ``five`` is 5."""
    plain = _SHORT_NOT.sub(" not", text)
    found: list[str] = []
    for token in _TOKEN.findall(plain):
        found += [token] if token[0].isdigit() else words(token)
    return [_NUMBER_WORDS.get(token, token) for token in found]


def stems(several: Iterable[str]) -> frozenset[str]:
    """The stems of ``several`` words."""
    return frozenset(stem(part) for word in several for part in words(word))


def _as_phrases(lines: Any) -> frozenset[tuple[str, ...]]:
    listed = lines.split() if isinstance(lines, str) else lines
    return frozenset(tuple(stem(word) for word in words(str(line))) for line in listed)


def _concept(name: str, part: Mapping[str, Any]) -> Concept:
    return Concept(
        name,
        stems(part["columns"].split()),
        _as_phrases(part["ask"]),
        stems(part.get("more", "").split()),
        stems(part.get("less", "").split()),
        _as_phrases(part.get("none", ())),
    )


def _all_words(part: object) -> Iterable[str]:
    """Every word that is understood, as it is written."""
    if isinstance(part, Mapping):
        for key, inner in part.items():
            if key not in ("say", "columns", "short", "difference", "weekday"):
                yield from _all_words(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _all_words(inner)
    else:
        yield from words(str(part))
