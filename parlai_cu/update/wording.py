"""
What an answer says and how it says it: values, wording, and where answers contradict.

Values are what a table could hold: numbers, dates, prices, names. They are found by their shape,
so that any corpus will do; a value that is a common word ("gold") is not found.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

_NUMBER = r"\d+(?:[.:,/-]\d+)*"
_TOKEN = re.compile(rf"{_NUMBER}|[^\W\d_]+(?:['’][^\W\d_]+)?|[.!?]")
_DENIALS = frozenset("no not never cannot can't don't doesn't won't isn't aren't without".split())
_GAP = "_"


@dataclass(frozen=True)
class Example:
    """
    One turn of training or test data.

    :param text: the last utterance, which is to be answered
    :param label: the right answer; of several the first
    :param history: what was said before, oldest first
    :param fields: all that the message carries, where it is at hand
    """

    text: str
    label: str
    history: tuple[str, ...] = ()
    # not remembered with the steps of an update: it may hold anything
    fields: Annotated[Mapping[str, Any] | None, Field(exclude=True)] = field(
        default=None, compare=False, repr=False
    )

    @property
    def context(self) -> str:
        """All that was said before the answer."""
        return "\n".join([*self.history, self.text])

    @functools.cached_property
    def key(self) -> tuple[str, str]:
        """Context and answer without case and spacing: the same key, the same example."""
        return normal(self.context), normal(self.label)


def normal(text: str) -> str:
    """A text without case, spacing and punctuation, however it was tokenised."""
    return " ".join(token for token in tokens(text) if token not in ".!?")


def tokens(text: str, keep_case: bool = False) -> list[str]:
    """
    Words, numbers and sentence ends of a text; "1 . 50" is a tokenised 1.50.

    :param text: any text
    :param keep_case: not in lower case
    """
    joined = re.sub(r"(?<=\d)(\s?)([.:-])\1(?=\d)", r"\2", text)
    joined = re.sub(r"(?<=\w) ' (?=\w)", "'", joined)
    return _TOKEN.findall(joined if keep_case else joined.lower())


def values(text: str) -> set[str]:
    """Numbers, and names: words with a capital that do not begin a sentence."""
    found: set[str] = set()
    begins = True
    for token in tokens(text, keep_case=True):
        if token[0].isdigit():
            found.add(token)
        elif token[0].isupper() and not begins and token.split("'")[0] != "I":
            found.add(token.lower())
        begins = token in ".!?"
    return found


def stated_values(example: Example) -> frozenset[str]:
    """The values that an answer tells: those that were not said before."""
    said = set(tokens(example.context))
    return frozenset(value for value in values(example.label) if value not in said)


def denies(text: str) -> bool:
    """Whether an answer says no."""
    return any(token in _DENIALS for token in tokens(text))


def contradict(one: Example, other: Example) -> bool:
    """
    Whether two answers to the same question cannot both be right.

    They tell different values, neither all that the other does, or one says yes and one no. The
    same in other words is no contradiction.
    """
    said, else_said = stated_values(one), stated_values(other)
    if said and else_said and not (said <= else_said or else_said <= said):
        return True
    yes_or_no = [tokens(e.label)[:1] in (["yes"], ["no"]) for e in (one, other)]
    return all(yes_or_no) and denies(one.label) != denies(other.label)


def contradictions(
    examples: Iterable[Example], others: Iterable[Example]
) -> list[tuple[Example, Example]]:
    """
    Pairs of examples with the same context whose answers contradict, one pair for each context.
    """
    by_context: dict[str, list[Example]] = {}
    for example in others:
        by_context.setdefault(normal(example.context), []).append(example)
    found: dict[str, tuple[Example, Example]] = {}
    for example in examples:
        context = normal(example.context)
        for other in by_context.get(context, ()):
            if context not in found and contradict(example, other):
                found[context] = (example, other)
    return list(found.values())


def pairs(text: str) -> set[tuple[str, str]]:
    """Each two words that follow each other, values left out: how a thing is said."""
    gone = values(text)
    words = [_GAP if word in gone else word for word in tokens(text)]
    return set(zip(["."] + words, words))


class Wording:
    """
    How a corpus puts things.

    :param texts: of one speaker
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.words: set[str] = set()
        self.pairs: set[tuple[str, str]] = set()
        for text in texts:
            self.words.update(tokens(text))
            self.pairs |= pairs(text)

    def known(self, texts: Sequence[str]) -> float:
        """Share of the pairs of words of other texts that occur here, mean over the texts."""
        shares = []
        for text in texts:
            found = pairs(text)
            if found:
                shares.append(len(found & self.pairs) / len(found))
        return sum(shares) / len(shares) if shares else 1.0
