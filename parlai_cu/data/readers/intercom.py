"""Conversations of Intercom, with their parts."""

from typing import Any

from parlai_cu.data.base import Reading, ReadOptions
from parlai_cu.data.help_desk import Comment, first_text, ticket
from parlai_cu.data.source import Source, lines_within

_SERVICE = ("admin", "bot", "team", "operator", "teammate")
_SAID = ("comment", "open", "close", "")


class Intercom:
    """What the conversation began with is its first message; notes are private."""

    title = "Intercom conversations"

    def recognises(self, source: Source) -> bool:
        """Whether it has conversation parts."""
        return any("conversation_parts" in record for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        for number, record in source.records:
            begun = record.get("source") or record.get("conversation_message") or {}
            held = []
            if begun.get("body"):
                time = first_text(record, "created_at")
                held.append(Comment(begun["body"], _is_service(begun), number, time))
            parts = _parts(record)
            lines = lines_within(source.text, "conversation_parts", len(parts), number)
            for line, part in zip(lines, parts):
                kind = str(part.get("part_type") or "")
                text = first_text(part, "body")
                note = kind.startswith("note")
                event = not note and (kind not in _SAID or not text)
                time = first_text(part, "created_at")
                held.append(Comment(text, _is_service(part), line, time, note, event))
            ticket(reading, record.get("id", number), number, held)
        return reading


def _parts(record: dict[str, Any]) -> list[dict[str, Any]]:
    held = record.get("conversation_parts")
    if isinstance(held, dict):
        held = held.get("conversation_parts")
    return [part for part in held if isinstance(part, dict)] if isinstance(held, list) else []


def _is_service(part: dict[str, Any]) -> bool:
    author = part.get("author")
    return isinstance(author, dict) and str(author.get("type", "")).lower() in _SERVICE
