"""Which column of a table is what: by its name, else by what it holds."""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence

from parlai_cu.data.base import ReadOptions
from parlai_cu.data.column_names import (
    ACCEPTED,
    ADJECTIVES,
    NAMES,
    OF_THE_MODEL,
    PEOPLE,
    REFUSED,
    RIGHT,
    SPLITS,
    WRONG,
)
from parlai_cu.errors import DataError, UsageError, nearest

ROLES = tuple(role for role in NAMES if role not in ("correction", "id"))
_LOOKED_AT = 200
# a column of texts holds so many words in the mean
_TEXT_WORDS = 2.5
_ENDS = re.compile(r"[.?!。？！؟]\s*$")
_ASKS = re.compile(r"[?？؟]\s*$")
# names of roles that only what stands in the cells confirms
_EXACT, _END, _BEGIN, _WITHIN = 4.0, 3.5, 3.0, 2.0
JUDGED = ("label", "desirable", "thumbs up", "correct", "is correct")
Cells = Mapping[str, Sequence[str]]


def plain(name: str) -> str:
    """A name in lower case, without accents and marks: ``Right_Answer`` is ``right answer``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    folded = unicodedata.normalize("NFKC", spaced).casefold()
    letters = unicodedata.normalize("NFD", folded)
    bare = "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")
    return " ".join(re.sub(r"[\W_]+", " ", bare).split())


def find_columns(cells: Cells, options: ReadOptions, where: str) -> dict[str, str]:
    """
    Role -> column, of the cells of the table ``where``.

    :raises UsageError: when a column that was named is not there
    """
    given = _given(cells, options, where)
    left = {name: held for name, held in cells.items() if name not in given.values()}
    found = _by_name(left, set(given))
    found.update(given)
    if "text" not in found or "speaker" not in found:
        _by_content(cells, found)
    return {role: found[role] for role in ROLES if role in found}


def require(found: Mapping[str, str], cells: Cells, options: ReadOptions, where: str) -> None:
    """
    Refuse a table ``where`` question and reply were not found among the cells.

    :raises DataError: which says how to name them
    """
    reply = found.get("reply", "")
    twin = _twin(reply, found, cells)
    if twin and "reply" not in dict(options.columns):
        raise DataError(
            f"{where}: two columns may be the reply, {reply!r} and {twin!r}. Say which is right: "
            f'--columns "reply={twin},wrong={reply}", or the other way round'
        )
    missing = [role for role in ("question", "reply") if role not in found]
    if missing:
        known = "".join(f"; {role} = {name!r}" for role, name in found.items())
        columns = ", ".join(repr(name) for name in cells)
        raise DataError(
            f"{where}: no column that is the {' or the '.join(missing)}; columns: {columns}"
            f"{known}. Say which: --columns question=NAME,reply=NAME"
        )


def _twin(reply: str, found: Mapping[str, str], cells: Cells) -> str | None:
    """Another column that is called a reply by the same word: one of them may be the wrong one."""
    words = _words_of("reply", reply)
    for name, held in cells.items():
        if name in found.values() or not any(held):
            continue
        if name == f"{reply} (2)" or (words and words == _words_of("reply", name)):
            return name
    return None


def _words_of(role: str, column: str) -> set[str]:
    """Which names of a role end a column's name, or are it."""
    return {one for one in _names()[role] if _fit(plain(column), one) >= _END}


def other_columns(role: str, found: Mapping[str, str], cells: Cells) -> list[str]:
    """Columns that are called as a role is, beside the one that was found for it."""
    left = [name for name in cells if name not in found.values()] if role in found else []
    scores = {name: _roles(name) for name in left}
    return [
        name for name, fits in scores.items() if fits.get(role) == max(fits.values(), default=1)
    ]


def _given(cells: Cells, options: ReadOptions, where: str) -> dict[str, str]:
    by_plain = {plain(name): name for name in cells}
    found = {}
    for role, name in options.columns:
        column = name if name in cells else by_plain.get(plain(name))
        if role not in ROLES:
            close = nearest(role, ROLES) or ROLES
            raise UsageError(f"--columns {role}={name}: expected one of {', '.join(close)}")
        if column is None:
            known = ", ".join(nearest(name, cells) or cells)
            there = f"has no such column; nearest: {known}" if known else "is no table"
            raise UsageError(f"--columns {role}={name}: {where} {there}")
        found[role] = column
    return found


def _by_name(cells: Cells, taken: set[str]) -> dict[str, str]:
    scored = []
    for order, (name, held) in enumerate(cells.items()):
        for role, score in _roles(name).items():
            if role in taken or not _confirmed(role, held):
                continue
            # "agent", "customer": a reply or a question only where it holds texts
            if plain(name) in PEOPLE and role in ("question", "reply") and not _is_said(held):
                score -= 3
            scored.append((-score, order, role, name))
    found: dict[str, str] = {}
    used: set[str] = set()
    for negative, _, role, name in sorted(scored):
        if role not in found and name not in used and -negative > 1:
            found[role] = name
            used.add(name)
    return _settled(found, cells, taken)


def _settled(found: dict[str, str], cells: Cells, taken: set[str]) -> dict[str, str]:
    """Of a reply and its correction the first was wrong."""
    correction = found.pop("correction", None)
    if correction and "reply" not in taken:
        if "reply" in found and "wrong" not in found and "wrong" not in taken:
            found["wrong"] = found.pop("reply")
        found["reply"] = correction
    found.pop("id", None)
    if "speaker" in found and "question" in found and not {"text", "reply"} & set(found):
        found["text"] = found.pop("question")  # an utterance
    for name in cells:  # true and false, of answers that were judged
        if plain(name) in JUDGED and name not in found.values() and "accepted" not in taken:
            if _confirmed("accepted", cells[name]):
                found.setdefault("accepted", name)
    return found


def _roles(name: str) -> dict[str, float]:
    wanted = plain(name)
    scores: dict[str, float] = {}
    for role, names in _names().items():
        score = max((_fit(wanted, one) for one in names), default=0.0)
        if role == "speaker" and score:  # a role says more than a name, that more than a number
            score += {"role": 0.25, "type": 0.25, "id": -0.5}.get(wanted.split()[-1], 0.0)
        if score > 0:
            scores[role] = score
    reply = max(scores.get("reply", 0.0), scores.get("correction", 0.0), scores.get("text", 0.0))
    if reply or scores.get("wrong"):
        right = _has(wanted, RIGHT)
        if _has(wanted, WRONG) or (_has(wanted, OF_THE_MODEL) and not right):
            scores["wrong"] = max(reply, scores.get("wrong", 0.0)) + 1
            scores.pop("reply", None)
            scores.pop("correction", None)
        elif right and reply:
            scores["correction"] = reply + 1
            scores.pop("reply", None)
    return scores


@functools.lru_cache(maxsize=1)
def _names() -> dict[str, list[str]]:
    return {role: [plain(one) for one in names.split("|")] for role, names in NAMES.items()}


@functools.lru_cache(maxsize=1)
def _adjectives() -> frozenset[str]:
    return frozenset(map(plain, ADJECTIVES))


def _fit(wanted: str, name: str) -> float:
    if wanted == name:
        return _EXACT
    if not name.isascii() and _no_spaces(name):
        return _END if wanted.endswith(name) else _WITHIN if name in wanted else 0.0
    if wanted.endswith(f" {name}"):
        return _END
    if wanted.startswith(f"{name} "):
        return 0.0 if name in _adjectives() else _BEGIN
    return _WITHIN if f" {name} " in wanted else 0.0


def _has(wanted: str, beginnings: Sequence[str]) -> bool:
    """Whether a word of a name begins so; in scripts without spaces, whether it stands anywhere."""
    for one in beginnings:
        begin = plain(one)
        if any(_begins(word, begin) for word in wanted.split()):
            return True
        if _no_spaces(begin) and begin in wanted:
            return True
    return False


def _begins(word: str, begin: str) -> bool:
    # short ones are whole words, or endings make them something else ("now", "bon")
    return word == begin or (word.startswith(begin) and len(begin) > 3 and len(word) < 14)


def _no_spaces(name: str) -> bool:
    return any("\u3040" <= c <= "\u9fff" or "\u0e00" <= c <= "\u0e7f" for c in name)


def _confirmed(role: str, held: Sequence[str]) -> bool:
    values = {cell.strip().casefold() for cell in held[:_LOOKED_AT] if cell.strip()}
    if role == "split":
        return bool(values) and values <= set(SPLITS)
    if role == "accepted":
        return all(is_refused(value) is not None for value in values)
    if role in ("private", "public", "incoming"):
        return values <= ACCEPTED | REFUSED
    if role == "speaker":
        return all(len(value) <= 80 for value in values)
    if role == "language":
        return all(len(value) <= 20 for value in values)
    return True


def is_refused(cell: str) -> bool | None:
    """Whether a cell, or its first word ("pending review"), says no; None where it says nothing."""
    said = {cell.casefold(), *cell.casefold().replace("-", " ").split()[:1]}
    return True if said & REFUSED else False if said & ACCEPTED else None


def is_text(held: Sequence[str]) -> bool:
    """Whether the cells held are what people say: some words, or writing without spaces."""
    cells = [cell for cell in held[:_LOOKED_AT] if cell.strip()]
    if not cells:
        return False
    words = sum(len(cell.split()) + sum(_no_spaces(c) for c in cell) / 2 for cell in cells)
    return words / len(cells) >= _TEXT_WORDS and _lettered(cells)


def _lettered(held: Sequence[str]) -> bool:
    cells = [cell for cell in held[:_LOOKED_AT] if cell.strip()]
    return 2 * sum(any(letter.isalpha() for letter in cell) for cell in cells) > len(cells)


def _is_said(held: Sequence[str]) -> bool:
    """Whether cells hold texts, or short ones that end as sentences do; no names."""
    return is_text(held) or any(_ENDS.search(cell) for cell in held[:_LOOKED_AT])


def _by_content(cells: Cells, found: dict[str, str]) -> None:
    """Fill in question and reply, where what the columns hold leaves no choice."""
    if "reply" in found and "question" not in found and "text" in found and "speaker" not in found:
        found["question"] = found.pop("text")
    free = [n for n, held in cells.items() if n not in found.values() and is_text(held)]
    alone = len(free) == 2 and (
        any(_asking(cells[name]) >= 0.5 for name in free)
        or not any(_lettered(held) for name, held in cells.items() if name not in free)
    )
    if "question" not in found and free and ("reply" in found or alone):
        if "reply" in found and len(free) > 1:
            asking = [name for name in free if _asking(cells[name]) >= 0.5]
            free = asking if len(asking) == 1 else []
        if free:
            found["question"] = max(
                free, key=lambda name: (_asking(cells[name]), -free.index(name))
            )
            free = [name for name in free if name != found["question"]]
    if "reply" not in found and "question" in found and len(free) == 1:
        found["reply"] = free[0]


def _asking(held: Sequence[str]) -> float:
    cells = [cell for cell in held[:_LOOKED_AT] if cell.strip()]
    return sum(bool(_ASKS.search(cell)) for cell in cells) / max(1, len(cells))
