"""
Facts from the rows of a database, and a row in words.

Columns that a fact has by itself (``id``, ``entity``, ``question``, ``text``, ``valid_from``,
``valid_until``; ``key``, ``name`` and ``answer`` for the first, second and fourth) are taken as
such. A table without ``text`` has each row told in words, and its other columns kept as fields.
"""

from collections.abc import Sequence

from parlai_cu.errors import DataError
from parlai_cu.knowledge.fact_codec import moment
from parlai_cu.types import Fact

_OWN = ("id", "entity", "question", "text", "valid_from", "valid_until")
_OTHER_NAMES = {"answer": "text", "name": "entity", "title": "entity", "key": "id"}


def row_sentence(row: dict[str, str], entity: str) -> str:
    """
    A row in words: ``Curry Garden: cuisine Indian, price range expensive.``

    :param row: column -> value; empty ones are left out
    :param entity: what it is about, if that is known
    """
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in row.items() if value]
    said = ", ".join(parts)
    return f"{entity}: {said}." if entity and said else f"{entity or said}."


def fact_of(place: str, line: int, row: dict[str, str], about: str) -> Fact:
    """
    The fact of a row.

    :param place: file or table, for messages
    :param line: its number, for messages
    :param row: column -> value; its own columns are taken as such
    :param about: the column that names what it is about; empty: none
    :raises DataError: when it says nothing
    """
    own = {name: row[name] for name in _OWN if row.get(name)}
    for name, meant in _OTHER_NAMES.items():
        if row.get(name):
            own.setdefault(meant, row[name])
    if not own.get("entity") and row.get(about):
        own["entity"] = row[about]
    taken = {*_OWN, *_OTHER_NAMES}
    fields = {name: value for name, value in row.items() if name not in taken and value}
    if not own.get("text"):
        shown = {name: value for name, value in fields.items() if name != about}
        if not shown:
            raise DataError(f"{place}:{line}: found no text and no other column that says anything")
        own["text"] = row_sentence(shown, own.get("entity", ""))
    for name in ("valid_from", "valid_until"):
        try:
            moment(own.get(name))
        except DataError as error:
            raise DataError(f"{place}:{line}: {name}: {error}") from error
    return Fact(fields=fields, **own)


def entity_column(columns: Sequence[str]) -> str:
    """The column that names what a row is about: the first that is called so."""
    for column in columns:
        if column.lower().split("_")[-1] in ("name", "title", "entity"):
            return column
    return ""
