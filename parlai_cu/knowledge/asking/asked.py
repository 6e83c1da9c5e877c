"""Tables of a knowledge base, read again when it changes, and what turns ask of them."""

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from parlai_cu.knowledge.asking.answering import answer
from parlai_cu.knowledge.asking.language import language_of
from parlai_cu.knowledge.asking.schema import TypedTable, tables_of
from parlai_cu.knowledge.backends.store import COLUMNS, Store, fact_in, holds
from parlai_cu.types import Evidence, Turn

# tables, and the moment from which they are others: "~" never
Dated = tuple[Sequence[TypedTable], str]
NEVER = "~"


class AskedTables:
    """
    What a knowledge base's tables answer.

    :param source: the knowledge base, as it is shown
    :param by_language: whether its tables depend on the language that is asked in
    """

    def __init__(self, source: str, by_language: bool = False) -> None:
        self._source, self._by_language = source, by_language
        self._lock = threading.Lock()
        # language -> tables, of one snapshot
        self._held: dict[str, Dated] = {}
        self._snapshot = ""

    def answers(self, turn: Turn, snapshot: str, read: Callable[[str], Dated]) -> list[Evidence]:
        """
        The answer to a turn; none where it was not wholly understood.

        :param turn: what was said
        :param snapshot: the state of the knowledge base
        :param read: its tables in that state, in a language
        """
        tables = self._tables(turn, snapshot, read)
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

    def _tables(
        self, turn: Turn, snapshot: str, read: Callable[[str], Dated]
    ) -> Sequence[TypedTable]:
        """What was read before, unless it is out of date."""
        said = language_of(turn.text).name if self._by_language else ""
        now = datetime.now(UTC).isoformat()
        with self._lock:
            if snapshot != self._snapshot:
                self._snapshot, self._held = snapshot, {}
            if said not in self._held or self._held[said][1] <= now:
                self._held[said] = read(said)
            return self._held[said][0]


def before_others(answers: Sequence[Evidence], others: Iterable[Evidence]) -> list[Evidence]:
    """Answers, and then what was found otherwise, but for the rows that they were made of."""
    told = {key for found in answers for key in found.rows}
    return [*answers, *(found for found in others if found.id not in told)]


def stored_tables(store: Store) -> Dated:
    """The tables that the facts in ``store`` came from; of those that hold now."""
    now = datetime.now(UTC).isoformat()
    imported = store.execute("SELECT id, action FROM changes WHERE action LIKE ?", ("import %",))
    sources = {row["id"]: str(row["action"]).partition(" ")[2] for row in imported}
    rows = store.execute(f"SELECT {COLUMNS} FROM facts ORDER BY key").fetchall()
    there = [fact_in(row) for row in rows if holds(row, now)]
    moments = {row[edge] for row in rows for edge in ("valid_from", "valid_until")} - {None, ""}
    return tables_of(there, sources), min((m for m in moments if m > now), default=NEVER)
