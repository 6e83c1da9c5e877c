"""Files of columns (Parquet, Arrow, Feather), by pyarrow."""

import json
from typing import Any

from parlai_cu.errors import DataError


def read_parquet(path: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """
    Names of the columns, and the rows as text; what is nested is JSON.

    :raises DataError: when it is damaged, or the library is missing
    """
    columns, records = column_records(path)
    return columns, [tuple(_text(record[name]) for name in columns) for record in records]


def column_records(path: str) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """
    Names of the columns, and the rows as they are.

    :raises DataError: when it is damaged, or the library is missing
    """
    try:
        from pyarrow import ArrowException, ArrowInvalid, ipc, memory_map, parquet
    except ImportError:
        raise DataError(f"{path}: such a file is read by pyarrow: pip install pyarrow") from None
    try:
        if path.lower().endswith((".parquet", ".pq")):
            table = parquet.read_table(path)
        else:
            try:  # what Hugging Face's datasets write
                table = ipc.open_stream(memory_map(path)).read_all()
            except ArrowInvalid:
                table = ipc.open_file(memory_map(path)).read_all()
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: the file cannot be read ({error})") from error
    return tuple(table.column_names), table.to_pylist()


def _text(cell: object) -> str:
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return "" if cell is None else str(cell)
