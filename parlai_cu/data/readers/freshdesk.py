"""Tickets of Freshdesk, with their conversations (in older exports: notes)."""

from typing import Any

from parlai_cu.data.base import Reading, ReadOptions
from parlai_cu.data.help_desk import Comment, first_text, ticket
from parlai_cu.data.source import Source, lines_within

_LISTS = ("conversations", "notes")


class Freshdesk:
    """The description is the customer's; what is incoming as well; what is private is a note."""

    title = "Freshdesk tickets"

    def recognises(self, source: Source) -> bool:
        """Whether it has conversations that are incoming or private."""
        return any(_comments(record)[1] for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All tickets."""
        reading = Reading(counted="ticket")
        for number, record in source.records:
            about = record.get("helpdesk_ticket", record)
            name, comments = _comments(record)
            lines = lines_within(source.text, name, len(comments), number)
            held = [
                Comment(
                    first_text(one, "body_text", "body", "body_html"),
                    not one.get("incoming", False),
                    line,
                    first_text(one, "created_at"),
                    bool(one.get("private")),
                )
                for line, one in zip(lines, comments)
            ]
            described = first_text(about, "description_text", "description", "description_html")
            if described:
                time = first_text(about, "created_at")
                held.insert(0, Comment(described, False, number, time))
            ticket(reading, about.get("id") or about.get("display_id") or number, number, held)
        return reading


def _comments(record: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    about = record.get("helpdesk_ticket", record)
    for name in _LISTS:
        held = about.get(name) if isinstance(about, dict) else None
        if isinstance(held, list):
            found = [one.get("note", one) for one in held if isinstance(one, dict)]
            if any("incoming" in one or "private" in one for one in found):
                return name, found
    return "", []
