"""``parlai knowledge_base import --file``: whatever file it is."""

import os
from collections.abc import Callable

from parlai_cu.errors import DataError, UsageError, near_file
from parlai_cu.knowledge.importing import documents, tables
from parlai_cu.knowledge.importing.plan import ImportPlan
from parlai_cu.tabular import table as tabular

_RECORDS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
# files that are no facts to be copied, and what they are given to
_ELSEWHERE = {
    **dict.fromkeys(
        (".ttl", ".nt", ".n3", ".rdf", ".jsonld", ".trig"),
        "a graph is asked where it is: --kb graph:{path}",
    ),
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3"),
        "a database is asked where it is: --kb sql+sqlite:///{path}; or copy its tables: "
        "--from-url sqlite:///{path}",
    ),
}
KINDS = (*tabular.KINDS, *_RECORDS, *documents.KINDS)


def read_source(path: str, entity_column: str | None = None) -> list[ImportPlan]:
    """
    The facts of a file: one plan, or one a sheet.

    :param path: of the file
    :param entity_column: which column says what a row is about, where that is not to be found out
    :raises DataError: naming the file, and the line where there is one
    :raises UsageError: when the file belongs elsewhere, or the column is not there
    """
    if not os.path.isfile(path):
        raise DataError(f"--file {path}: no such file{near_file(path)}")
    kind = tabular.ending(path)
    if kind in _ELSEWHERE:
        raise UsageError(f"--file {path}: {_ELSEWHERE[kind].format(path=path)}")
    if kind in documents.KINDS:
        return [documents.read_document(path, kind)]
    if kind in _RECORDS:
        from parlai_cu.knowledge.importing.records import read_records

        return [tables.plan_of(read_records(path, kind), os.path.basename(path), entity_column)]
    if kind not in tabular.KINDS:
        raise DataError(
            f"--file {path}: found {kind or 'no ending'}, expected one of {', '.join(KINDS)}"
        )
    return _of_sheets(path, entity_column)


def _of_sheets(path: str, entity_column: str | None) -> list[ImportPlan]:
    tables_there = tabular.read_tables(path)
    # a single row is a header without rows
    found = [table for table in tables_there if len(table.rows) > (not table.named)]
    if not found:
        raise DataError(f"--file {path}: expected a header and rows below it, found no row below")
    name = os.path.basename(path)
    source: Callable[[str], str] = (
        (lambda sheet: name) if len(found) == 1 else (lambda sheet: f"{name}:{sheet}")
    )
    return [tables.plan_of(table, source(table.name), entity_column) for table in found]
