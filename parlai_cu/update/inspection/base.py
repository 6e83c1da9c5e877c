"""What is inspected, and what a check of it finds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from parlai_cu.data.base import SERVICE, USER, TrainingTurn, Utterance
from parlai_cu.data.reading import ReadFile
from parlai_cu.update.wording import Example


@dataclass(frozen=True)
class InspectedConversation:
    """
    A conversation, and where it stands.

    :param place: file and line
    :param turns: what there is to learn
    :param said: all that was said, with speakers
    :param split: where the file says so
    """

    place: str
    turns: tuple[TrainingTurn, ...]
    said: tuple[Utterance, ...]
    split: str | None = None

    @property
    def text(self) -> str:
        """All that was asked and replied."""
        return "\n".join(f"{turn.text}\n{turn.reply}" for turn in self.turns)

    def examples(self) -> Iterator[Example]:
        """The turns, each with what was said before."""
        history: list[str] = []
        for turn in self.turns:
            yield Example(turn.text, turn.reply, tuple(history))
            history += [turn.text, turn.reply]


@dataclass(frozen=True)
class InspectedData:
    """
    What is inspected.

    :param conversations: of the files
    :param against: what is held out or to be retained: name -> conversations
    :param answers: what is true already, of a knowledge base or of earlier updates
    """

    conversations: Sequence[InspectedConversation]
    against: Mapping[str, Sequence[InspectedConversation]] = field(default_factory=dict)
    answers: Mapping[str, Sequence[InspectedConversation]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """
    A fault of a conversation.

    :param check: name of the check
    :param index: of the conversation
    :param detail: what was found
    :param other: place of what it conflicts with
    """

    check: str
    index: int
    detail: str
    other: str | None = None


class DataCheck(Protocol):
    """
    Looks for one kind of fault.

    :param title: of the fault, in the plural
    :param repair: what ``--fix`` does about it; empty: nothing
    """

    title: str
    repair: str

    def find(self, data: InspectedData) -> Iterable[tuple[int, str, str | None]]:
        """Index of the conversation, what was found, and the place of what it conflicts with."""

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """The conversation without the fault; None: it is left out."""


def of_file(read: ReadFile) -> list[InspectedConversation]:
    """The conversations of a file in which there is something to learn."""
    return [
        InspectedConversation(
            f"{read.name}, line {c.line}", tuple(turns), tuple(c.utterances), c.split
        )
        for c, turns in read.exchanges()
    ]


def of_examples(name: str, examples: Sequence[Example]) -> list[InspectedConversation]:
    """Examples of a task as conversations."""
    groups: list[list[Example]] = []
    for example in examples:
        if not example.history or not groups:
            groups.append([])
        groups[-1].append(example)
    found = []
    for number, group in enumerate(groups, 1):
        turns = tuple(TrainingTurn(e.text, e.label, number) for e in group)
        found.append(of_turns(f"{name}, conversation {number}", turns))
    return found


def of_turns(place: str, turns: tuple[TrainingTurn, ...]) -> InspectedConversation:
    """
    Turns as a conversation of a user and the service.

    :param place: where they stand
    :param turns: in order
    """
    said: list[Utterance] = []
    for turn in turns:
        said.append(Utterance("user", turn.text, turn.line, USER))
        said.append(Utterance("service", turn.reply, turn.line, SERVICE, rejected=turn.rejected))
    return InspectedConversation(place, turns, tuple(said))
