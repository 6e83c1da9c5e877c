"""What a cell holds: an amount, a date, a yes or a no, hours of a day or of a week."""

import contextlib
import functools
import re
from datetime import date, datetime

from parlai_cu.knowledge.importing import columns as kinds

_YES = frozenset("yes y true ja j oui si sí x ✓ 1 t included inklusive available".split())
_NO = frozenset("no n false nein non ✗ 0 f none - – keine excluded".split())
_CLOSED = frozenset("closed geschlossen fermé cerrado chiuso zu - – — ruhetag".split())
_TIME = r"(\d{1,2})(?:[:.](\d{2}))?(?::00)?\s*(am|pm|a\.m\.|p\.m\.|uhr|h)?(?![\w€£$%])"
_SPAN = re.compile(rf"(?<![\d.,:]){_TIME}\s*(?:[-–—]|to|bis|until|till|and|und)\s*{_TIME}", re.I)
_BEFORE_A_DATE = re.compile(r"\b(?:to|until|till|bis|[-–])\s*$", re.I)
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}\.? [^\W\d_]{3,9} \d{4}"
)


@functools.lru_cache(maxsize=100_000)
def amount(text: str) -> float | None:
    """The number in a cell: ``1.499,00 €`` and ``from £1,499``; None where there is none."""
    from price_parser import Price

    if not any(letter.isdigit() for letter in text):
        return None
    found: float | None = Price.fromstring(text).amount_float
    return -found if found and text.lstrip().startswith("-") else found


def yes_no(text: str) -> bool | None:
    """What a cell says; None where it is neither."""
    plain = text.strip().casefold()
    return True if plain in _YES else False if plain in _NO else None


@functools.lru_cache(maxsize=10_000)
def day_of(text: str) -> date | None:
    """The day that a cell is; None where it is none."""
    found = kinds.as_date(text)
    if found is None and re.match(r"\d{4}-\d\d-\d\d[T ]\d", text):
        with contextlib.suppress(ValueError):  # there is no such day
            found = datetime.fromisoformat(text[:10])
    if found is None and re.search(r"[^\W\d_]{3}", text) and re.search(r"\d{4}", text):
        import dateparser  # type: ignore[import-untyped]

        found = dateparser.parse(text, languages=["en", "de"])
    return found.date() if found else None


def spans(text: str) -> list[tuple[int, int]] | None:
    """
    The times a place is open, in minutes of the day; none: closed. None where it says neither.

    >>> spans("9 am to 1 pm, 14:00-18:30")
    [(540, 780), (840, 1110)]
    """
    if text.strip().casefold().split(" ")[0].strip(".,;") in _CLOSED:
        return []
    if re.search(r"\b(?:24 ?h|24/7|24 hours|24 Stunden)", text):
        return [(0, 1440)]
    found = []
    for match in _SPAN.finditer(text):
        start = minutes(
            match[1],
            match[2],
            match[3]
            or (
                match[6]
                if "m" in (match[6] or "")
                and int(match[1]) <= int(match[4])
                and int(match[4]) != 12
                else None
            ),
        )
        end = minutes(match[4], match[5], match[6])
        if start is not None and end is not None:
            found.append((start, end if end > start else end + 1440 if end < start else end))
    return found or None


def minutes(hour: str, minute: str | None, half: str | None) -> int | None:
    """Of the day, from ``hour``, ``minute`` and the ``half`` of the day; None where it is none."""
    number, half = int(hour), (half or "").replace(".", "").lower()
    if number > 24 or int(minute or 0) > 59:
        return None
    if half in ("am", "pm"):
        number = number % 12 + (12 if half == "pm" else 0)
    return number * 60 + int(minute or 0)


def week(text: str, days: dict[str, int]) -> dict[int, str]:
    """
    What a cell says of each day: ``Mo-Fr 9-18, Sa 10-14``; nothing where it says nothing of days.

    :param text: of a cell, or a sentence
    :param days: what days are called -> 0 for Monday
    """
    name = "|".join(sorted(map(re.escape, days), key=len, reverse=True))
    link = r"\s*(?:[-–—]|to|through|bis|and|und|&|\+|,)\s*"
    groups = re.compile(rf"\b((?:{name})\b\.?(?:{link}(?:{name})\b\.?)*)[:\s]*", re.I)
    found: dict[int, str] = {}
    places = list(groups.finditer(text))
    for i, match in enumerate(places):
        end = places[i + 1].start() if i + 1 < len(places) else len(text)
        said = text[match.end() : end].strip(" ,;.|/")
        hours = spans(said)
        if hours is None:
            continue
        told = (
            ", ".join(m.group(0).strip() for m in _SPAN.finditer(said))
            if hours
            else said.split()[0]
        )
        for day in _meant_days(match[1], days, name):
            found.setdefault(day, told or said)
    return found


def _meant_days(text: str, days: dict[str, int], name: str) -> list[int]:
    named = [
        (m.start(), m.end(), days[m[0].casefold()])
        for m in re.finditer(rf"\b(?:{name})\b", text, re.I)
    ]
    found: list[int] = []
    for i, (start, _, day) in enumerate(named):
        between = text[named[i - 1][1] : start] if i else ""
        if i and re.search(r"[-–—]|to|through|bis", between):
            first = named[i - 1][2]
            found += [(first + n) % 7 for n in range(1, (day - first) % 7)]
        found.append(day)
    return found


def closed_between(text: str) -> tuple[date, date] | None:
    """The days that a remark closes a place for; None where it says no such thing."""
    if not re.search(r"\b(?:closed|geschlossen|shut)\b", text, re.I):
        return None
    found = [(m, day_of(m[0].replace(". ", " "))) for m in _DATE.finditer(text)]
    there = [(match, day) for match, day in found if day]
    if len(there) == 1 and _BEFORE_A_DATE.search(text[: there[0][0].start()]):
        return date.min, there[0][1]
    return (there[0][1], there[1][1]) if len(there) > 1 else (there[0][1],) * 2 if there else None
