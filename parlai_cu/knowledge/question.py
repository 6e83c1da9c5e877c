"""
What a turn asks: its words, with what it leaves out because the user said it before.

The state of a conversation is what its user said. What the service said may be referred to ("is it
quiet there?"), but only where the user named nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from parlai_cu.knowledge.words import STOP_WORDS, terms, words
from parlai_cu.types import Turn

# no name has more words
_LONGEST_NAME = 8
# how much a word counts that was said before, but not now
_BEFORE = 0.2
# turns of the user before the last one in which an entity may have been named
_ENTITY_OF = 4
# longer messages are no questions, and a search must stay fast
_MOST_TERMS = 64
# what leaves something out: "and on fridays?", "what about the 700?", "when does she see them?"
_GOES_ON = re.compile(
    r"\W*(?:(?:ok|okay|thanks|thank you|good|great|fine|alright|right)\W+)*"
    r"(?:and|or|but|what about|how about|what if|also|till|until|from|since)\b",
    re.IGNORECASE,
)
_REFERS = frozenset("it its they them their that those these this she he her him there one".split())
# of a turn that leaves something out so many words say something at most
_FEW = 3
# what is said among people, and asks for nothing
COURTESY = frozenset(
    """
    alright afternoon awesome bye cheers cool evening excellent fantastic fine goodbye great helpful
    helping hiya lot lovely morning nice night okay perfect really super thx wonderful yep yeah
    """.split()
)


@dataclass(frozen=True)
class Question:
    """
    A search.

    :param weights: term -> how much it counts
    :param entities: the names of what is asked about, as words with a blank between
    :param text: the turn with what it leaves out
    :param said: the turn alone, spelt as the facts are
    """

    weights: dict[str, float]
    entities: list[str]
    text: str = ""
    said: str = ""


def ask(
    turn: Turn,
    known: Callable[[list[str]], list[str]],
    meant: Callable[[str], list[str]] = lambda said: [],
    spelt: Callable[[str], str] = lambda said: said,
) -> Question:
    """
    Make a search of a turn; of "thank you", which asks for nothing, an empty one.

    :param turn: what was said, and what before
    :param known: which of these names are entities
    :param meant: the entities that an utterance means by names which are written otherwise
    :param spelt: an utterance with the words that were meant
    """
    if not set(words(turn.text)) - STOP_WORDS - COURTESY:
        return Question({}, [])
    said = spelt(turn.text)
    before = said_before(turn)
    entities: list[str] = []
    # what the user said, the latest first; then what the service said last
    for text in [turn.text, *before[:_ENTITY_OF], *turn.history[-1:]]:
        entities = mentioned(text, known, meant)
        if entities:
            break
    asked = said
    if before and leaves_out(turn.text):
        asked = f"{spelt(before[0])} {said}"
    weights: dict[str, float] = {}
    now = " ".join([said, turn.text, *entities])
    for text, weight in ((now, 1.0), (" ".join([*before[:1], *turn.history[-1:]]), _BEFORE)):
        for term in terms(text):
            if term not in weights and len(weights) < _MOST_TERMS:
                weights[term] = weight
    return Question(weights, entities, asked, said)


def said_before(turn: Turn) -> list[str]:
    """What the user said before, the latest first."""
    return list(turn.history[-2::-2])


def leaves_out(text: str) -> bool:
    """Whether a turn is no question by itself."""
    said = words(text)
    content = [word for word in said if word not in STOP_WORDS and word not in COURTESY]
    if _GOES_ON.match(text):
        return True
    return len(content) <= _FEW and bool(_REFERS.intersection(said))


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
