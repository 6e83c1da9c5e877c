"""
Tables of any kind: CSV with whatever delimiter and encoding, workbooks, Parquet.

One reader for all who take tables (update data, knowledge). Cells are text, as their owner sees
them; the header is found below titles, in two rows, or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from parlai_cu.errors import DataError, near_file
from parlai_cu.tabular.header import find_header
from parlai_cu.tabular.text_file import DecodedText, read_text

DELIMITED = (".csv", ".tsv", ".tab", ".psv")
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
COLUMNAR = (".parquet", ".pq", ".arrow", ".feather")
KINDS = (*DELIMITED, *WORKBOOKS, *COLUMNAR)


@dataclass(frozen=True)
class Table:
    """
    A table: the name of its sheet or file, its columns, each different, and its rows.

    Each row has its number in the file (of text: the line) and as many cells as columns. Also:
    whether the columns were named by the file, which rows were left out and why, and of a text file
    its encoding and delimiter.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[int, tuple[str, ...]]]
    named: bool = True
    left_out: Sequence[tuple[int, str]] = field(default=())
    encoding: str | None = None
    delimiter: str | None = None

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows as ``column -> cell``, each with its number."""
        for number, cells in self.rows:
            yield number, dict(zip(self.columns, cells))


def is_table(path: str) -> bool:
    """Whether a file is a table, by its name."""
    return ending(path) in KINDS


def ending(path: str) -> str:
    """The ending of a file's name in lower case, without ``.gz``."""
    name = path.lower().removesuffix(".gz")
    return os.path.splitext(name)[1]


def read_tables(path: str) -> list[Table]:
    """
    The tables of a file: one, or one a sheet; sheets that hold nothing are left out.

    :raises DataError: naming the file, and the line where there is one
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file{near_file(path)}")
    kind = ending(path)
    if kind in DELIMITED:
        return [delimited_table(path)]
    if kind in WORKBOOKS:
        from parlai_cu.tabular.workbook import read_sheets

        sheets = [table_of(name, rows) for name, rows in read_sheets(path) if rows]
        if not sheets:
            raise DataError(f"{path}: the workbook holds no row")
        return sheets
    if kind in COLUMNAR:
        from parlai_cu.tabular.parquet import read_parquet

        columns, cells = read_parquet(path)
        return [Table(os.path.basename(path), columns, list(enumerate(cells, 1)))]
    raise DataError(f"{path}: expected one of {', '.join(KINDS)}, found {kind or 'no ending'}")


def delimited_table(path: str, text: DecodedText | None = None) -> Table:
    """
    The table of a text file, whatever its name; of its text where that is known.

    :raises DataError: when it is empty or no text
    """
    from parlai_cu.tabular.delimited import read_delimited

    text = text or read_text(path)
    found = read_delimited(path, text.text)
    if not found.rows:
        raise DataError(f"{path}: the file is empty")
    name = os.path.basename(path)
    return table_of(name, found.rows, found.left_out, text.encoding, found.delimiter)


def table_of(
    name: str,
    rows: Sequence[tuple[int, Sequence[str]]],
    left_out: Sequence[tuple[int, str]] = (),
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Table:
    """
    A table from its rows: blank ones go, the header is found, short rows are filled up.

    Rows that were left out before stay so; encoding and delimiter are of a text file.
    """
    filled = [(n, [cell.strip() for cell in cells]) for n, cells in rows]
    filled = [(number, cells) for number, cells in filled if any(cells)]
    header = find_header([cells for _, cells in filled])
    width = len(header.columns)
    kept, gone = [], list(left_out)
    gone += [(number, "above the header") for number, _ in filled[: header.first]]
    for number, cells in filled[header.first + header.rows :]:
        if any(cells[width:]):
            held = sum(map(bool, cells))
            gone.append((number, f"{held} cells where the header names {width} columns"))
        else:
            kept.append((number, tuple((cells + [""] * width)[:width])))
    used = [i for i in range(width) if header.given[i] or any(cells[i] for _, cells in kept)]
    columns = tuple(header.columns[i] for i in used)
    kept = [(number, tuple(cells[i] for i in used)) for number, cells in kept]
    return Table(name, columns, kept, header.rows > 0, sorted(gone), encoding, delimiter)
