"""
Facts from files: CSV with a header, or JSON Lines with an object a line.

Columns that a fact has by itself (``id``, ``entity``, ``question``, ``text``, ``valid_from``,
``valid_until``; ``key``, ``name`` and ``answer`` for the first, second and fourth) are taken as
such. A file without ``text`` is a table: each row is told in words, and its other columns are kept
as fields.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from parlai_cu.errors import DataError, near_file
from parlai_cu.knowledge.fact_codec import moment
from parlai_cu.types import Fact

_OWN = ("id", "entity", "question", "text", "valid_from", "valid_until")
_OTHER_NAMES = {"answer": "text", "name": "entity", "title": "entity", "key": "id"}
Row = tuple[int, dict[str, str]]


def read_facts(path: str) -> Iterator[Fact]:
    """
    The facts of a file, in order.

    :param path: ``*.csv``, ``*.tsv``, ``*.jsonl`` or ``*.json`` (lines)
    :raises DataError: naming the file and the line
    """
    if not os.path.isfile(path):
        raise DataError(f"--file {path}: no such file{near_file(path)}")
    kind = os.path.splitext(path)[1].lower()
    if kind in (".csv", ".tsv"):
        rows = _csv_rows(path, "\t" if kind == ".tsv" else ",")
    elif kind in (".jsonl", ".json"):
        rows = _json_rows(path)
    else:
        raise DataError(
            f"--file {path}: expected .csv, .tsv or .jsonl, found {kind or 'no ending'}"
        )
    about: str | None = None
    for line, row in rows:
        if about is None:
            about = entity_column(list(row))
        yield fact_of(path, line, row, about)


def row_sentence(row: dict[str, str], entity: str) -> str:
    """
    A row in words: ``Curry Garden: cuisine Indian, price range expensive.``

    :param row: column -> value; empty ones are left out
    :param entity: what it is about, if that is known
    """
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in row.items() if value]
    said = ", ".join(parts)
    return f"{entity}: {said}." if entity and said else f"{entity or said}."


def fact_of(place: str, line: int, row: dict[str, str], about: str) -> Fact:
    """
    The fact of a row.

    :param place: file or table, for messages
    :param line: its number, for messages
    :param row: column -> value; its own columns are taken as such
    :param about: the column that names what it is about; empty: none
    :raises DataError: when it says nothing
    """
    own = {name: row[name] for name in _OWN if row.get(name)}
    for name, meant in _OTHER_NAMES.items():
        if row.get(name):
            own.setdefault(meant, row[name])
    if not own.get("entity") and row.get(about):
        own["entity"] = row[about]
    taken = {*_OWN, *_OTHER_NAMES}
    fields = {name: value for name, value in row.items() if name not in taken and value}
    if not own.get("text"):
        shown = {name: value for name, value in fields.items() if name != about}
        if not shown:
            raise DataError(f"{place}:{line}: found no text and no other column that says anything")
        own["text"] = row_sentence(shown, own.get("entity", ""))
    for name in ("valid_from", "valid_until"):
        try:
            moment(own.get(name))
        except DataError as error:
            raise DataError(f"{place}:{line}: {name}: {error}") from error
    return Fact(fields=fields, **own)


def entity_column(columns: Sequence[str]) -> str:
    """The column that names what a row is about: the first that is called so."""
    for column in columns:
        if column.lower().split("_")[-1] in ("name", "title", "entity"):
            return column
    return ""


def _csv_rows(path: str, delimiter: str) -> Iterator[Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            if not reader.fieldnames or not all(name.strip() for name in reader.fieldnames):
                raise DataError(f"{path}:1: expected a header with a name for every column")
            for row in reader:
                if None in row or None in row.values():
                    found = len(row) if None not in row else len(reader.fieldnames) + len(row[None])
                    raise DataError(
                        f"{path}:{reader.line_num}: expected {len(reader.fieldnames)} columns, "
                        f"found {'fewer' if None not in row else found}"
                    )
                yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except csv.Error as error:
        raise DataError(f"{path}: {error}") from error


def _json_rows(path: str) -> Iterator[Row]:
    with open(path, encoding="utf-8") as file:
        try:
            for line, text in enumerate(file, 1):
                if text.strip():
                    yield line, _object(path, line, text)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from error


def _not_utf8(path: str, error: UnicodeDecodeError) -> DataError:
    return DataError(f"{path}: {error}; convert the file to UTF-8")


def _object(path: str, line: int, text: str) -> dict[str, str]:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}:{line}: expected a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}:{line}: expected a JSON object, found {text.strip()[:60]}")
    row = {}
    for name, value in found.items():
        if isinstance(value, (dict, list)):
            raise DataError(
                f"{path}:{line}: {name}: expected text or a number, found {value!r:.60}"
            )
        row[name] = "" if value is None else str(value).strip()
    return row
