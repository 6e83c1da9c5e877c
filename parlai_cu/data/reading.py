"""Files of conversations: the format recognised, everything read, and said what was understood."""

import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from parlai_cu import plugin
from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    Conversation,
    ConversationReader,
    Reading,
    ReadOptions,
    TrainingTurn,
    exchanges,
)
from parlai_cu.data.folders import sources_in, unpack
from parlai_cu.data.readers.message_rows import MessageRows
from parlai_cu.data.readers.rows import QuestionRows
from parlai_cu.data.source import UTF8, Source, sources_of
from parlai_cu.data.speakers import assign
from parlai_cu.errors import DataError, UsageError, near_file, nearest
from parlai_cu.named import load
from parlai_cu.tabular.table import delimited_table, is_table

# how many line numbers are shown of what was left out
_SHOWN = 8


@dataclass(frozen=True)
class ReadFile:
    """
    A file of some name, or a sheet of one, that was read, by a format of that title.

    The service: the speaker whose replies are learnt, where that had to be found; the encoding
    where it is not UTF-8.
    """

    name: str
    path: str
    title: str
    reading: Reading
    service: str | None
    encoding: str | None

    def exchanges(self) -> Iterator[tuple[Conversation, list[TrainingTurn]]]:
        """The conversations in which there is something to learn."""
        for conversation in self.reading.conversations:
            held = list(exchanges(conversation))
            if held:
                yield conversation, held

    def summary(self) -> list[str]:
        """What was understood, in a line, and what was left out, in a line each."""
        reading = self.reading
        held = [turns for _, turns in self.exchanges()]
        count, replies = len(held), sum(map(len, held))
        said = f"{self.name}: {count} {reading.counted}{'s' if count != 1 else ''}"
        if replies != count:
            said += f", {replies} replies"
        parts = [said, self.title] if not reading.columns else [said]
        if reading.columns:
            parts.append(", ".join(f"{role} = {name!r}" for role, name in reading.columns.items()))
        if self.service:
            parts.append(f"service = {self.service!r}")
        if self.encoding:
            parts.append(f"read as {self.encoding}")
        lines = ["; ".join(parts)]
        by_reason: dict[str, list[int]] = {}
        for one in reading.left_out:
            by_reason.setdefault(one.reason, []).append(one.line)
        for reason, numbers in by_reason.items():
            count = len(numbers)
            numbers = list(dict.fromkeys(numbers)) if len(numbers) > 1 else numbers
            shown = ", ".join(map(str, numbers[:_SHOWN])) + (", ..." if numbers[_SHOWN:] else "")
            what = "line" if len(numbers) == 1 else "lines"
            lines.append(f"  left out: {count}, {reason} ({what} {shown})")
        return lines + [f"  {note}" for note in reading.notes]


def read_path(path: str, options: ReadOptions | None = None) -> list[ReadFile]:
    """
    Read a file or a folder.

    :return: what was read, a file each, of a workbook a sheet each
    :raises DataError: when nothing can be learnt from it
    :raises UsageError: when an option does not fit it
    """
    options = options or ReadOptions()
    path = path.rstrip("/") or path
    others: list[str] = []
    if os.path.isdir(path):
        sources, others = sources_in(path)
    elif not os.path.isfile(path):
        raise DataError(f"{path}: no such file or folder{near_file(path)}")
    elif zipfile.is_zipfile(path) and not is_table(path):
        return _read_archive(path, options)
    else:
        sources = sources_of(path)
    found, unknown = [], []
    for source in sources:
        reader = reader_for(source, options)
        source = _as_table(source, reader)
        reader = reader or reader_for(source, options)
        if reader is None:
            unknown.append(source)
        else:
            found.append(_read(source, reader, options))
    if not found:
        raise _not_recognised(sources[0], options)
    for name in others:
        found[0].reading.leave_out(f"file of no known format: {os.path.basename(name)}", [1])
    for source in unknown:
        if source.table is not None:
            lines = [number for number, _ in source.records]
            reason = f"rows of {source.name}, without question and reply"
            found[0].reading.leave_out(reason, lines)
        else:
            found[0].reading.leave_out(f"file of no known format: {source.name}", [1])
    if not any(True for one in found for _ in one.exchanges()):
        raise DataError(
            f"{path}: read as {found[0].title}, but there is no reply to learn in it\n"
            + "\n".join(line for one in found for line in one.summary())
        )
    return found


def _read_archive(path: str, options: ReadOptions) -> list[ReadFile]:
    """What is in a zip archive, as the files of a folder are."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = read_path(unpack(path, folder), options)
        except DataError as error:
            raise DataError(str(error).replace(folder, path)) from error
    within = os.path.basename(path)
    return [
        replace(one, name=f"{within}, {one.name}", path=one.path.replace(folder, path))
        for one in found
    ]


def _as_table(source: Source, reader: ConversationReader | None) -> Source:
    """A text that no reader knows, or that is to be read so, as a table that names its columns."""
    if source.table is not None or source.records or not source.text.strip():
        return source
    if reader is None or reader.title in (QuestionRows.title, MessageRows.title):
        table = delimited_table(source.path, source.decoded)
        if reader or (table.named and len(table.columns) > 1 and not table.left_out):
            return replace(source, table=table)
    return source


def reader_for(source: Source, options: ReadOptions) -> ConversationReader | None:
    """
    The reader of a file: the one that is named, or the first that recognises it.

    :raises UsageError: when there is none of that name
    """
    names = plugin.DATA_FORMATS
    if options.format is not None:
        if options.format not in names and ":" not in options.format:
            close = nearest(options.format, names) or list(names)
            raise UsageError(f"--format {options.format}: expected one of {', '.join(close)}")
        return _reader(options.format)
    if options.columns:
        roles = {role for role, _ in options.columns}
        return _reader("messages" if "text" in roles or "speaker" in roles else "questions")
    readers = (_reader(name) for name in names)
    return next((reader for reader in readers if reader.recognises(source)), None)


def _reader(name: str) -> ConversationReader:
    found: ConversationReader = load(plugin.DATA_FORMATS.get(name, name), "--format")()
    return found


def _read(source: Source, reader: ConversationReader, options: ReadOptions) -> ReadFile:
    reading = reader.read(source, options)
    # a text that begins with a bracket is no broken JSON
    for line, reason in source.broken if source.records or source.table else ():
        reading.leave_out(reason, [line])
    service = assign(reading, options, source.name)
    if options.service is not None or not _is_plain(source, reading):
        reading.stock = None
    if source.split:
        reading.conversations = [replace(c, split=source.split) for c in reading.conversations]
    if not reading.stock:
        _instructions(reading, options)
        _replies_that_lack(reading)
    encoding = None if source.encoding in (None, *UTF8) else source.encoding
    return ReadFile(source.name, source.path, reader.title, reading, service, encoding)


def _is_plain(source: Source, reading: Reading) -> bool:
    """Whether ParlAI can read the file itself: it knows UTF-8 and nothing that is packed."""
    marked = source.encoding == "utf-8-sig" and reading.stock != "jsonfile"
    return source.encoding in UTF8 and not marked and not source.path.lower().endswith(".gz")


def _instructions(reading: Reading, options: ReadOptions) -> None:
    """System messages: those that are the same everywhere are said by no user."""
    held = [
        {one.text for one in c.utterances if one.role == CONTEXT and one.speaker in _SYSTEM}
        for c in reading.conversations
    ]
    texts = {text for found in held for text in found}
    if not texts or options.instructions == "keep":
        return
    if options.instructions == "auto" and (len(texts) > 1 or not all(held)):
        return
    reading.change(lambda u: None if u.role == CONTEXT and u.speaker in _SYSTEM else u)
    what = "the system message, the same in all," if len(texts) == 1 else "system messages"
    reading.notes.append(f"{what} left out (--instructions keep to keep): {min(texts)[:60]!r}")


_SYSTEM = ("system", "developer")


def _replies_that_lack(reading: Reading) -> None:
    without, ends = [], []
    for conversation in reading.conversations:
        if not any(exchanges(conversation)):
            without.append(conversation.line)
            continue
        said = conversation.utterances
        replied = [i for i, one in enumerate(said) if one.role == SERVICE]
        if replied:
            ends += [one.line for one in said[replied[-1] + 1 :]]
    reading.leave_out("no reply of the service to a user", without)
    reading.leave_out("no reply follows", ends)


def _not_recognised(source: Source, options: ReadOptions) -> DataError:
    if source.records:
        first: Sequence[str] = sorted(source.keys())
        what = f"records with {', '.join(first) or 'nothing in common'}"
        if source.table is not None:
            what = f"columns {', '.join(map(repr, source.table.columns))}"
    elif source.broken:
        line, why = source.broken[0]
        what = f"line {line}: {why}"
    else:
        lines = [line for line in source.text.split("\n") if line.strip()]
        what = f"text that begins {lines[0][:60]!r}" if lines else "nothing"
    return DataError(
        f"{source.path}: no format of conversations that is known; found {what}. Expected one of "
        f"{', '.join(plugin.DATA_FORMATS)}: say which by --format, or name the columns: "
        "--columns question=NAME,reply=NAME"
    )


def parse_columns(said: str | None) -> tuple[tuple[str, str], ...]:
    """
    Columns by role, as ``--columns`` said: ``question=NAME,reply=NAME``.

    In a task's name, which cannot hold these marks: ``question;NAME|reply;NAME``.

    :raises UsageError: when it is something else
    """
    found = []
    for part in re.split(r"[,|](?=\s*\w+\s*[=:;])", said or ""):
        role, mark, name = re.split(r"([=:;]|$)", part, maxsplit=1)
        if role.strip() and mark and name.strip():
            found.append((role.strip(), name.strip()))
        elif part.strip():
            raise UsageError(f"--columns {said}: expected question=NAME,reply=NAME")
    return tuple(found)


def signature(path: str) -> str:
    """Size and times of a file, or of all in a folder: the same, and nothing was changed."""
    found = []
    names = [os.path.join(f, n) for f, _, ns in os.walk(path) for n in ns] or [path]
    for name in sorted(names):
        try:
            state = os.stat(name)
        except OSError:
            continue
        found.append(f"{name}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}")
    return "\n".join(found)
