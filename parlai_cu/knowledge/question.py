"""What a turn asks: its words, and the entity that it leaves out because it was named before."""

from collections.abc import Callable
from dataclasses import dataclass

from parlai_cu.knowledge.words import STOP_WORDS, terms, words
from parlai_cu.types import Turn

# no name has more words
_LONGEST_NAME = 8
# how much a word counts that was said before, but not now
_BEFORE = 0.2
# utterances before the last one whose words count, and in which an entity may have been named
_WORDS_OF, _ENTITY_OF = 2, 8
# longer messages are no questions, and a search must stay fast
_MOST_TERMS = 64


@dataclass(frozen=True)
class Question:
    """
    A search.

    :param weights: term -> how much it counts
    :param entities: the names of what is asked about, as words with a blank between
    """

    weights: dict[str, float]
    entities: list[str]


def ask(
    turn: Turn,
    known: Callable[[list[str]], list[str]],
    meant: Callable[[str], list[str]] = lambda said: [],
) -> Question:
    """
    Make a search of a turn; of "thank you", which asks for nothing, an empty one.

    :param turn: what was said, and what before
    :param known: which of these names are entities
    :param meant: the entities that an utterance means by names which are written otherwise
    """
    entities: list[str] = []
    if not terms(turn.text):
        return Question({}, [])
    for said in [turn.text, *reversed(turn.history[-_ENTITY_OF:])]:
        entities = mentioned(said, known, meant)
        if entities:
            break
    weights: dict[str, float] = {}
    now = " ".join([turn.text, *entities])
    before = " ".join(turn.history[-_WORDS_OF:])
    for text, weight in ((now, 1.0), (before, _BEFORE)):
        for term in terms(text):
            if term not in weights and len(weights) < _MOST_TERMS:
                weights[term] = weight
    return Question(weights, entities)


def mentioned(
    text: str,
    known: Callable[[list[str]], list[str]],
    meant: Callable[[str], list[str]] = lambda said: [],
) -> list[str]:
    """
    The entities named in a text, longest names first; none that is part of a longer one.

    :param text: what was said
    :param known: which of these names are entities
    :param meant: the entities that a text means by names which are written otherwise
    """
    said = words(text)[:200]
    names = {
        " ".join(said[i : i + length])
        for length in range(1, _LONGEST_NAME + 1)
        for i in range(len(said) - length + 1)
    }
    names = {name for name in names if name not in STOP_WORDS}
    found: list[str] = []
    candidates = sorted(names)
    for start in range(0, len(candidates), 500):
        found += known(candidates[start : start + 500])
    other = [name for name in meant(text) if name not in found]
    found += known(other) if other else []
    found.sort(key=lambda name: (-len(name), name))
    kept: list[str] = []
    for name in found:
        if not any(f" {name} " in f" {longer} " for longer in kept):
            kept.append(name)
    return kept
