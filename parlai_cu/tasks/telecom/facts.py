"""
The fact base: small tables, one file each in ``facts/``; every cell is a fact with an id.

A row has a ``key`` and a ``name`` people call it by; the fact in its column ``price`` has the id
``plans/flex_10/price``.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "facts"
# not facts by themselves: what a row is called
LABELS = ("key", "name")

Row = Mapping[str, str]


class Correction(NamedTuple):
    """A fact, by its id, that the deployed assistant was taught wrong, and its right value."""

    fact_id: str
    value: str


class FactBase:
    """
    Tables of facts.

    :param tables: name of the table -> its rows, each column -> value
    """

    def __init__(self, tables: Mapping[str, list[Row]]) -> None:
        self.tables = dict(tables)

    @classmethod
    def read(cls, *names: str) -> "FactBase":
        """The shipped tables of these names."""
        return cls({name: _read(name) for name in names})

    def facts(self) -> Iterator[tuple[str, str]]:
        """Every fact's id and value."""
        for table, rows in self.tables.items():
            for row in rows:
                for column, value in row.items():
                    if column not in LABELS:
                        yield fact_id(table, row, column), value

    def corrected(self, corrections: list[Correction]) -> "FactBase":
        """
        A copy in which some facts have another value.

        :raises KeyError: a correction is about a fact that is not here
        """
        new: dict[str, str] = {c.fact_id: c.value for c in corrections}
        unknown = new.keys() - dict(self.facts()).keys()
        if unknown:
            raise KeyError(f"corrections of facts that do not exist: {sorted(unknown)}")
        tables: dict[str, list[Row]] = {
            table: [
                {
                    column: new.get(fact_id(table, row, column), value)
                    for column, value in row.items()
                }
                for row in rows
            ]
            for table, rows in self.tables.items()
        }
        return FactBase(tables)


def fact_id(table: str, row: Row, column: str) -> str:
    """The id of the fact in this cell: a row of a table, and a column."""
    return f"{table}/{row['key']}/{column}"


def read_corrections() -> list[Correction]:
    """The twenty facts that ``telecom:corrections`` puts right."""
    return [Correction(row["fact"], row["value"]) for row in _read("corrections")]


def _read(name: str) -> list[Row]:
    with open(FOLDER / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
