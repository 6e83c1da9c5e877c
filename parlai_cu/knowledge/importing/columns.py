"""What the columns of a table are: what they are called when told, what kind their values are."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime

# a kind is that of this share of a column's values
_SHARE = 0.8
# words of a value that is still the name of something
_LONGEST_NAME = 8

QUESTION = "question"
ANSWER = "answer"
ENTITY = "entity"
ID = "id"
# normalised names of columns, by the role that they have wherever they stand
_ROLES: dict[str, frozenset[str]] = {
    QUESTION: frozenset(
        "question questions frage fragen faq pregunta domanda pergunta vraag pytanie q".split()
    ),
    ANSWER: frozenset(
        "answer answers antwort antworten text respuesta réponse reponse risposta resposta "
        "antwoord odpowiedź a".split()
    ),
    ID: frozenset(("id", "key")),
}
# what a name ends with that says what a row is about, best first
BARE_NAMES = ("entity", "name", "title")
_ABOUT = (
    "bezeichnung titel nombre nom nome naam produkt product item artikel article "
    "model modell branch filiale location standort service plan tarif tariff room type".split()
)
_DAYS = {
    "monday": "mon mo",
    "tuesday": "tue tues",
    "wednesday": "wed",
    "thursday": "thu thur thurs",
    "friday": "fri",
    "saturday": "sat",
    "sunday": "sun",
}
_TAGE = {
    "Montag": "mo",
    "Dienstag": "di",
    "Mittwoch": "mi",
    "Donnerstag": "do",
    "Freitag": "fr",
    "Samstag": "sa",
    "Sonntag": "so",
}
# so many names of days, and they are days
_FEWEST_DAYS = 4
CURRENCIES = "€$£¥₹"
_CURRENCY_CODES = frozenset("eur usd gbp chf jpy inr cad aud sek nok dkk pln".split())
# units that are words; letters of a unit that stands in brackets
_LONGEST_UNIT = 6
_UNIT = re.compile(r"^(.{1,80}?)\s*[(\[]([^()\[\]]{1,12})[)\]]$")
_LAST_WORD = re.compile(r"^(.{1,80}?)\s+(?:in\s+)?(\S{1,3})$")

_NUMBER = re.compile(r"^[+-]?\d{1,15}(?:[.,'\u00a0 ]\d{1,6}){0,4}$")
_YES_NO = frozenset("yes no y n true false ja nein j oui non sí si no x ✓ ✗".split())
_HOURS = re.compile(r"^\d{1,2}(?:[:.]\d{2})?\s?(?:am|pm|h|uhr)?\s?(?:[-–—]|to|bis)\s?\d{1,2}", re.I)
_TIME = re.compile(r"^\d{1,2}(?::\d{2}){1,2}(?:\s?[ap]m)?$|^\d{1,2}\s?[ap]m$", re.I)
_CLOSED = frozenset("closed geschlossen fermé cerrado chiuso - – n/a zu".split())
_PHONE = re.compile(r"^\+?[\d ()/.-]{6,24}$")
_DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y")


def normalised(name: str) -> str:
    """A column's name without case, marks and doubled space: ``Art.-No.`` is ``art no``."""
    return " ".join(re.sub(r"[\W_]+", " ", name).casefold().split())


def role_of(name: str) -> str:
    """What a column is by its name alone; empty: nothing special."""
    plain = normalised(name)
    return next((role for role, names in _ROLES.items() if plain in names), "")


def name_and_unit(name: str) -> tuple[str, str]:
    """
    ``Weight (kg)`` is a weight in kg, ``Price €`` a price in euros; the unit may be empty.

    What stands in brackets otherwise stays: "Price (low season)".
    """
    spaced = " ".join(name.replace("_", " ").split())
    bracket = _UNIT.match(spaced)
    if bracket and _is_unit(bracket[2], in_brackets=True):
        return bracket[1], bracket[2].strip()
    last = _LAST_WORD.match(spaced)
    if last and _is_unit(last[2], in_brackets=False):
        return last[1], last[2]
    return spaced, ""


def _is_unit(text: str, in_brackets: bool) -> bool:
    plain = text.strip().casefold()
    if plain.strip(CURRENCIES) == "" or plain in _CURRENCY_CODES:
        return True
    return in_brackets and len(plain) <= _LONGEST_UNIT and plain.replace("/", "").isalpha()


def with_unit(value: str, unit: str) -> str:
    """
    A number with the unit of its column: ``£4.95``, ``649,00 €``, ``15,2 kg``.

    :param value: a cell; what is no number stays as it is
    :param unit: of the column's name; may be empty
    """
    if not unit or not _NUMBER.match(value):
        return value
    return f"{unit}{value}" if unit in ("$", "£", "¥", "₹") else f"{value} {unit}"


def shown_names(columns: Sequence[str]) -> dict[str, str]:
    """
    What each column is called when it is told: without its unit, days of the week in full.

    :param columns: names, each different
    """
    plain = {column: normalised(column) for column in columns}
    for days in (_DAYS, _TAGE):
        short = {n: day for day, names in days.items() for n in (day.casefold(), *names.split())}
        if sum(name in short for name in plain.values()) >= _FEWEST_DAYS:
            full = {
                c: d if days is _TAGE else d.capitalize()
                for c, n in plain.items()
                if (d := short.get(n))
            }
            break
    else:
        full = {}
    shown: dict[str, str] = {}
    for column in columns:
        name = full.get(column) or name_and_unit(column)[0]
        # two columns of one name stay apart
        shown[column] = column if name in shown.values() else name
    return shown


def kind_of(values: Sequence[str], unit: str = "") -> str:
    """
    What kind a column's values are.

    :param values: those that are not empty
    :param unit: of its name
    """
    if not values:
        return "empty"
    for kind, fits in _KINDS:
        if sum(map(fits, values)) >= _SHARE * len(values):
            if kind == "number" and _is_currency(unit):
                return "money"
            return kind
    return "text"


def _is_currency(unit: str) -> bool:
    return bool(unit) and (unit.strip(CURRENCIES) == "" or unit.casefold() in _CURRENCY_CODES)


def _is_money(value: str) -> bool:
    bare = value.strip(CURRENCIES + " \u00a0")
    first, _, last = bare.partition(" ")
    for code, rest in ((first, last), (bare.rpartition(" ")[2], bare.rpartition(" ")[0])):
        if code.casefold() in _CURRENCY_CODES:
            return bool(_NUMBER.match(rest))
    return bare != value.strip() and bool(_NUMBER.match(bare))


def as_date(text: str) -> datetime | None:
    """A date as people write it; None where it is none."""
    for form in _DATES:
        try:
            return datetime.strptime(text.strip(), form)
        except ValueError:
            continue
    return None


def _is_hours(value: str) -> bool:
    return bool(_HOURS.match(value) or _TIME.match(value)) or value.casefold() in _CLOSED


def _is_phone(value: str) -> bool:
    digits = sum(letter.isdigit() for letter in value)
    return digits >= 6 and value[:1] in "+0(" and bool(_PHONE.match(value))


def _is_list(value: str) -> bool:
    parts = re.split(r"[,;|] ?", value)
    return len(parts) > 1 and all(part and len(part.split()) <= 4 for part in parts)


_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("yes/no", lambda value: value.casefold() in _YES_NO),
    ("money", _is_money),
    ("phone", _is_phone),
    ("date", lambda value: as_date(value) is not None),
    ("number", lambda value: bool(_NUMBER.match(value))),
    ("hours", _is_hours),
    ("list", _is_list),
)


def entity_column(columns: Sequence[str], values: dict[str, list[str]]) -> str:
    """
    The column that says what a row is about: by its name, else by what it holds; empty: none.

    By content it is the first whose values are names: short, with letters, nearly all different.

    :param columns: names, in their order
    :param values: of each column those that are not empty
    """
    last = {column: normalised(column).rpartition(" ")[2] for column in columns}
    for column in columns:
        if last[column] in BARE_NAMES:
            return column
    for wanted in _ABOUT:
        for column in columns:
            if last[column] == wanted and _are_names(values[column], 0.5):
                return column
    for column in columns:
        if _are_names(values[column], 0.9) and kind_of(values[column]) in ("text", "list"):
            return column
    return ""


def _are_names(values: list[str], different: float) -> bool:
    if not values:
        return False
    lettered = sum(any(letter.isalpha() for letter in value) for value in values)
    short = sum(len(value.split()) <= _LONGEST_NAME for value in values)
    return (
        len(set(values)) >= different * len(values)
        and lettered >= _SHARE * len(values)
        and short >= _SHARE * len(values)
    )
