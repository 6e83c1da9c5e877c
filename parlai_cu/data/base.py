"""What a file of conversations becomes, and what a reader of one format does."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from parlai_cu.data.source import Source

# roles of speakers; what is context is heard by the model, and not learnt
USER, SERVICE, CONTEXT = "user", "service", "context"
SPLITS = ("train", "valid", "test")
# field of a message: replies that would have been wrong, a list of texts
REJECTED = "rejected"


@dataclass(frozen=True)
class Utterance:
    """
    What a speaker said, on which line of the file, and at what time, by which it is ordered.

    Its role is :data:`USER`, :data:`SERVICE`, :data:`CONTEXT`, or empty where it is not known yet.
    Of a reply: whether it is learnt, and what would have been rejected here.
    """

    speaker: str
    text: str
    line: int
    role: str = ""
    learnt: bool = True
    rejected: tuple[str, ...] = ()
    time: str = ""


@dataclass(frozen=True)
class Conversation:
    """Utterances in order, with an id of the file's, or of its line; split and language if told."""

    id: str
    utterances: Sequence[Utterance]
    line: int
    split: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class TrainingTurn:
    """What a model hears, what it is to reply (on that line), and rejected replies."""

    text: str
    reply: str
    line: int
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedLine:
    """A line that was not taken, and the reason, as it goes on after a number."""

    reason: str
    line: int


@dataclass
class Reading:
    """
    What a reader found: conversations in the order of the file, what was left out, and notes.

    Of a table the columns by role; which stock task of ParlAI's reads the file as well; what a
    conversation is called where it is counted.
    """

    conversations: list[Conversation] = field(default_factory=list)
    left_out: list[SkippedLine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    stock: str | None = None
    counted: str = "conversation"

    def leave_out(self, reason: str, lines: Iterable[int]) -> None:
        """Count the lines that are not taken for a reason."""
        self.left_out += [SkippedLine(reason, line) for line in lines]

    def change(self, how: Callable[[Utterance], Utterance | None]) -> None:
        """Put in the place of each utterance what is made of it; None leaves it out."""
        self.conversations = [
            replace(c, utterances=[new for one in c.utterances if (new := how(one))])
            for c in self.conversations
        ]


@dataclass(frozen=True)
class ReadOptions:
    """
    What the user says of a file, in place of what would be guessed.

    The name of its format; columns as pairs of role and name; the speaker who is the service;
    instructions (system messages): ``keep``, ``drop``, or ``auto``: those that are the same in all
    conversations are left out; what asks on a terminal: question and choices -> the choice.
    """

    format: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    service: str | None = None
    instructions: str = "auto"
    ask: Callable[[str, tuple[str, ...]], str] | None = None


class ConversationReader(Protocol):
    """Reads one format, which has that title in messages."""

    title: str

    def recognises(self, source: Source) -> bool:
        """Whether this is the format of a file, or of a part of it."""

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """
        All conversations.

        :raises DataError: when it cannot be read at all
        """


def exchanges(conversation: Conversation) -> Iterator[TrainingTurn]:
    """
    What there is to learn in a conversation.

    What the service says twice in a row is one reply; replies that are not to be learnt, and what
    it says before anybody else did, stand in the text of the next one.
    """
    heard: list[str] = []
    asked = begun = False
    groups = itertools.groupby(
        conversation.utterances, lambda one: (one.role == SERVICE, one.learnt)
    )
    for (replied, learnt), group in groups:
        said = list(group)
        if replied and learnt and asked:
            rejected = tuple(wrong for one in said for wrong in one.rejected)
            text = " ".join(one.text for one in said)
            yield TrainingTurn("\n".join(heard), text, said[0].line, rejected)
            heard.clear()
            asked = False
            continue
        heard += [one.text for one in said]
        begun = begun or any(one.role == USER for one in said)
        # what a tool returned is replied to as well
        asked = asked or (begun and not replied)


def text_of(content: object) -> str:
    """The text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list):
        parts = [text_of(part) for part in content]
        return "\n".join(part for part in parts if part)
    if isinstance(content, dict):
        for name in ("text", "value", "content", "parts"):
            if isinstance(content.get(name), (str, list)):
                return text_of(content[name])
    return ""
