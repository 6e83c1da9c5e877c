"""Tables of questions and answers, one pair a row, from whatever holds rows."""

from collections.abc import Collection, Iterable, Mapping

from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.column_names import MISSING, split_of
from parlai_cu.data.columns import JUDGED, find_columns, is_refused, other_columns, plain, require
from parlai_cu.data.source import Source
from parlai_cu.data.times import in_time

Row = tuple[int, dict[str, str]]
# between the texts of a list in one cell
_BETWEEN = "\x1f"
# which row of ParlAI's own messages is the last of a conversation
_ENDS = "episode_done"


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
        require(columns, cells, options, source.name)
        for role in ("speaker", "text", "private", "public", "type", "incoming"):
            columns.pop(role, None)
        reading = Reading(columns=columns)
        corrections = "wrong" in columns
        reading.counted = "correction" if corrections else "question"
        wrongs = other_columns("wrong", columns, cells)
        if wrongs:
            reading.notes.append("wrong answers as well: " + ", ".join(map(repr, wrongs)))
        note_unused(reading, fields_of(source), {*columns.values(), *wrongs, _ENDS})
        wrongs = [columns["wrong"], *wrongs] if corrections else []
        rows = filled_down(rows_of(source), columns.get("conversation"))
        kept = [row for row in rows if _taken(row, columns, reading)]
        wrong_to = _judged_wrong(rows, columns, reading)
        several = [number for number, cells in kept if _BETWEEN in cells[columns["reply"]]]
        reading.leave_out("further right answers of a question", several)
        for number, name, group in _grouped(kept, columns):
            reading.conversations.append(
                Conversation(
                    name,
                    [one for row in group for one in _said(row, columns, wrongs, wrong_to)],
                    number,
                    split_of(cell(group[0][1], columns, "split")),
                    cell(group[0][1], columns, "language") or None,
                )
            )
        return reading


def cell(cells: Mapping[str, str], columns: Mapping[str, str], role: str) -> str:
    """What a row's cells hold in the column of a role; empty where there is none."""
    return cells.get(columns[role], "") if role in columns else ""


def is_flat(source: Source) -> bool:
    """Whether records hold texts, as rows do; what is nested beside them is another matter."""
    first = [record for _, record in source.records[:20]]
    return bool(first) and all(
        any(isinstance(value, str) for value in record.values())
        and sum(value is not None and not _is_nested(value) for value in record.values()) > 1
        for record in first
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def note_unused(reading: Reading, columns: Iterable[str], used: Collection[str]) -> None:
    """Say which columns or fields were not used."""
    unused = [repr(name) for name in columns if not {name, name.lower()} & set(used)]
    if unused:
        reading.notes.append("columns that are not used: " + ", ".join(unused))


def filled_down(rows: list[Row], column: str | None) -> list[Row]:
    """Rows whose ``column`` is empty below one that names a conversation belong to the same."""
    names = [cells.get(column, "") for _, cells in rows] if column else []
    named = [name for name in names if name]
    if not names or not names[0] or len(named) == len(names) or len(set(named)) < len(named):
        return rows
    last = ""
    found = []
    for (number, cells), name in zip(rows, names):
        last = name or last
        found.append((number, {**cells, str(column): last}))
    return found


def rows_of(source: Source) -> list[Row]:
    """Records as rows of text."""
    return [
        (number, {name: _text(value) for name, value in record.items()})
        for number, record in source.records
    ]


def cells_of(source: Source) -> dict[str, list[str]]:
    """Column -> what it holds in the first rows."""
    first = [record for _, record in source.records[:200]]
    nested = {n for record in first for n, held in record.items() if _is_nested(held)}
    names = [name for name in fields_of(source) if name not in nested]
    return {name: [_text(record.get(name)) for record in first] for name in names}


def fields_of(source: Source) -> list[str]:
    """All names in the first records, nested ones as well."""
    return list(dict.fromkeys(name for _, record in source.records[:200] for name in record))


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list)) and bool(value) and not _is_texts(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _BETWEEN.join(map(str, value))
    text = "" if value is None else str(value).strip()
    return "" if text.casefold() in MISSING else text


def _taken(row: Row, columns: dict[str, str], reading: Reading) -> bool:
    number, cells = row
    for role in ("question", "reply"):
        if not cells.get(columns[role]):
            reading.leave_out(f"no {role}", [number])
            return False
    if _is_refused(cells, columns):
        if plain(columns["accepted"]) not in JUDGED:
            reading.leave_out("not accepted", [number])
        return False
    return True


def _is_refused(cells: Mapping[str, str], columns: Mapping[str, str]) -> bool:
    return bool(is_refused(cell(cells, columns, "accepted")))


def _judged_wrong(
    rows: list[Row], columns: Mapping[str, str], reading: Reading
) -> dict[str, list[str]]:
    """Question -> answers that were judged wrong, where another to it was judged right."""
    found: dict[str, list[str]] = {}
    if plain(columns.get("accepted", "")) not in JUDGED:
        return found
    question, reply = columns["question"], columns["reply"]
    right = {cells[question] for _, cells in rows if not _is_refused(cells, columns)}
    for number, cells in rows:
        if _is_refused(cells, columns) and cells[question] and cells[reply]:
            if cells[question] in right:
                found.setdefault(cells[question], []).append(cells[reply])
            else:
                reading.leave_out("not accepted", [number])
    return found


def _grouped(rows: list[Row], columns: dict[str, str]) -> list[tuple[int, str, list[Row]]]:
    """The rows of each conversation in their order; without such a column each is one."""
    groups: dict[str, list[Row]] = {}
    goes_on = ""
    for order, (number, cells) in enumerate(rows, 1):
        name = cell(cells, columns, "conversation") if "conversation" in columns else goes_on
        name = name or f"row {order}"
        groups.setdefault(name, []).append((number, cells))
        goes_on = name if cells.get(_ENDS) == "no" else ""
    return [
        (group[0][0], name, in_order(group, columns.get("time"))) for name, group in groups.items()
    ]


def in_order(rows: list[Row], column: str | None) -> list[Row]:
    """Rows of a conversation by the time in a column, where all have one; else as they stand."""
    held = [cells.get(column, "") for _, cells in rows] if column else []
    if held and all(text.isdecimal() and len(text) < 7 for text in held):  # numbers of turns
        return sorted(rows, key=lambda row: int(row[1][str(column)]))
    return in_time(rows, held)


def _said(
    row: Row, columns: dict[str, str], wrongs: list[str], wrong_to: Mapping[str, list[str]]
) -> list[Utterance]:
    number, cells = row
    reply = cells[columns["reply"]].split(_BETWEEN)[0]
    context = cell(cells, columns, "context").replace(_BETWEEN, "\n")
    said = [Utterance("context", context, number, CONTEXT)] if context else []
    asked = cells[columns["question"]].replace(_BETWEEN, "\n")
    said.append(Utterance("user", asked, number, USER))
    answers = [one for name in wrongs for one in cells.get(name, "").split(_BETWEEN)]
    answers += wrong_to.get(cells[columns["question"]], [])
    rejected = tuple(one for one in answers if one and one != reply)
    said.append(Utterance("service", reply, number, SERVICE, rejected=rejected))
    return said
