"""
Tables of messages, one a row: exports of help desks and chats.

Rows of a ticket are put in order of their time and joined to turns. Agents' private notes and
events (assigned, closed) are left out.
"""

from parlai_cu.data.base import CONTEXT, Conversation, Reading, ReadOptions, Utterance
from parlai_cu.data.cleaning import without_markup
from parlai_cu.data.column_names import ACCEPTED, REFUSED, split_of
from parlai_cu.data.columns import find_columns
from parlai_cu.data.pauses import by_pauses
from parlai_cu.data.readers.help_desks import EVENT, MESSAGE_KINDS, NO_TEXT, PRIVATE
from parlai_cu.data.readers.rows import (
    Row,
    cell,
    cells_of,
    fields_of,
    filled_down,
    in_order,
    is_flat,
    note_unused,
    rows_of,
)
from parlai_cu.data.source import Source
from parlai_cu.data.speakers import role_of

_NOTES = ("note", "internal", "private", "whisper")
_EVENTS = ("activity", "event", "assignment", "close", "open", "snoozed", "log", "system", "status")
_YES = ACCEPTED - {"x"}


class MessageRows:
    """Conversation, speaker, text, time; without a conversation long silences part them."""

    title = "messages, one a row"

    def recognises(self, source: Source) -> bool:
        """Whether it is a table, or flat records, of speaker and text without a question."""
        if source.table is None and not is_flat(source):
            return False
        found = find_columns(cells_of(source), ReadOptions(), source.name)
        pair = "question" in found and "reply" in found
        return "text" in found and _speaker(found) is not None and not pair

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        cells = cells_of(source)
        columns = find_columns(cells, options, source.name)
        shown = "conversation speaker text time private public language split".split()
        said_as = {"speaker": _speaker(columns) or "", **columns}
        reading = Reading(columns={role: said_as[role] for role in shown if role in said_as})
        note_unused(reading, fields_of(source), columns.values())
        held = filled_down(rows_of(source), columns.get("conversation"))
        rows = [row for row in held if _taken(row, columns, reading)]
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(cell(row[1], columns, "conversation"), []).append(row)
        for name, group in groups.items():
            ordered = in_order(group, columns.get("time"))
            said = [_said(row, columns) for row in ordered]
            if "conversation" not in columns:
                reading.conversations += by_pauses(source.name, said)
                continue
            split = split_of(cell(group[0][1], columns, "split"))
            language = cell(group[0][1], columns, "language") or None
            reading.conversations.append(Conversation(name, said, group[0][0], split, language))
        return reading


def _speaker(columns: dict[str, str]) -> str | None:
    return columns.get("speaker") or columns.get("type") or columns.get("incoming")


def _taken(row: Row, columns: dict[str, str], reading: Reading) -> bool:
    number, cells = row
    kind = _kind(cell(cells, columns, "type"))
    private = cell(cells, columns, "private").casefold() in _YES
    hidden = cell(cells, columns, "public").casefold() in REFUSED
    if private or hidden or any(word in kind for word in _NOTES):
        reading.leave_out(PRIVATE, [number])
    elif kind and any(kind.split()[0] == word for word in _EVENTS):
        reading.leave_out(EVENT, [number])
    elif not cells.get(columns["text"]):
        reading.leave_out(NO_TEXT, [number])
    elif not cells.get(columns.get("conversation", columns["text"])):
        reading.leave_out("of no conversation", [number])
    else:
        return True
    return False


def _kind(text: str) -> str:
    return MESSAGE_KINDS.get(text, text.casefold().replace("_", " ").strip())


def _said(row: Row, columns: dict[str, str]) -> Utterance:
    number, cells = row
    kind = _kind(cell(cells, columns, "type"))
    speaker = cell(cells, columns, "speaker") or kind
    if "incoming" in columns:
        came = cell(cells, columns, "incoming").casefold() in ACCEPTED
        speaker = kind = "incoming" if came else "outgoing"
    if kind in MESSAGE_KINDS.values() or (role_of(kind) and not role_of(speaker)):
        speaker = kind  # in Chatwoot a sender of type "User" is an agent
    role = role_of(speaker)
    if speaker.casefold() in ("system", "context"):
        role = CONTEXT
    time = cell(cells, columns, "time")
    return Utterance(speaker, without_markup(cells[columns["text"]]), number, role, time=time)
