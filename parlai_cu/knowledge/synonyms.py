"""
What people say, and what a knowledge base calls it: a small file, ``said,meant`` with a header.

::

    said,meant
    cheap,inexpensive
    wifi,has internet
    the day after labor day,2027-09-07
"""

import csv
import re
from dataclasses import replace
from typing import Any

from parlai_cu.errors import DataError
from parlai_cu.knowledge.backends.base import KnowledgeBase
from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, Turn

_COLUMNS = ["said", "meant"]


class Synonyms:
    """
    A mapping of words.

    :param meant: what is said -> what is meant by it
    """

    def __init__(self, meant: dict[str, str]) -> None:
        # in its place, not beside it: a word that no fact has makes every fact a worse match
        self._meant = {" ".join(words(said)): other for said, other in meant.items()}
        # longest first: "not cheap" is not cheap
        names = sorted(self._meant, key=lambda name: (-len(name), name))
        said = "|".join(r"[\W_]+".join(map(re.escape, name.split())) for name in names)
        self._pattern = re.compile(rf"(?<!\w)(?:{said})(?!\w)", re.IGNORECASE) if said else None

    def in_its_words(self, text: str) -> str:
        """A text with what is meant in the place of what is said."""
        if self._pattern is None:
            return text
        return self._pattern.sub(self._meaning, text)

    def _meaning(self, match: re.Match[str]) -> str:
        said: str = match.group(0)
        return self._meant.get(" ".join(words(said)), said)


def read_synonyms(path: str) -> Synonyms:
    """
    Read the file.

    :raises DataError: naming the file and the line
    """
    meant: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if [name.strip() for name in header] != _COLUMNS:
                raise DataError(f"--kb-synonyms {path}:1: expected said,meant, found {header}")
            for row in rows:
                if len(row) != 2 or not words(row[0]) or not row[1].strip():
                    raise DataError(
                        f"--kb-synonyms {path}:{rows.line_num}: expected what is said and what is "
                        f"meant, found {row}"
                    )
                if row[0] in meant:
                    raise DataError(f"--kb-synonyms {path}:{rows.line_num}: {row[0]!r} is twice")
                meant[row[0]] = row[1].strip()
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"--kb-synonyms {path}: {error}") from error
    return Synonyms(meant)


class InOtherWords:
    """
    A knowledge base that is asked with what is meant in the place of what is said.

    :param base: all else is its own
    :param synonyms: what is meant, by what is said
    """

    def __init__(self, base: KnowledgeBase, synonyms: Synonyms) -> None:
        self._base, self._synonyms = base, synonyms

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """What the base knows about the turn."""
        return self._base.query(self.meant(turn), top_k)

    def meant(self, turn: Turn) -> Turn:
        """The turn with what is meant in the place of what is said."""
        told = self._synonyms.in_its_words
        return replace(turn, text=told(turn.text), history=tuple(map(told, turn.history)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)
