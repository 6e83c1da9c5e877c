"""Records (JSON, JSON Lines, YAML) as tables."""

import json
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from parlai_cu.errors import DataError
from parlai_cu.tabular.table import Table
from parlai_cu.tabular.text_file import read_text


def read_records(path: str, kind: str) -> Table:
    """
    The records of a file as a table; what is nested is told by joined names.

    :param path: of the file
    :param kind: its ending: .json, .jsonl, .yaml or .yml
    :raises DataError: naming the file and the line
    """
    text = read_text(path).text
    records = list(_yaml(path, text) if kind in (".yaml", ".yml") else _json(path, text))
    rows, columns = [], dict[str, None]()
    for line, record in records:
        flat = dict(_flat(record))
        columns.update(dict.fromkeys(flat))
        rows.append((line, flat))
    names = tuple(columns)
    cells = [(line, tuple(flat.get(name, "") for name in names)) for line, flat in rows]
    return Table(path.rpartition("/")[2], names, cells)


def _json(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """An array, an object that holds one, an object, or an object a line."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if whole is not None:
        yield from _objects(path, whole)
        return
    for line, part in enumerate(text.splitlines(), 1):
        if not part.strip():
            continue
        try:
            found = json.loads(part)
        except ValueError as error:
            raise DataError(f"{path}:{line}: expected a JSON object: {error}") from error
        except RecursionError:
            raise DataError(f"{path}:{line}: nested too deep") from None
        yield line, _object(path, line, found)


def _yaml(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        # dates and numbers stay as they are written
        whole = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path}: this is no YAML: {' '.join(str(error).split())}") from error
    yield from _objects(path, whole)


def _objects(path: str, whole: object) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(whole, dict):
        lists = [part for part in whole.values() if isinstance(part, list)]
        named = whole and all(isinstance(part, dict) for part in whole.values())
        if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]):
            whole = lists[0]
        elif named and len(whole) > 1:
            whole = [{"name": name, **part} for name, part in whole.items()]
        else:
            whole = [whole]
    if not isinstance(whole, list):
        raise DataError(f"{path}:1: expected records, found {whole!r:.60}")
    for number, found in enumerate(whole, 1):
        yield number, _object(path, number, found)


def _object(path: str, line: int, found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise DataError(f"{path}:{line}: expected a JSON object, found {json.dumps(found)[:60]}")
    return found


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Cells of a record: ``{"price": {"adult": 3}}`` is "price adult"."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name} {key}".strip())
    elif isinstance(value, list):
        if all(not isinstance(part, (dict, list)) for part in value):
            yield name, ", ".join(_text(part) for part in value if part is not None)
        else:
            for number, part in enumerate(value, 1):
                yield from _flat(part, f"{name} {number}".strip())
    else:
        yield name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value).strip()
