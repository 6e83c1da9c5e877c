"""Workbooks (xlsx, xls, xlsb, ods), by python-calamine."""

import datetime

from parlai_cu.errors import DataError


def read_sheets(path: str) -> list[tuple[str, list[tuple[int, list[str]]]]]:
    """
    The sheets of a workbook, each with its rows as text; a row keeps the number that it has there.

    What is merged over several rows stands in each of them.

    :raises DataError: when it is damaged, has a password, or the library is missing
    """
    try:
        import python_calamine
    except ImportError:
        raise DataError(
            f"{path}: workbooks are read by python-calamine: pip install python-calamine; "
            "or save the sheet as CSV"
        ) from None
    try:
        book = python_calamine.load_workbook(path)
        sheets = []
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            first, column = sheet.start or (0, 0)
            rows = sheet.to_python(skip_empty_area=True)
            for (top, left), (bottom, _) in sheet.merged_cell_ranges or ():
                for row in rows[top - first + 1 : bottom - first + 1]:
                    row[left - column] = rows[top - first][left - column]
            sheets.append(
                (name, [(first + i, [_text(c) for c in row]) for i, row in enumerate(rows, 1)])
            )
    except (python_calamine.CalamineError, ValueError, OSError) as error:
        raise DataError(f"{path}: the workbook cannot be read ({error})") from error
    return sheets


def _text(cell: object) -> str:
    """A cell as its owner sees it, nearly: 3.0 is 3, a date has no hour."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        whole_day = cell.time() == datetime.time()
        return str(cell.date()) if whole_day else cell.isoformat(sep=" ", timespec="seconds")
    return "" if cell is None else str(cell)
