"""Conversations of Chatwoot, with their messages."""

from typing import Any

from parlai_cu.data.base import Reading, ReadOptions
from parlai_cu.data.help_desk import MESSAGE_KINDS, Comment, first_text, ticket
from parlai_cu.data.source import Source, lines_within


class Chatwoot:
    """Incoming, outgoing, activities; what is private is a note."""

    title = "Chatwoot conversations"

    def recognises(self, source: Source) -> bool:
        """Whether it has messages that are incoming or outgoing."""
        return any(_messages(record) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        for number, record in source.records:
            messages = _messages(record)
            lines = lines_within(source.text, "messages", len(messages), number)
            held = []
            for line, one in zip(lines, messages):
                kind = _kind(one)
                text, time = first_text(one, "content"), first_text(one, "created_at")
                service = kind in ("outgoing", "template")
                event = kind == "activity"
                held.append(Comment(text, service, line, time, bool(one.get("private")), event))
            ticket(reading, record.get("id", number), number, held)
        return reading


def _messages(record: dict[str, Any]) -> list[dict[str, Any]]:
    held = record.get("messages")
    if not isinstance(held, list):
        return []
    found = [one for one in held if isinstance(one, dict) and "message_type" in one]
    return found if len(found) == len(held) else []


def _kind(message: dict[str, Any]) -> str:
    kind = str(message["message_type"])
    return MESSAGE_KINDS.get(kind, kind.lower())
