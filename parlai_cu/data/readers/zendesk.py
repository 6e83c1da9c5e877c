"""Tickets of Zendesk, with their comments."""

from typing import Any

from parlai_cu.data.base import Reading, ReadOptions
from parlai_cu.data.help_desk import Comment, first_text, ticket
from parlai_cu.data.source import Source, lines_within

_CUSTOMERS = ("end-user", "end_user", "enduser", "customer", "requester")


class Zendesk:
    """Who wrote the ticket is the customer; comments that are not public are notes."""

    title = "Zendesk tickets"

    def recognises(self, source: Source) -> bool:
        """Whether it has comments that are public or not."""
        return any(
            "public" in one for _, record in source.records[:20] for one in _comments(record)
        )

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All tickets."""
        reading = Reading(counted="ticket")
        for number, record in source.records:
            inner = record.get("ticket")
            about = inner if isinstance(inner, dict) else record
            comments = _comments(record)
            lines = lines_within(source.text, "comments", len(comments), number)
            customers = {about.get("requester_id") or _first_author(comments)}
            for name in ("collaborator_ids", "email_cc_ids"):  # who was copied in
                customers.update(about.get(name) or ())
            held = []
            described = first_text(about, "description")
            created = first_text(about, "created_at")
            if described and not any(_body(one).strip() == described.strip() for one in comments):
                held.append(Comment(described, False, number, created))
            for line, one in zip(lines, comments):
                service = _is_service(one, customers)
                private = one.get("public") is False
                time = first_text(one, "created_at")
                held.append(Comment(_body(one), service, line, time, private))
            ticket(reading, about.get("id", number), number, held)
        return reading


def _comments(record: dict[str, Any]) -> list[dict[str, Any]]:
    held = record.get("comments")
    if held is None and isinstance(record.get("ticket"), dict):
        held = record["ticket"].get("comments")
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _body(comment: dict[str, Any]) -> str:
    return first_text(comment, "plain_body", "body", "html_body", "value")


def _first_author(comments: list[dict[str, Any]]) -> Any:
    return next((one.get("author_id") for one in comments if one.get("public", True)), None)


def _is_service(comment: dict[str, Any], customers: set[Any]) -> bool:
    author = comment.get("author")
    role = author.get("role") if isinstance(author, dict) else comment.get("author_role")
    if isinstance(role, str):
        return role.lower() not in _CUSTOMERS
    return comment.get("author_id") not in customers
