"""
The header of a table: which rows it is, and what the columns are called.

Above it may stand titles; it may be two rows, the upper of cells that were merged over several
columns; it may be missing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# how far down a header is looked for
_LOOKED_AT = 12
# no name of a column is longer
_LONGEST_NAME = 60
# a sentence, or a number; "OK?" and "Art.-No." are names
_NO_NAME = re.compile(r"\s\S+.*[?!。？！]|[。？！]|\w{6}[.](?:\s|$)|^[\d\W_]+$")


@dataclass(frozen=True)
class Header:
    """
    A header: the index of its first row, and how many rows it is; none: there is no header.

    The names of the columns, each different, and of each whether it is given by the file.
    """

    first: int
    rows: int
    columns: tuple[str, ...]
    given: tuple[bool, ...]


def find_header(rows: Sequence[Sequence[str]]) -> Header:
    """Find the header of a table in its rows, none of which is blank."""
    if not rows:
        return Header(0, 0, (), ())
    width = _usual_width(rows)
    index = next((i for i, row in enumerate(rows[:_LOOKED_AT]) if _is_full(row, width)), 0)
    cells = rows[index]
    if not _could_name(cells) or len(rows) == index + 1:
        return _without(rows, index, width)
    if index + 1 < len(rows) - 1 and _is_upper_row(cells, rows[index + 1]):
        both = _joined(cells, rows[index + 1])
        return _named(index, 2, both)
    upper = rows[index - 1] if index else []
    if len([cell for cell in upper if cell]) > 1 and _is_upper_row(upper, cells):
        return _named(index - 1, 2, _joined(upper, cells))
    return _named(index, 1, list(cells))


def _is_full(cells: Sequence[str], width: int) -> bool:
    held = sum(map(bool, cells))
    return held >= max(1, min(width, 2)) and 2 * held > width


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    """
    How many columns reach down the table: the most that a tenth of the rows fill.

    Of a few rows more than one must: a single one may just have a cell too many.
    """
    lengths = sorted(max((i + 1 for i, cell in enumerate(row) if cell), default=0) for row in rows)
    passed_over = max(len(lengths) // 10, int(len(lengths) > 2))
    return lengths[-1 - passed_over]


def _could_name(cells: Sequence[str]) -> bool:
    held = [cell for cell in cells if cell]
    return all(len(cell) <= _LONGEST_NAME and not _NO_NAME.search(cell) for cell in held)


def _is_upper_row(upper: Sequence[str], lower: Sequence[str]) -> bool:
    """Whether a row's cells reach over several names of the row below."""
    if not _could_name(upper) or not _could_name(lower):
        return False
    gaps = [i for i, cell in enumerate(upper) if not cell and i and i < len(lower) and lower[i]]
    held = [cell.casefold() for cell in lower if cell]
    # names, not values: no long text, and with what stands above them each is different
    joined = [cell.casefold() for cell in _joined(upper, lower) if cell]
    short = all(len(cell.split()) <= 3 for cell in held)
    return bool(gaps) and short and len(set(joined)) == len(joined) and len(held) > len(gaps)


def _joined(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    names, over = [], ""
    for i in range(max(len(upper), len(lower))):
        above = upper[i] if i < len(upper) else ""
        below = lower[i] if i < len(lower) else ""
        over = above or over
        names.append(f"{over} {below}".strip() if below and below != over else above)
    return names


def _named(first: int, rows: int, cells: list[str]) -> Header:
    while cells and not cells[-1]:
        cells = cells[:-1]
    names: list[str] = []
    for i, cell in enumerate(cells):
        name = " ".join(cell.split()) or f"column {i + 1}"
        count, one = 2, name
        while one.casefold() in (n.casefold() for n in names):
            one, count = f"{name} ({count})", count + 1
        names.append(one)
    return Header(first, rows, tuple(names), tuple(bool(cell) for cell in cells))


def _without(rows: Sequence[Sequence[str]], first: int, width: int) -> Header:
    names = tuple(f"column {i + 1}" for i in range(max(width, len(rows[first]))))
    return Header(first, 0, names, (False,) * len(names))
