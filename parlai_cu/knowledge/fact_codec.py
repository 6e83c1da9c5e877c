"""A fact as databases of ours hold it: its id, its dates, and itself in JSON."""

import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from parlai_cu.errors import DataError
from parlai_cu.types import Fact


def plain(fact: Fact) -> dict[str, Any]:
    """A fact as JSON holds it."""
    return dataclasses.asdict(dataclasses.replace(fact, fields=dict(fact.fields)))


def id_of(fact: Fact) -> str:
    """An id made from what the fact says."""
    said = [fact.entity, fact.question, fact.text, sorted(dict(fact.fields).items())]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def moment(text: str | None) -> str | None:
    """
    A date or time in UTC, such that later ones sort later.

    :param text: ISO; without a time zone it is meant in UTC, without a time at midnight
    :raises DataError: when it is neither
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{text!r} is no date: expected 2027-01-31 or 2027-01-31T12:00:00+01:00"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat()
