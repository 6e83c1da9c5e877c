"""What the exports of help desks have in common."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from parlai_cu.data.base import SERVICE, USER, Conversation, Reading, Utterance
from parlai_cu.data.cleaning import without_markup
from parlai_cu.data.times import parse_times

# Chatwoot's numbers: 0 came from the customer, 1 and 3 from the service, 2 is an event
MESSAGE_KINDS = {"0": "incoming", "1": "outgoing", "2": "activity", "3": "template"}


@dataclass(frozen=True)
class Comment:
    """
    A message of a ticket.

    :param text: which may be HTML
    :param service: whether the service wrote it
    :param line: where it stands
    :param time: to be ordered by
    :param private: a note among agents
    :param event: assigned, closed, and the like
    """

    text: str
    service: bool
    line: int
    time: str = ""
    private: bool = False
    event: bool = False


def ticket(reading: Reading, name: Any, line: int, comments: Iterable[Comment]) -> None:
    """
    Add a ticket, in order of time; count what is left out.

    :param reading: is added to
    :param name: of the ticket
    :param line: where it begins
    :param comments: as they stand in the file
    """
    kept = []
    for one in comments:
        if one.private:
            reading.leave_out("private notes of agents", [one.line])
        elif one.event:
            reading.leave_out("events, not messages", [one.line])
        elif not one.text.strip():
            reading.leave_out("no text", [one.line])
        else:
            kept.append(one)
    times = parse_times([one.time for one in kept])
    order = sorted(range(len(kept)), key=lambda i: times[i]) if times else range(len(kept))
    said = []
    for one in (kept[i] for i in order):
        speaker, role = ("agent", SERVICE) if one.service else ("customer", USER)
        said.append(Utterance(speaker, without_markup(one.text), one.line, role, time=one.time))
    # the ticket's description is its first comment as well
    if len(said) > 1 and said[0].text == said[1].text and said[0].role == said[1].role:
        del said[1]
    reading.conversations.append(Conversation(str(name), said, line))


def first_text(record: dict[str, Any], *names: str) -> str:
    """
    The first of some fields that holds text.

    :param record: of JSON
    :param names: of its fields, the best first
    """
    return next((str(record[name]) for name in names if record.get(name)), "")
