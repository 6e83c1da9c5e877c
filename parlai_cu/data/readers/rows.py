"""Tables of questions and answers, one pair a row, from whatever holds rows."""

from typing import Any

from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.column_names import REFUSED, split_of
from parlai_cu.data.columns import find_columns, require
from parlai_cu.data.source import Source
from parlai_cu.data.times import parse_times

Row = tuple[int, dict[str, str]]


class QuestionRows:
    """Question and reply, where there is one what was answered wrongly, context, conversation."""

    title = "questions and answers"

    def recognises(self, source: Source) -> bool:
        """Whether it is a table, or flat records, with question and reply."""
        if source.table is None and not is_flat(source):
            return False
        found = find_columns(cells_of(source), ReadOptions(), source.name)
        return "question" in found and "reply" in found

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All rows."""
        cells = cells_of(source)
        columns = find_columns(cells, options, source.name)
        require(columns, cells, source.name)
        for role in ("speaker", "text", "private", "public", "type", "incoming"):
            columns.pop(role, None)
        reading = Reading(columns=columns)
        corrections = "wrong" in columns
        reading.counted = "correction" if corrections else "question"
        unused = [name for name in cells if name not in columns.values()]
        if unused:
            reading.notes.append("columns that are not used: " + ", ".join(map(repr, unused)))
        rows = rows_of(source)
        kept = [row for row in rows if _taken(row, columns, reading)]
        for number, name, group in _grouped(kept, columns):
            reading.conversations.append(
                Conversation(
                    name,
                    [one for row in group for one in _said(row, columns)],
                    number,
                    split_of(_one(group, columns.get("split"))),
                    _one(group, columns.get("language")) or None,
                )
            )
        return reading


def is_flat(source: Source) -> bool:
    """Whether records hold texts, as rows do; what is nested beside them is another matter."""
    first = [record for _, record in source.records[:20]]
    return bool(first) and all(
        sum(isinstance(value, str) for value in record.values()) > 1 for record in first
    )


def rows_of(source: Source) -> list[Row]:
    """Records as rows of text."""
    return [
        (number, {name: _text(value) for name, value in record.items()})
        for number, record in source.records
    ]


def cells_of(source: Source) -> dict[str, list[str]]:
    """Column -> what it holds in the first rows."""
    first = source.records[:200]
    nested = {
        n for _, record in first for n, held in record.items() if isinstance(held, (dict, list))
    }
    names = dict.fromkeys(n for _, record in first for n in record if n not in nested)
    return {name: [_text(record.get(name)) for _, record in source.records[:200]] for name in names}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value).strip()


def _taken(row: Row, columns: dict[str, str], reading: Reading) -> bool:
    number, cells = row
    for role in ("question", "reply"):
        if not cells.get(columns[role]):
            reading.leave_out(f"no {role}", [number])
            return False
    if cells.get(columns.get("accepted", ""), "").casefold() in REFUSED:
        reading.leave_out("not accepted", [number])
        return False
    return True


def _grouped(rows: list[Row], columns: dict[str, str]) -> list[tuple[int, str, list[Row]]]:
    """The rows of each conversation in their order; without such a column each is one."""
    column = columns.get("conversation")
    groups: dict[str, list[Row]] = {}
    for order, (number, cells) in enumerate(rows, 1):
        name = cells.get(column, "") if column else ""
        groups.setdefault(name or f"row {order}", []).append((number, cells))
    return [
        (group[0][0], name, in_order(group, columns.get("time"))) for name, group in groups.items()
    ]


def in_order(rows: list[Row], column: str | None) -> list[Row]:
    """
    Rows by their time, where all have one; else as they stand.

    :param rows: of one conversation
    :param column: that holds the time
    """
    times = parse_times([cells.get(column, "") for _, cells in rows]) if column else None
    if times is None:
        return rows
    order = sorted(range(len(rows)), key=lambda i: times[i])
    return [rows[i] for i in order]


def _said(row: Row, columns: dict[str, str]) -> list[Utterance]:
    number, cells = row
    wrong = cells.get(columns.get("wrong", ""), "")
    reply = cells[columns["reply"]]
    context = cells.get(columns.get("context", ""), "")
    said = [Utterance("context", context, number, CONTEXT)] if context else []
    said.append(Utterance("user", cells[columns["question"]], number, USER))
    rejected = (wrong,) if wrong and wrong != reply else ()
    said.append(Utterance("service", reply, number, SERVICE, rejected=rejected))
    return said


def _one(rows: list[Row], column: str | None) -> str:
    return rows[0][1].get(column, "") if column else ""
