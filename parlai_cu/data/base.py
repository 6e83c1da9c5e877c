"""What a file of conversations becomes, and what a reader of one format does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from parlai_cu.data.source import Source

# roles of speakers; what is context is heard by the model, and not learnt
USER, SERVICE, CONTEXT = "user", "service", "context"
SPLITS = ("train", "valid", "test")
# field of a message: replies that would have been wrong, a list of texts
REJECTED = "rejected"


@dataclass(frozen=True)
class Utterance:
    """
    What somebody said.

    :param speaker: the name in the file
    :param text: what was said
    :param line: where it stands
    :param role: :data:`USER`, :data:`SERVICE`, :data:`CONTEXT`; empty: not known yet
    :param learnt: whether a reply is to be learnt
    :param rejected: replies that would have been wrong here
    :param time: to be ordered by
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
    """
    A conversation.

    :param id: its name in the file, or its number
    :param utterances: in order
    :param line: where it begins
    :param split: ``train``, ``valid`` or ``test``, where the file says so
    :param language: where the file says so
    """

    id: str
    utterances: Sequence[Utterance]
    line: int
    split: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class TrainingTurn:
    """
    What a model hears and what it is to reply.

    :param text: what was said since the last exchange, line by line
    :param reply: the right answer
    :param line: where the answer stands
    :param rejected: wrong answers
    """

    text: str
    reply: str
    line: int
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedLine:
    """
    What was not taken.

    :param reason: why, as it goes on after a number
    :param line: where it stands
    """

    reason: str
    line: int


@dataclass
class Reading:
    """
    What a reader found.

    :param conversations: in the order of the file
    :param left_out: what was not taken
    :param notes: what its owner should know of how it was understood
    :param columns: role -> name, of a table
    :param stock: which of ParlAI's own tasks reads the file as well
    :param counted: what one conversation is called
    """

    conversations: list[Conversation] = field(default_factory=list)
    left_out: list[SkippedLine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    stock: str | None = None
    counted: str = "conversation"

    def leave_out(self, reason: str, lines: Iterable[int]) -> None:
        """
        Count what is not taken.

        :param reason: why, in a few words
        :param lines: where it stands
        """
        self.left_out += [SkippedLine(reason, line) for line in lines]


@dataclass(frozen=True)
class ReadOptions:
    """
    What the user says of a file, in place of what would be guessed.

    :param format: name of a reader
    :param columns: role -> name of a column
    :param service: the speaker whose replies are learnt
    :param instructions: ``keep`` or ``drop`` system messages; ``auto``: those that are the same in
        all conversations are left out
    :param ask: asks on a terminal: question and choices -> the choice
    """

    format: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    service: str | None = None
    instructions: str = "auto"
    ask: Callable[[str, Sequence[str]], str] | None = None


class ConversationReader(Protocol):
    """
    Reads one format.

    :param title: what it is called in messages
    """

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
    said: list[Utterance] = []
    asked = begun = False

    def reply() -> TrainingTurn | None:
        text = " ".join(one.text for one in said)
        rejected = tuple(wrong for one in said for wrong in one.rejected)
        if asked and any(one.learnt for one in said):
            found = TrainingTurn("\n".join(heard), text, said[0].line, rejected)
            heard.clear()
            return found
        heard.extend(one.text for one in said)
        return None

    for utterance in conversation.utterances:
        if utterance.role == SERVICE:
            if said and said[-1].learnt != utterance.learnt:
                found = reply()
                if found:
                    yield found
                    asked = False
                said.clear()
            said.append(utterance)
            continue
        if said:
            found = reply()
            if found:
                yield found
                asked = False
            said.clear()
        heard.append(utterance.text)
        begun = begun or utterance.role == USER
        # what a tool returned is replied to as well
        asked = asked or begun
    found = reply() if said else None
    if found:
        yield found


def text_of(content: Any) -> str:
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
