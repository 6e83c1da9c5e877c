"""Tables of a knowledge base, read again when it changes, and what turns ask of them."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from parlai_cu.knowledge.asking.answering import answer
from parlai_cu.knowledge.asking.language import language_of
from parlai_cu.knowledge.asking.schema import TypedTable, tables_of
from parlai_cu.knowledge.backends.store import COLUMNS, Store, fact_in
from parlai_cu.types import Evidence, Turn


class AskedTables:
    """
    What a knowledge base's tables answer.

    :param source: the knowledge base, as it is shown
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._state: tuple[tuple[str, str], list[TypedTable]] = (("", ""), [])

    def answers(
        self, turn: Turn, snapshot: str, read: Callable[[str], Iterable[TypedTable]]
    ) -> list[Evidence]:
        """
        The answer to a turn; none where it was not wholly understood.

        :param turn: what was said
        :param snapshot: the state of the knowledge base
        :param read: its tables in that state, in a language
        """
        state = (snapshot, language_of(turn.text).name)
        with self._lock:
            if self._state[0] != state:
                self._state = (state, list(read(state[1])))
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


def stored_tables(store: Store) -> list[TypedTable]:
    """The tables that the facts in ``store`` came from; of those that hold now."""
    now = datetime.now(UTC).isoformat()
    imported = store.execute("SELECT id, action FROM changes WHERE action LIKE ?", ("import %",))
    sources = {row["id"]: str(row["action"]).partition(" ")[2] for row in imported}
    rows = store.execute(f"SELECT {COLUMNS} FROM facts ORDER BY key")
    there = [
        fact_in(row)
        for row in rows
        if (row["valid_from"] or "") <= now < (row["valid_until"] or "~")
    ]
    return tables_of(there, sources)
