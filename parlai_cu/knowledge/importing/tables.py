"""
Facts from tables: a row is a fact, or a question with its answer.

What a row is about, and what each column holds, is found by the columns' names and else by their
values (:mod:`parlai_cu.knowledge.importing.columns`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from parlai_cu.errors import DataError, UsageError, nearest
from parlai_cu.knowledge.fact_codec import moment
from parlai_cu.knowledge.importing import columns as kinds
from parlai_cu.knowledge.importing.plan import ImportedColumn, ImportPlan
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.knowledge.words import words
from parlai_cu.tabular.table import Table
from parlai_cu.types import Fact

# columns that a fact has by itself, by these names alone
_DATES = ("valid_from", "valid_until")
# letters of an id made of a name
_LONGEST_ID = 60


def plan_of(table: Table, source: str, about: str | None = None) -> ImportPlan:
    """
    The facts of a table.

    :param table: read
    :param source: name of its file, and of the sheet where there are several
    :param about: ``--entity-column``, where it was given
    :raises UsageError: when there is no such column
    :raises DataError: naming file and line, when a date of a fact's own is none
    """
    reader = _TableReader(table, source, about)
    facts, left_out = [], [(f"line {line}", why) for line, why in table.left_out]
    for line, row in table.records():
        fact = reader.fact(line, row)
        if fact is None:
            left_out.append((f"line {line}", "it says nothing beside its name"))
        else:
            facts.append(fact)
    how = "questions with their answers" if reader.is_faq else "one of each row"
    if table.encoding:
        how += f" (read as {table.encoding}, cells separated by {_named(table.delimiter)})"
    if not table.named:
        how += "; the file has no header"
    return ImportPlan(source, facts, how, reader.columns(), left_out)


class _TableReader:
    """How the rows of a table are read."""

    def __init__(self, table: Table, source: str, about: str | None) -> None:
        self.table, self.source = table, source
        self.values: dict[str, list[str]] = {
            name: [cells[i] for _, cells in table.rows if cells[i]]
            for i, name in enumerate(table.columns)
        }
        self.units = {name: kinds.name_and_unit(name)[1] for name in table.columns}
        self.shown = kinds.shown_names(table.columns)
        self.roles = self._roles(about)
        self.is_faq = kinds.QUESTION in self.roles and kinds.ANSWER in self.roles
        self._taken: Counter[str] = Counter()

    def _roles(self, about: str | None) -> dict[str, str]:
        """Role -> column."""
        names = self.table.columns
        found: dict[str, str] = {}
        for name in names:
            role = kinds.role_of(name)
            if role:
                found.setdefault(role, name)
        if kinds.QUESTION in found and kinds.ANSWER not in found:
            del found[kinds.QUESTION]
        if about is not None:
            if about not in names:
                close = nearest(about, names) or names
                raise UsageError(
                    f"--entity-column {about}: {self.source} has no such column; nearest: "
                    f"{', '.join(close)}"
                )
            found[kinds.ENTITY] = about
        else:
            free = [n for n in names if n not in found.values() and n not in _DATES]
            # of questions only what is called so: another column may be anything
            chosen = kinds.entity_column(free, self.values)
            if chosen and (kinds.ANSWER not in found or _is_called(chosen)):
                found[kinds.ENTITY] = chosen
        return found

    def fact(self, line: int, row: dict[str, str]) -> Fact | None:
        """The fact of a row; None where it says nothing."""
        own = {role: row[column] for role, column in self.roles.items() if row[column]}
        entity = own.get(kinds.ENTITY, "")
        fields = {
            self.shown[name]: kinds.with_unit(value, self.units[name])
            for name, value in row.items()
            if value and self._is_field(name)
        }
        text = own.get(kinds.ANSWER, "")
        if not text:
            shown = {n: v for n, v in fields.items() if n != self._entity_shown()}
            if not shown or (not entity and len(shown) == 1 and len(self.table.columns) > 2):
                return None  # "All prices incl. VAT" below the rows is none
            text = row_sentence(shown, entity)
        question = own.get(kinds.QUESTION, "") if self.is_faq else ""
        return Fact(
            text,
            id=own.get(kinds.ID) or self._made_id(entity or question or text),
            entity=entity,
            question=question,
            fields=fields,
            **{name: self._date(line, name, row.get(name)) for name in _DATES},
        )

    def _entity_shown(self) -> str:
        return self.shown.get(self.roles.get(kinds.ENTITY, ""), "")

    def _is_field(self, name: str) -> bool:
        special = {self.roles.get(role) for role in (kinds.QUESTION, kinds.ANSWER, kinds.ID)}
        if name in _DATES or name in special:
            return False
        # what is called just "name" or "entity" is what the fact is about, and no column of it
        return not (
            name == self.roles.get(kinds.ENTITY) and kinds.normalised(name) in kinds.BARE_NAMES
        )

    def _date(self, line: int, name: str, value: str | None) -> str | None:
        if not value:
            return None
        try:
            moment(value)
        except DataError as error:
            raise DataError(f"{self.source}:{line}: {name}: {error}") from error
        return value

    def _made_id(self, name: str) -> str:
        """The same for the same row of the file's next version, as long as its name stays."""
        plain = "-".join(words(name))
        if not plain or len(plain) > _LONGEST_ID:
            plain = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
        self._taken[plain] += 1
        number = self._taken[plain]
        return f"{self.source}#{plain}" + (f"-{number}" if number > 1 else "")

    def columns(self) -> Sequence[ImportedColumn]:
        """What each column was taken for."""
        return list(self._columns())

    def _columns(self) -> Iterator[ImportedColumn]:
        role_of = {column: role for role, column in self.roles.items()}
        for name in self.table.columns:
            held = self.values[name]
            role = role_of.get(name, "")
            yield ImportedColumn(
                name,
                self.shown[name] if self._is_field(name) else "",
                kinds.kind_of(held, self.units[name]),
                {kinds.ENTITY: "what the row is about"}.get(role, role),
                held[0] if held else "",
                len(held),
            )


def _is_called(name: str) -> bool:
    return kinds.normalised(name).rpartition(" ")[2] in kinds.BARE_NAMES


def _named(delimiter: str | None) -> str:
    return {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter or "", repr(delimiter))
