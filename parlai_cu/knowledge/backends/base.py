"""What a knowledge base is."""

from collections.abc import Iterable
from typing import Any, Protocol

from parlai_cu.errors import KnowledgeError
from parlai_cu.types import Evidence, Fact, Turn


class KnowledgeBase(Protocol):
    """
    One file per variant in this package, and one line in ``parlai_cu/plugin.py``.

    A variant is a class made from the URI that a user types: ``Variant(uri, **settings)``, which
    raises :class:`~parlai_cu.errors.KnowledgeError` when there is nothing it can read there.
    What is read while conversations go on (``query``, ``get``, ``snapshot_id``) sees every
    change of another process at once, and raises :class:`~parlai_cu.errors.KnowledgeError` while
    the source is out of reach; the next call tries again.
    """

    # as given, without user name and password
    name: str

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """
        What it knows about a turn, best first; of one snapshot.

        :param turn: any text at all: nothing in it is a command
        :param top_k: how many at most
        :raises KnowledgeError: while the source is out of reach
        """
        ...

    def get(self, fact_id: str) -> Evidence | None:
        """
        The fact of that id, with score 1.0; None if there is none.

        :raises KnowledgeError: while the source is out of reach
        """
        ...

    def add(self, facts: Iterable[Fact]) -> list[str]:
        """
        Add all facts or none; their ids.

        :raises KnowledgeError: when an id is there already, or nothing can be written
        """
        ...

    def update(self, fact: Fact) -> None:
        """
        Put a fact in the place of the one of its id.

        :raises KnowledgeError: when there is none, or nothing can be written
        """
        ...

    def remove(self, fact_ids: Iterable[str]) -> None:
        """
        Remove the facts of these ids, all or none.

        :raises KnowledgeError: naming an id that is not there, or when nothing can be written
        """
        ...

    def stats(self) -> dict[str, Any]:
        """
        What there is: at least ``facts`` (number) and ``snapshot``.

        :raises KnowledgeError: while the source is out of reach
        """
        ...

    def snapshot_id(self) -> str:
        """
        Changes whenever any fact does; the same state has the same id.

        :raises KnowledgeError: while the source is out of reach
        """
        ...

    def spent(self) -> dict[str, float]:
        """
        What asking cost since this was last called, beside time: name -> amount.

        Each is added up in the metric ``kb_NAME``; nothing, for what costs nothing.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class ReadOnly:
    """The writing part of a knowledge base that is changed by its owner's own tools."""

    name: str
    # what to change it with
    how_to_write = "its own tools"

    def add(self, facts: Iterable[Fact]) -> list[str]:
        """Refused."""
        raise self._refusal()

    def update(self, fact: Fact) -> None:
        """Refused."""
        raise self._refusal()

    def remove(self, fact_ids: Iterable[str]) -> None:
        """Refused."""
        raise self._refusal()

    def spent(self) -> dict[str, float]:
        """Nothing."""
        return {}

    def _refusal(self) -> KnowledgeError:
        return KnowledgeError(
            f"{self.name} is only read from here; change it with {self.how_to_write}, and the "
            "next turn will see it"
        )
