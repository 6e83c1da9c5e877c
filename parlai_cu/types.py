"""The few things that travel between the parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Turn:
    """
    What somebody says, in its conversation.

    :param text: the last utterance, which is to be answered
    :param history: what was said before, oldest first; the last is the system's
    :param at: when it is said, where that is not now
    """

    text: str
    history: tuple[str, ...] = ()
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Fact:
    """
    A piece of knowledge to be written.

    :param text: the fact in words; where there is a ``question``, its answer
    :param id: what it is called; where missing the knowledge base gives one
    :param entity: what it is about, as people call it
    :param question: how people ask for it (an FAQ entry)
    :param fields: column -> value, of a row of a table
    :param valid_from: ISO date or time from which on it holds
    :param valid_until: ISO date or time from which on it no longer holds
    """

    text: str
    id: str | None = None
    entity: str = ""
    question: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    valid_from: str | None = None
    valid_until: str | None = None


@dataclass(frozen=True)
class Evidence:
    """
    A fact that was found.

    :param id: what the fact is called in its source
    :param text: the fact in words
    :param score: of the search, the more the better; comparable within one source
    :param source: the knowledge base, as it was named, without secrets
    :param snapshot: the state of the source that was read
    :param entity: what it is about, if that is known
    :param question: the question it answers, of an FAQ entry
    :param fields: column -> value, of a row
    :param query: what was asked of tables, where this is their whole answer and ``text`` the reply
    :param rows: the ids of all facts that such an answer is made of
    :param asked: the question as it was understood, where it was compared with what this says
    """

    id: str
    text: str
    score: float
    source: str
    snapshot: str
    entity: str = ""
    question: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    rows: tuple[str, ...] = ()
    asked: str = ""


@dataclass(frozen=True)
class GateDecision:
    """
    Whether a turn needs knowledge.

    :param query: whether to use it
    :param score: how sure the gate is, from 0 (no need) to 1
    :param gate: who decided
    """

    query: bool
    score: float
    gate: str


# what a gate may decide
ACCEPT, REFUSE, NOT_ENOUGH_DATA = "accept", "refuse", "not enough data"


@dataclass(frozen=True)
class Verdict:
    """
    Whether a candidate may go live.

    :param decision: ``accept``, ``refuse`` or ``not enough data``
    :param reasons: why, in words with their numbers; one for each check that did not pass
    :param checks: every check that was made, as plain values (they are written as JSON)
    """

    decision: str
    reasons: tuple[str, ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a decision that nobody would understand."""
        if self.decision not in (ACCEPT, REFUSE, NOT_ENOUGH_DATA):
            raise ValueError(
                f"decision {self.decision!r}: expected {ACCEPT}, {REFUSE} or {NOT_ENOUGH_DATA}"
            )

    @property
    def accepted(self) -> bool:
        """Whether the candidate may be promoted without force."""
        return self.decision == ACCEPT
