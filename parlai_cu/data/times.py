"""Times as exports write them, to put what was said in order."""

import datetime
import functools
import operator
import re
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

_DATES = (
    "%d.%m.%Y %d/%m/%Y %m/%d/%Y %d-%m-%Y %Y/%m/%d %Y.%m.%d %Y-%m-%d %Y年%m月%d日 "
    "%d.%m.%y %d/%m/%y %m/%d/%y %d-%m-%y"
).split() + ["%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"]
_BETWEEN = ("", ",", " um", " at")
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "")
# from 1973 to 5138: what is a time in seconds; a thousandfold, in milliseconds
_SECONDS = (1e8, 1e11)


def in_time(items: Sequence[Item], texts: Sequence[str]) -> list[Item]:
    """Items by the times that the texts are, one each; as they stand where that fits no format."""
    times = parse_times(texts)
    if times is None:
        return list(items)
    return [one for _, one in sorted(zip(times, items), key=operator.itemgetter(0))]


def parse_times(texts: Sequence[str]) -> list[float] | None:
    """
    Times in seconds, all in the one format that fits each of them; None where none does.

    Of formats that differ in day and month the one that puts the times in order is taken.
    """
    texts = [" ".join(text.replace("\u202f", " ").split()) for text in texts]
    if not texts or not all(texts):
        return None
    for read in (_epoch, _iso):
        found = [read(text) for text in texts]
        if all(one is not None for one in found):
            return [one for one in found if one is not None]
    marks = {_marks(text) for text in texts}
    alike = _forms(marks.pop()) if len(marks) == 1 else ()
    fits = (next(filter(None, (_all(texts, form) for form in forms)), None) for forms in alike)
    return min(filter(None, fits), key=_turns_back, default=None)


def _marks(written: str) -> str:
    """What parts the figures and words of a time, or of the form of one."""
    return re.sub(r"%\w|[\w\s]", "", written)


@functools.lru_cache(maxsize=64)
def _forms(marks: str) -> list[list[str]]:
    """The forms with these marks, for each date and clock; others fit no time that has them."""
    every = [
        [f"{date}{between} {clock}".strip() for between in _BETWEEN]
        for date in _DATES
        for clock in _CLOCKS
    ]
    return [[form for form in forms if _marks(form) == marks] for forms in every]


def _turns_back(times: list[float]) -> int:
    return sum(later < earlier for earlier, later in zip(times, times[1:]))


def _epoch(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if number >= _SECONDS[1]:
        number /= 1000
    return number if _SECONDS[0] <= number < _SECONDS[1] else None


def _iso(text: str) -> float | None:
    try:
        found = datetime.datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return _stamp(found)


def _all(texts: Sequence[str], form: str) -> list[float] | None:
    found = []
    for text in texts:
        try:
            found.append(_stamp(datetime.datetime.strptime(text, form)))
        except ValueError:
            return None
    return found


def _stamp(time: datetime.datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()
