"""
Tickets of help desks as JSON, with their messages: Zendesk, Intercom, Freshdesk, Chatwoot.

A ticket's messages are put in order of time; agents' private notes and events (assigned, closed)
are left out and counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from parlai_cu.data.base import SERVICE, USER, Conversation, Reading, ReadOptions, Utterance
from parlai_cu.data.cleaning import without_markup
from parlai_cu.data.source import Source, lines_within
from parlai_cu.data.times import in_time

# Chatwoot's numbers: 0 came from the customer, 1 and 3 from the service, 2 is an event
MESSAGE_KINDS = {"0": "incoming", "1": "outgoing", "2": "activity", "3": "template"}
# why a message is left out
PRIVATE, EVENT, NO_TEXT = "private notes of agents", "events, not messages", "no text"
Record = dict[str, Any]


@dataclass(frozen=True)
class Comment:
    """A text or HTML, of the service or not, and its time; perhaps private or an event."""

    text: str
    service: bool
    time: str = ""
    private: bool = False
    event: bool = False


class Tickets:
    """What the exports of help desks have in common."""

    title = ""
    counted = "ticket"
    # where the messages of a ticket stand
    lists: tuple[str, ...] = ()

    def recognises(self, source: Source) -> bool:
        """Whether it has messages as this help desk writes them."""
        return any(self.knows(self.messages(record)[1]) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All tickets."""
        reading = Reading(counted=self.counted)
        for number, record in source.records:
            about = self.about(record)
            name, messages = self.messages(record)
            lines = lines_within(source.text, name, len(messages), number)
            held = [(number, one) for one in self.opening(about, messages)]
            held += zip(lines, (self.comment(one, about, messages) for one in messages))
            reading.conversations.append(_ticket(reading, self.named(about, number), number, held))
        return reading

    def about(self, record: Record) -> Record:
        """The ticket of a record."""
        return record

    def named(self, about: Record, line: int) -> str:
        """What the ticket on a ``line`` is called."""
        return str(about.get("id", line))

    def messages(self, record: Record) -> tuple[str, list[Record]]:
        """Where its messages stand, and they."""
        about = self.about(record)
        for name in self.lists:
            held = about.get(name, record.get(name))
            held = held.get(name) if isinstance(held, dict) else held
            if isinstance(held, list):
                return name, [one for one in held if isinstance(one, dict)]
        return "", []

    def knows(self, messages: list[Record]) -> bool:
        """Whether messages are of this help desk."""
        raise NotImplementedError

    def opening(self, about: Record, messages: list[Record]) -> Iterator[Comment]:
        """What the ticket itself says."""
        yield from ()

    def comment(self, message: Record, about: Record, messages: list[Record]) -> Comment:
        """A message."""
        raise NotImplementedError


class Zendesk(Tickets):
    """Who wrote the ticket is the customer; comments that are not public are notes."""

    title = "Zendesk tickets"
    lists = ("comments",)

    def about(self, record: Record) -> Record:
        """The ticket, which may stand in a record of its own."""
        return _inner(record, "ticket")

    def knows(self, messages: list[Record]) -> bool:
        """Whether they are public or not."""
        return any("public" in one for one in messages)

    def opening(self, about: Record, messages: list[Record]) -> Iterator[Comment]:
        """The description, which is the first comment mostly."""
        text = _first(about, "description")
        if text and not any(_body(one).strip() == text.strip() for one in messages):
            yield Comment(text, False, _first(about, "created_at"))

    def comment(self, message: Record, about: Record, messages: list[Record]) -> Comment:
        """A comment: of the service where neither its role nor its id is a customer's."""
        author = message.get("author")
        role = author.get("role") if isinstance(author, dict) else message.get("author_role")
        if isinstance(role, str):
            service = role.lower() not in (
                "end-user",
                "end_user",
                "enduser",
                "customer",
                "requester",
            )
        else:
            first = (one.get("author_id") for one in messages if one.get("public", True))
            customers = {about.get("requester_id") or next(first, None)}
            for name in ("collaborator_ids", "email_cc_ids"):  # who was copied in
                customers.update(about.get(name) or ())
            service = message.get("author_id") not in customers
        private = message.get("public") is False
        return Comment(_body(message), service, _first(message, "created_at"), private)


class Intercom(Tickets):
    """What the conversation began with is its first message; notes are private."""

    title = "Intercom conversations"
    counted = "conversation"
    lists = ("conversation_parts",)

    def recognises(self, source: Source) -> bool:
        """Whether it has conversation parts."""
        return any("conversation_parts" in record for _, record in source.records[:20])

    def opening(self, about: Record, messages: list[Record]) -> Iterator[Comment]:
        """What it began with."""
        held = (about.get("source"), about.get("conversation_message"))
        begun = next((one for one in held if one and isinstance(one, dict)), {})
        text = _first(begun, "body")
        if text:
            yield Comment(text, _is_service(begun), _first(about, "created_at"))

    def comment(self, message: Record, about: Record, messages: list[Record]) -> Comment:
        """A part."""
        kind = str(message.get("part_type") or "")
        text, note = _first(message, "body"), kind.startswith("note")
        event = not note and (kind not in ("comment", "open", "close", "") or not text)
        return Comment(text, _is_service(message), _first(message, "created_at"), note, event)


class Freshdesk(Tickets):
    """The description is the customer's; what is incoming as well; what is private is a note."""

    title = "Freshdesk tickets"
    lists = ("conversations", "notes")

    def about(self, record: Record) -> Record:
        """The ticket, which older exports have in a record of its own."""
        return _inner(record, "helpdesk_ticket")

    def named(self, about: Record, line: int) -> str:
        """Its id."""
        return str(about.get("id") or about.get("display_id") or line)

    def messages(self, record: Record) -> tuple[str, list[Record]]:
        """Its conversations; in older exports notes, each in a record of its own."""
        name, held = super().messages(record)
        return name, [_inner(one, "note") for one in held]

    def knows(self, messages: list[Record]) -> bool:
        """Whether they are incoming or private."""
        return any("incoming" in one or "private" in one for one in messages)

    def opening(self, about: Record, messages: list[Record]) -> Iterator[Comment]:
        """The description."""
        text = _first(about, "description_text", "description", "description_html")
        if text:
            yield Comment(text, False, _first(about, "created_at"))

    def comment(self, message: Record, about: Record, messages: list[Record]) -> Comment:
        """A reply or a note."""
        text = _first(message, "body_text", "body", "body_html")
        service, private = not message.get("incoming", False), bool(message.get("private"))
        return Comment(text, service, _first(message, "created_at"), private)


class Chatwoot(Tickets):
    """Incoming, outgoing, activities; what is private is a note."""

    title = "Chatwoot conversations"
    counted = "conversation"
    lists = ("messages",)

    def knows(self, messages: list[Record]) -> bool:
        """Whether all are incoming, outgoing or activities."""
        return bool(messages) and all("message_type" in one for one in messages)

    def comment(self, message: Record, about: Record, messages: list[Record]) -> Comment:
        """A message."""
        kind = str(message.get("message_type", "")).lower()
        kind = MESSAGE_KINDS.get(kind, kind)
        text, time = _first(message, "content"), _first(message, "created_at")
        service = kind in ("outgoing", "template")
        return Comment(text, service, time, bool(message.get("private")), kind == "activity")


def _inner(record: Record, name: str) -> Record:
    """The object of that name within a record, or the record."""
    inner = record.get(name)
    return inner if isinstance(inner, dict) else record


def _first(record: Record, *names: str) -> str:
    """The first of some fields that holds something."""
    return next((str(record[name]) for name in names if record.get(name)), "")


def _body(comment: Record) -> str:
    return _first(comment, "plain_body", "body", "html_body", "value")


def _is_service(part: Record) -> bool:
    author = part.get("author")
    kind = str(author.get("type", "")).lower() if isinstance(author, dict) else ""
    return kind in ("admin", "bot", "team", "operator", "teammate")


def _ticket(
    reading: Reading, name: str, line: int, comments: Iterable[tuple[int, Comment]]
) -> Conversation:
    """A ticket in order of time; what is left out is counted."""
    kept = []
    for number, one in comments:
        if one.private:
            reading.leave_out(PRIVATE, [number])
        elif one.event:
            reading.leave_out(EVENT, [number])
        elif not one.text.strip():
            reading.leave_out(NO_TEXT, [number])
        else:
            kept.append((number, one))
    said = []
    for number, one in in_time(kept, [one.time for _, one in kept]):
        speaker, role = ("agent", SERVICE) if one.service else ("customer", USER)
        said.append(Utterance(speaker, without_markup(one.text), number, role, time=one.time))
    # the ticket's description is its first comment as well
    if len(said) > 1 and said[0].text == said[1].text and said[0].role == said[1].role:
        del said[1]
    return Conversation(name, said, line)
