"""Times as exports write them, to put what was said in order."""

import datetime
from collections.abc import Sequence

_DATES = (
    "%d.%m.%Y %d/%m/%Y %m/%d/%Y %d-%m-%Y %Y/%m/%d %Y.%m.%d %Y-%m-%d %Y年%m月%d日 "
    "%d.%m.%y %d/%m/%y %m/%d/%y %d-%m-%y"
).split() + ["%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"]
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "")
# from 1973 to 5138: what is a time in seconds; a thousandfold, in milliseconds
_SECONDS = (1e8, 1e11)


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
    fitting = []
    for date in _DATES:
        for clock in _CLOCKS:
            for between in ("", ",", " um", " at"):
                times = _all(texts, f"{date}{between} {clock}".strip())
                if times is not None:
                    fitting.append(times)
                    break
    return min(fitting, key=_turns_back) if fitting else None


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
