"""Parquet files, by pyarrow."""

import json
from typing import Any

from parlai_cu.errors import DataError


def read_parquet(path: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """
    Names of the columns, and the rows as text; what is nested is JSON.

    :raises DataError: when it is damaged, or the library is missing
    """
    columns, records = parquet_records(path)
    return columns, [tuple(_text(record[name]) for name in columns) for record in records]


def parquet_records(path: str) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """
    Names of the columns, and the rows as they are.

    :raises DataError: when it is damaged, or the library is missing
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DataError(f"{path}: Parquet is read by pyarrow: pip install pyarrow") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: the Parquet file cannot be read ({error})") from error
    return tuple(table.column_names), table.to_pylist()


def _text(cell: Any) -> str:
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return "" if cell is None else str(cell)
