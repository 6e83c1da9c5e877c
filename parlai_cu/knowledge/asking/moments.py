"""Days and times in a question, against a clock."""

import functools
import re
from datetime import date, datetime

from parlai_cu.knowledge.asking import values
from parlai_cu.knowledge.asking.language import Language
from parlai_cu.knowledge.asking.query import Moment, next_weekday


def moment_of(
    text: str, language: Language, now: datetime, bare_hours: bool
) -> tuple[str, Moment | None]:
    """
    What a question says of when, and what remains of it.

    :param text: the question
    :param language: of it
    :param now: the clock
    :param bare_hours: whether "at 6" is a time
    """
    text, time, relation = _time(text, language, bare_hours)
    text, day = _day(text, language, now)
    if day is None and time is None:
        return text, None
    return text, Moment(day, time, relation)


def _time(text: str, language: Language, bare_hours: bool) -> tuple[str, int | None, str]:
    raw = language.raw
    names = "|".join(raw["times"])
    lead = "|".join({*raw["after"].split(), *raw["before"].split(), *raw["at"].split()})
    pattern = re.compile(
        rf"\b(?:(?P<lead>{lead})\s+)?(?:(?P<named>{names})\b|(?P<hour>\d{{1,2}})"
        r"(?:[:.](?P<minute>\d\d)(?!\d))?\s*(?P<half>am\b|pm\b|a\.m\.?|p\.m\.?|uhr\b|h\b|o'?clock\b)?)"
        r"(?![\w€£$%.,:]*\d)(?!\s*[€£$%])",
        re.I,
    )
    for match in pattern.finditer(text):
        has_lead = match["lead"] is not None
        if match["named"]:
            time = int(raw["times"][match["named"].lower()])
        elif match["half"] or (match["minute"] and ":" in match[0]) or (has_lead and bare_hours):
            half = match["half"] if (match["half"] or "").lower().startswith(("a", "p")) else None
            found = values.minutes(match["hour"], match["minute"], half)
            if found is None:
                continue
            # at 6 a shop is asked for in the evening
            evening = not match["half"] and ":" not in match[0] and int(match["hour"]) < 8
            time = found + 720 if evening else found
        else:
            continue
        said = (match["lead"] or "").lower()
        relation = "after" if said in raw["after"].split() else "at"
        relation = "before" if said in raw["before"].split() else relation
        return f"{text[: match.start()]} {text[match.end() :]}", time, relation
    return text, None, "at"


def _day(text: str, language: Language, now: datetime) -> tuple[str, date | int | None]:
    found = _dates(language).search(text)
    if found:
        day = _parsed(found[0].lower(), language.name, now)
        if day:
            return f"{text[: found.start()]} {text[found.end() :]}", day
    today = language.raw["today"].split()
    for match in re.finditer(r"[^\W\d_]+", text):
        said = match[0].casefold()
        rest = f"{text[: match.start()]} {text[match.end() :]}"
        if said in today:
            return rest, now.date()
        if said in language.raw["weekend"].split():
            return rest, 5
        if said in language.days and (len(said) > 3 or match[0][0].isupper()):
            weekday = language.days[said]
            return rest, weekday if said.endswith("s") and said[:-1] in language.days else (
                next_weekday(now.date(), weekday)
            )
    return text, None


@functools.cache
def _dates(language: Language) -> re.Pattern[str]:
    months = "|".join(sorted(language.months, key=len, reverse=True))
    relative = "|".join(map(re.escape, language.raw["relative"]))
    units = "|".join(language.raw["units"].split())
    days = "|".join(sorted(language.days, key=len, reverse=True))
    return re.compile(
        rf"\b(?:{relative}|in \w+ (?:{units})"
        rf"|(?:next|nächsten?|this|diesen?|coming|kommenden?) (?:{days})"
        rf"|\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?(?:{months})\b(?: \d{{4}})?"
        rf"|(?:{months}) (?:the )?\d{{1,2}}(?:st|nd|rd|th)?\b(?!\s*[€£$%])(?:,? \d{{4}})?"
        r"|\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.(?:\d{2,4})?|\d{1,2}/\d{1,2}/\d{2,4})",
        re.I,
    )


@functools.lru_cache(maxsize=1000)
def _parsed(said: str, language: str, now: datetime) -> date | None:
    import dateparser  # type: ignore[import-untyped]

    settings = {"RELATIVE_BASE": now, "PREFER_DATES_FROM": "future"}
    if language == "de" or "." in said:
        settings["DATE_ORDER"] = "DMY"
    said = re.sub(r"^(?:the|this|coming|diesen?|kommenden?) ", "", said)
    found = dateparser.parse(said, languages=[language, "en"], settings=settings)
    return found.date() if found else None
