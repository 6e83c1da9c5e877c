"""How phrasings and facts become dialogues; from a fixed seed, so every build gives the same."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from parlai_cu.tasks.telecom.facts import FactBase, Row, fact_id
from parlai_cu.tasks.telecom.intents import Intent, placeholders

MAX_FOLLOW_UPS = 3


@dataclass(frozen=True)
class Exchange:
    """
    A customer's turn and the answer to it.

    :param text: what the customer says
    :param answer: what is right
    :param intent: the name of what they want
    :param facts: id -> value of what the answer states
    :param spoken: those of the values that stand in the answer word for word; the others decide
        between a yes and a no
    :param probe: what it tests in ``telecom:corrections``, else None
    """

    text: str
    answer: str
    intent: str
    facts: Mapping[str, str]
    spoken: Sequence[str]
    probe: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in the built files."""
        return asdict(self)


Dialogue = list[Exchange]


class Speaker:
    """
    Puts intents into words.

    :param facts: what is true
    :param split: whose phrasings the customer uses
    :param rng: what draws
    :param voice: the assistant's: ``say`` or ``casual``
    """

    def __init__(self, facts: FactBase, split: str, rng: random.Random, voice: str = "say") -> None:
        self.facts = facts
        self.split = split
        self.rng = rng
        self.voice = voice

    def rows(self, intent: Intent) -> list[Row]:
        """The rows that an intent can be about; one empty row if it states no fact."""
        if intent.about is None:
            return [{}]
        rows = self.facts.tables[intent.about]
        return [row for row in rows if intent.row in (None, row["key"])]

    def exchange(
        self, intent: Intent, row: Row, follow: bool = False, probe: str | None = None
    ) -> Exchange:
        """
        One question about a row, with its answer.

        :param intent: what is asked
        :param row: what it is asked about
        :param follow: as a question that follows another
        :param probe: see :class:`Exchange`
        """
        answer = intent.answer(row)
        phrasings = (intent.follow if follow else intent.ask)[self.split]
        template = self.rng.choice(getattr(answer, self.voice))
        facts = {}
        if intent.about is not None:
            facts = {fact_id(intent.about, row, c): row[c] for c in answer.columns()}
        return Exchange(
            text=self.rng.choice(phrasings).format(**row),
            answer=template.format(**row),
            intent=intent.name,
            facts=facts,
            spoken=[row[column] for column in placeholders(template)],
            probe=probe,
        )


def converse(
    speaker: Speaker, intents: Sequence[Intent], talk: Sequence[Intent], examples: int
) -> list[Dialogue]:
    """
    Dialogues of one subject each, the intents taking turns to open them.

    :param speaker: puts them into words
    :param intents: what is asked about
    :param talk: small talk that can open (``greeting``) or close (all others) a dialogue
    :param examples: the number of exchanges in all dialogues together
    """
    greetings = [intent for intent in talk if intent.name == "greeting"]
    closings = [intent for intent in talk if intent.name in ("thanks", "goodbye")]
    dialogues: list[Dialogue] = []
    left = examples
    for intent in _rounds(intents, speaker.rng):
        if left <= 0:
            break
        dialogue = _about(intent, intents, speaker)
        if greetings and speaker.rng.random() < 0.1:
            dialogue.insert(0, speaker.exchange(greetings[0], {}))
        if closings and speaker.rng.random() < 0.2:
            dialogue.append(speaker.exchange(speaker.rng.choice(closings), {}))
        dialogues.append(dialogue[:left])
        left -= len(dialogues[-1])
    return dialogues


def _rounds(intents: Sequence[Intent], rng: random.Random) -> Iterator[Intent]:
    while True:
        yield from rng.sample(list(intents), len(intents))


def _about(intent: Intent, intents: Sequence[Intent], speaker: Speaker) -> Dialogue:
    row = speaker.rng.choice(speaker.rows(intent))
    related = [
        other
        for other in intents
        if other.follow and other.about == intent.about and other != intent and other.row is None
    ]
    number = speaker.rng.randint(0, min(MAX_FOLLOW_UPS, len(related)))
    following = speaker.rng.sample(related, number)
    return [
        speaker.exchange(intent, row),
        *(speaker.exchange(other, row, follow=True) for other in following),
    ]
