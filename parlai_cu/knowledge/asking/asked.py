"""Tables of a knowledge base, read again when it changes, and what turns ask of them."""

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from parlai_cu.knowledge.asking.answering import answer
from parlai_cu.knowledge.asking.schema import TypedTable
from parlai_cu.types import Evidence, Turn


class AskedTables:
    """
    What a knowledge base's tables answer.

    :param source: the knowledge base, as it is shown
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._state: tuple[str, list[TypedTable]] = ("", [])

    def answers(
        self, turn: Turn, snapshot: str, read: Callable[[], Iterable[TypedTable]]
    ) -> list[Evidence]:
        """
        The answer to a turn; none where it was not wholly understood.

        :param turn: what was said
        :param snapshot: the state of the knowledge base
        :param read: its tables in that state
        """
        with self._lock:
            if self._state[0] != snapshot:
                self._state = (snapshot, list(read()))
            tables = self._state[1]
        found = answer(turn, tables, turn.at or datetime.now()) if tables else None
        if found is None:
            return []
        rows = tuple(row.id for row in found.rows)
        first = rows[0] if rows else found.query.table.source
        entity = found.rows[0].entity if len(rows) == 1 else ""
        return [
            Evidence(
                first,
                found.text,
                1.0,
                self._source,
                snapshot,
                entity,
                query=str(found.query),
                rows=rows,
            )
        ]
