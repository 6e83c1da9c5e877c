"""What an import understood of a file, before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from parlai_cu.types import Fact

# facts that a preview shows
_SHOWN = 3
# lines of what was left out that a preview shows
_LEFT_OUT = 5
# letters of a fact, and of a value, that a preview shows
_LONGEST, _LONGEST_VALUE = 110, 30


@dataclass(frozen=True)
class ImportedColumn:
    """
    A column of a table.

    :param name: as the file has it
    :param shown: as facts tell it; empty where they do not
    :param kind: of its values: money, number, date, hours, phone, yes/no, list, text
    :param role: entity, question, answer, id, or nothing special
    :param sample: one of its values
    :param filled: how many rows have one
    """

    name: str
    shown: str
    kind: str
    role: str = ""
    sample: str = ""
    filled: int = 0


@dataclass(frozen=True)
class ImportPlan:
    """
    The facts of a file, and how it was understood.

    :param source: the file's name, under which its facts are known
    :param facts: in the order of the file
    :param how: how it was read, in words
    :param columns: of a table
    :param left_out: what was not taken: place in the file and why
    """

    source: str
    facts: Sequence[Fact]
    how: str
    columns: Sequence[ImportedColumn] = ()
    left_out: Sequence[tuple[str, str]] = field(default=())

    def preview(self) -> str:
        """In words, several lines."""
        count = len(self.facts)
        lines = [f"{self.source}: {count:,d} fact{'' if count == 1 else 's'}, {self.how}"]
        width = max((len(column.name) for column in self.columns), default=0)
        for column in self.columns:
            role = f", {column.role}" if column.role else ""
            told = f", told as '{column.shown}'" if column.shown not in ("", column.name) else ""
            lines.append(
                f"  {column.name:<{width}}  {column.kind}{role}{told}, filled in {column.filled}, "
                f"e.g. {_short(column.sample, _LONGEST_VALUE)}"
            )
        for place, reason in self.left_out[:_LEFT_OUT]:
            lines.append(f"  left out: {place}: {reason}")
        if len(self.left_out) > _LEFT_OUT:
            lines.append(f"  left out: {len(self.left_out) - _LEFT_OUT} more")
        lines += [f"  e.g. {_short(said(fact), _LONGEST)}" for fact in self.facts[:_SHOWN]]
        return "\n".join(lines)


def said(fact: Fact) -> str:
    """A fact in one line, with the question that it answers."""
    return f"{fact.question} {fact.text}".strip() if fact.question else fact.text


def _short(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
