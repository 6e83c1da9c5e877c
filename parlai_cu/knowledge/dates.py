"""Days as people say them from where they stand: tomorrow, the 7th of this month, in two weeks."""

import re
from datetime import date, timedelta

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COUNT = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_COUNT.update({"a": 1, "an": 1})
# the 7th is a day where it is said of which month, or where no noun follows as in "the 2nd floor"
_AFTER = r"(?=\s*(?:$|[.,;!?]|(?:at|in|for|to|and|with|from|until|or|please)\b))"
_DAY = re.compile(
    r"\b(?:(?P<after>(?:the )?day after tomorrow)|(?P<tomorrow>tomorrow)|(?P<today>today|tonight)"
    rf"|(?:(?P<next>next)\ |(?:this|coming)\ )?(?P<weekday>{'|'.join(_DAYS)})"
    r"|in (?P<count>\d{1,3}|[a-z]+) (?P<unit>day|week)s?"
    rf"|the (?P<number>\d{{1,2}})(?:st|nd|rd|th)(?:(?: of)? (?P<month>this|next) month|{_AFTER}))"
    r"(?!\w)",
    re.IGNORECASE,
)


def with_dates(said: str, today: date) -> str:
    """
    What was said, with the date of each day named in it after its words.

    >>> with_dates("a room for tomorrow", date(2019, 3, 1))
    'a room for tomorrow 2019-03-02'
    """

    def told(match: re.Match[str]) -> str:
        day = _meant(match, today)
        return f"{match.group(0)} {day.isoformat()}" if day else str(match.group(0))

    return _DAY.sub(told, said)


def _meant(match: re.Match[str], today: date) -> date | None:
    said = {name: text.lower() for name, text in match.groupdict().items() if text}
    for name, days in (("after", 2), ("tomorrow", 1), ("today", 0)):
        if name in said:
            return today + timedelta(days=days)
    if "weekday" in said:
        return _weekday(said["weekday"], "next" in said, today)
    if "count" in said:
        return _from_now(said["count"], said["unit"], today)
    return _day_of_month(int(said["number"]), said.get("month"), today)


def _weekday(name: str, later: bool, today: date) -> date:
    """The first of that name from today on; "next" leaves today out."""
    ahead = (_DAYS.index(name) - today.weekday()) % 7
    return today + timedelta(days=ahead or (7 if later else 0))


def _from_now(count: str, unit: str, today: date) -> date | None:
    number = int(count) if count.isdigit() else _COUNT.get(count)
    return None if number is None else today + timedelta(days=number * (7 if unit == "week" else 1))


def _day_of_month(number: int, month: str | None, today: date) -> date | None:
    """The first such day from today on; or that of this or the next month."""
    for ahead in {"this": [0], "next": [1]}.get(month or "", [0, 1, 2]):
        year, index = divmod(today.year * 12 + today.month - 1 + ahead, 12)
        try:
            found = date(year, index + 1, number)
        except ValueError:  # no such day in that month
            continue
        if month or found >= today:
            return found
    return None
