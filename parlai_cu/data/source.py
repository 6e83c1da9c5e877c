"""
A file as readers see it: its text, its records (JSON, tables), its YAML, each read once.

A workbook is several sources, one a sheet; a folder is several, one a file.
"""

import functools
import json
import os
import re
from dataclasses import dataclass
from typing import Any

from parlai_cu.data.column_names import split_in
from parlai_cu.errors import DataError
from parlai_cu.tabular.parquet import column_records
from parlai_cu.tabular.table import COLUMNAR, Table, ending, is_table, read_tables
from parlai_cu.tabular.text_file import DecodedText, read_text

UTF8 = ("utf-8", "utf-8-sig")
_YAML = (".yml", ".yaml")
# where exports keep their list of records
_LISTS = (
    "conversations tickets chats data messages examples rows records items payload results dialogs "
    "dialogues"
).split()
# what else stands in a message, and makes no table of it
_OF_MESSAGES = frozenset("name tool_calls tool_call_id weight id".split())
# who speaks, in a message; how good one of several answers is
_WHO = frozenset("role from sender speaker author id score rating reward".split())
Record = tuple[int, dict[str, Any]]


@dataclass
class Source:
    """A file, or a part of one: a sheet, or records that were given; perhaps it names a split."""

    path: str
    part: str = ""
    split: str | None = None
    table: Table | None = None
    given: list[Record] | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        short = os.path.basename(self.path.rstrip("/"))
        kind = "sheet" if self.table is not None else "split"
        return f"{short}, {kind} {self.part!r}" if self.part else short

    @functools.cached_property
    def decoded(self) -> DecodedText | None:
        """Text and encoding; None of what is no text file."""
        if self.table is not None or self.given is not None:
            return None
        return read_text(self.path)

    @property
    def text(self) -> str:
        """The text; empty of what is no text file."""
        return self.decoded.text if self.decoded else ""

    @property
    def encoding(self) -> str | None:
        """As Python calls it; None of what is no text file."""
        if self.table is not None:
            return self.table.encoding
        return self.decoded.encoding if self.decoded else None

    @functools.cached_property
    def _json(self) -> tuple[list[Record], list[tuple[int, str]]]:
        if self.given is not None:
            return self.given, []
        if self.table is not None:
            return list(self.table.records()), list(self.table.left_out)
        if ending(self.path) in _YAML and isinstance(self.yaml, list) and _are_records(self.yaml):
            return self._yaml_records(), []
        return json_records(self.text)

    def _yaml_records(self) -> list[Record]:
        nodes = _yaml().compose(self.text, Loader=_yaml_loader()).value
        return [(node.start_mark.line + 1, one) for node, one in zip(nodes, self.yaml)]

    @property
    def records(self) -> list[Record]:
        """Objects of JSON or rows of a table, each with its line; empty of anything else."""
        return self._json[0]

    @property
    def broken(self) -> list[tuple[int, str]]:
        """Lines of JSON, or rows, that could not be read, and why."""
        return self._json[1]

    @functools.cached_property
    def yaml(self) -> Any:
        """
        What a YAML file holds; None of anything else.

        :raises DataError: when it is broken
        """
        if ending(self.path) not in _YAML or self.table is not None:
            return None
        yaml = _yaml()
        try:
            return yaml.load(self.text, Loader=_yaml_loader())
        except (yaml.YAMLError, ValueError) as error:  # a date of the thirteenth month
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or error
            raise DataError(f"{self.path}{line}: not YAML ({problem})") from error

    def keys(self) -> set[str]:
        """Names that half of the first records have, at least."""
        first = [record for _, record in self.records[:50]]
        names = {name for record in first for name in record}
        return {n for n in names if 2 * sum(n in record for record in first) >= len(first)}


def _yaml() -> Any:
    import yaml  # type: ignore[import-untyped]

    return yaml


@functools.cache
def _yaml_loader() -> Any:
    """As JSON has it: keys are texts."""
    base = getattr(_yaml(), "CSafeLoader", _yaml().SafeLoader)

    def construct_mapping(loader: Any, node: Any, deep: bool = False) -> dict[str, Any]:
        held = base.construct_mapping(loader, node, deep)
        return {str(name): value for name, value in held.items()}

    return type("Loader", (base,), {"construct_mapping": construct_mapping})


def sources_of(path: str) -> list[Source]:
    """
    A file in its parts: a workbook in its sheets.

    :raises DataError: when it cannot be read
    """
    if not is_table(path):
        return [Source(path)]
    if ending(path) in COLUMNAR:
        _, records = column_records(path)
        return [Source(path, given=list(enumerate(records, 1)))]
    tables = read_tables(path)
    if len(tables) == 1:
        return [Source(path, table=tables[0])]
    return [Source(path, table.name, split_in(table.name), table) for table in tables]


def json_records(text: str) -> tuple[list[Record], list[tuple[int, str]]]:
    """
    The objects of a JSON text: a list, JSON Lines, or an object that holds a list of them.

    :return: the objects, each with its line; lines that are none, and why
    """
    begin = text.lstrip()[:1]
    if begin not in ("[", "{"):
        return [], []
    if begin == "[":
        records, broken, end = _of_list(text)
        if not text[end:].strip():
            return _one_chat(records), broken
    records, broken = [], []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line:
            try:
                found = json.loads(line)
            except ValueError as error:
                broken.append((number, f"not JSON ({getattr(error, 'msg', error)})"))
                continue
            _take(found, number, records, broken)
    if broken and len(broken) > len(records):  # one object over several lines, or several such
        objects = _objects(text)
        if objects:
            records, broken = objects, []
    return _unpacked(records, text), broken


def _one_chat(records: list[Record]) -> list[Record]:
    """A list of messages is one conversation."""
    for names, whole in (({"from", "value"}, "conversations"), ({"role", "content"}, "messages")):
        if records and all(names <= set(record) <= names | _OF_MESSAGES for _, record in records):
            return [(records[0][0], {whole: [record for _, record in records]})]
    return records


def _take(found: object, line: int, records: list[Record], broken: list[tuple[int, str]]) -> None:
    """An object is a record; a list of objects is a conversation, as messages or as rows."""
    if isinstance(found, dict):
        records.append((line, found))
    elif isinstance(found, list) and _are_records(found):
        if all("role" in one for one in found):
            records.append((line, {"messages": found}))
        elif all("from" in one and "value" in one for one in found):
            records.append((line, {"conversations": found}))
        elif all("id" in one and "text" in one for one in found):
            records.append((line, {"dialog": [found]}))
        else:
            records += [(line, {"conversation": str(line), **one}) for one in found]
    else:
        broken.append((line, "no JSON object"))


def _of_list(text: str, begin: int = 0) -> tuple[list[Record], list[tuple[int, str]], int]:
    """The records of a list, what is none, and where the list ends; lines count from ``begin``."""
    decoder = json.JSONDecoder()
    records: list[Record] = []
    broken: list[tuple[int, str]] = []
    at, line, counted = text.index("[", begin) + 1, 1, begin
    while True:
        while at < len(text) and text[at] in " \t\n,":
            at += 1
        if at >= len(text):
            return records, [*broken, (line, "the list is cut off")], at
        if text[at] == "]":
            return records, broken, at + 1
        line, counted = line + text.count("\n", counted, at), at
        try:
            found, at = decoder.raw_decode(text, at)
        except ValueError as error:
            message = getattr(error, "msg", error)
            said = f"not JSON ({message}), and all that follows"
            return records, [*broken, (line, said)], len(text)
        _take(found, line, records, broken)


def _objects(text: str) -> list[Record]:
    """Objects one after the other, each over several lines; empty where there is anything else."""
    decoder = json.JSONDecoder()
    records: list[Record] = []
    at, line, counted = 0, 1, 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        line, counted = line + text.count("\n", counted, at), at
        try:
            found, at = decoder.raw_decode(text, at)
        except ValueError:
            return []
        if not isinstance(found, dict):
            return []
        records.append((line, found))
    return records


def _unpacked(records: list[Record], text: str) -> list[Record]:
    """The list of records within the one object of an export."""
    if len(records) == 1:
        _, whole = records[0]
        lists = [name for name, held in whole.items() if isinstance(held, list)]
        for name in (*_LISTS, *(lists if len(lists) == 1 else ())):
            held = whole.get(name)
            if isinstance(held, dict):
                held = next((v for k, v in held.items() if k in ("list", *_LISTS)), None)
            if (
                isinstance(held, list)
                and _are_records(held)
                and not _is_one_conversation(whole, name)
            ):
                return list(zip(lines_within(text, name, len(held)), held))
        if len(whole) > 1 and all(isinstance(held, str) for held in whole.values()):
            if all(" " in name or "?" in name for name in whole):  # question -> answer
                return [(1, {"question": name, "answer": held}) for name, held in whole.items()]
    return records


def _are_records(held: list[Any]) -> bool:
    return bool(held) and all(isinstance(one, dict) for one in held)


def _is_one_conversation(whole: dict[str, Any], name: str) -> bool:
    """Whether the list is of the messages of the one record, not of records."""
    first = whole[name][0] if isinstance(whole[name], list) else {}
    keys = {key.lower() for key in first}
    named = name in ("messages", "conversations") or (name not in _LISTS and _WHO & keys)
    return bool(named) and not any(
        isinstance(value, (list, dict)) and inner != "content" and value
        for inner, value in first.items()
        if inner in (*_LISTS, "comments", "conversation_parts", "dialog")
    )


@functools.lru_cache(maxsize=1)  # it is asked once a record
def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def lines_within(text: str, name: str, count: int, first: int = 1) -> list[int]:
    """
    The lines on which the ``count`` elements of the list called ``name`` begin.

    Where that cannot be seen it is the first line: that of the object which holds the list.
    """
    if not count or not text:
        return [first] * count
    start = _line_starts(text)[first - 1]
    begin = re.compile(rf'"{name}"\s*:\s*(?:\{{[^\[{{]*)?\[').search(text, start)
    if begin:
        before = first - 1 + text.count("\n", start, begin.end() - 1)
        found, broken, _ = _of_list(text, begin.end() - 1)
        if len(found) == count and not broken:
            return [line + before for line, _ in found]
    return [first] * count
