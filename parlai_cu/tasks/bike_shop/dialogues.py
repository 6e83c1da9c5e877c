"""
How a few hundred phrasings become dialogues.

A topic is one exchange that opens it and follow-up questions that make sense after it. Each
exchange lists the user's phrasings of the training, validation and test split apart, so no
test phrasing is ever seen in training; the assistant's answers are the same in all splits.
Which phrasings meet in a dialogue is drawn from a fixed seed: every build gives the same data.
"""

import random
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

Slots = Dict[str, str]
Dialogue = List[Tuple[str, str]]  # (user's text, assistant's answer) for each exchange

MAX_EXCHANGES = 4


@dataclass(frozen=True)
class Exchange:
    """
    One question and its answer, in several phrasings. ``{name}`` stands for a slot.

    :param train: the user's phrasings in training
    :param valid: ... in validation
    :param test: ... in the test
    :param answers: the assistant's phrasings, which all say the same
    """

    train: Tuple[str, ...]
    valid: Tuple[str, ...]
    test: Tuple[str, ...]
    answers: Tuple[str, ...]

    def revised(self, *answers: str) -> "Exchange":
        """The same questions with new answers."""
        return Exchange(self.train, self.valid, self.test, answers)


@dataclass(frozen=True)
class Topic:
    """
    What a dialogue can be about.

    :param name: for people only
    :param ask: the exchange that opens the topic
    :param then: follow-ups; they may lean on what was said before, and share its slots
    :param slots: the things that ``ask`` and ``then`` can be about, with what is true of each
    """

    name: str
    ask: Exchange
    then: Tuple[Exchange, ...] = ()
    slots: Tuple[Slots, ...] = ({},)


@dataclass(frozen=True)
class SmallTalk:
    """Exchanges that can open or close any dialogue."""

    opening: Exchange
    closing: Tuple[Exchange, ...]


def build(
    topics: Sequence[Topic], talk: SmallTalk, split: str, examples: int, seed: int = 1
) -> List[Dialogue]:
    """
    Dialogues of two to four exchanges, the topics taking turns.

    :param topics: what they are about
    :param talk: how they open and close
    :param split: ``train``, ``valid`` or ``test``
    :param examples: the number of exchanges in all dialogues together
    :param seed: another seed gives other dialogues
    """
    rng = random.Random(f"{seed} {split}")  # a str seeds the same in every Python
    dialogues: List[Dialogue] = []
    left = examples
    for topic in _rounds(topics, rng):
        if left <= 0:
            break
        longest = min(left, MAX_EXCHANGES)
        if left - longest == 1:
            longest -= 1  # one exchange alone would be left over
        dialogue = _dialogue(topic, talk, split, rng)[:longest]
        if left - len(dialogue) == 1:
            continue
        dialogues.append(dialogue)
        left -= len(dialogue)
    return dialogues


def _rounds(topics: Sequence[Topic], rng: random.Random) -> Iterator[Topic]:
    while True:
        yield from rng.sample(topics, len(topics))


def _dialogue(topic: Topic, talk: SmallTalk, split: str, rng: random.Random) -> Dialogue:
    slots = rng.choice(topic.slots)
    body = [
        topic.ask,
        *rng.sample(topic.then, rng.randint(min(1, len(topic.then)), len(topic.then))),
    ]
    exchanges = [*body[: MAX_EXCHANGES - 1]]
    if rng.random() < 0.25:
        exchanges.insert(0, talk.opening)
    if len(exchanges) < 2 or (len(exchanges) < MAX_EXCHANGES and rng.random() < 0.4):
        exchanges.append(rng.choice(talk.closing))
    return [_spoken(exchange, slots, split, rng) for exchange in exchanges]


def _spoken(exchange: Exchange, slots: Slots, split: str, rng: random.Random) -> Tuple[str, str]:
    question = rng.choice(getattr(exchange, split))
    return question.format(**slots), rng.choice(exchange.answers).format(**slots)
