"""Where the header of a table is."""

import pytest

from parlai_cu.tabular.header import find_header

ROWS = [["Ada", "1"], ["Bo", "2"], ["Cy", "5"]]


@pytest.mark.parametrize(
    "names",
    [["Art.-No.", "Price €"], ["Tel.", "max. persons"], ["OK?", "Qty."], ["No. of beds", "Fee"]],
)
def test_abbreviations_are_names(names: list[str]) -> None:
    """A point within or after a short word makes no sentence of it."""
    found = find_header([names, *ROWS])
    assert (found.rows, found.columns) == (1, tuple(names))


def test_a_row_with_too_many_cells_is_no_header() -> None:
    """Of a small table, too."""
    found = find_header([["name", "fee"], ROWS[0], ["Bo", "2", "3", "4"], ROWS[2]])
    assert (found.first, found.columns) == (0, ("name", "fee"))


def test_a_sentence_is_no_name() -> None:
    """A table without a header keeps its first row."""
    found = find_header([["What is it? It is tea.", "Yes, of course it is."], *ROWS])
    assert found.rows == 0
