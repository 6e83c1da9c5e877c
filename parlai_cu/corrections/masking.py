"""
Which personal data is masked before a chat becomes training data.

The rule: in what users said, e-mail addresses, IBANs, card numbers (13 to 19 digits that pass
Luhn's check), phone numbers (7 or more digits, dates excepted), IP addresses and other runs of 6
or more digits become ``<email>``, ``<iban>``, ``<card>``, ``<phone>``, ``<ip>``, ``<number>``. What
was masked so is masked in the replies and corrections of the same record as well, and so are
e-mail addresses, IBANs and card numbers that stand there alone; a phone number that only the
service told is the service's own and stays. Names and addresses are not found: whoever reviews
looks for them.
"""

import re
from collections.abc import Iterable

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_PATTERNS: list[tuple[str, "re.Pattern[str]"]] = [
    # only from where a name begins: from each of its letters the cost is the square
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("ip", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
    ("card", re.compile(r"\b\d(?:[ -]?\d){12,18}\b")),
    ("phone", re.compile(r"(?<![\w-])\(?\+?\d(?:[\s()./-]{0,2}\d){6,14}(?![\w-])")),
    ("number", re.compile(r"\d{6,}")),
]
# these are personal whoever says them
_ALWAYS = ("email", "iban", "card")


def mask_user(text: str) -> tuple[str, dict[str, str]]:
    """What a user said, masked, and what was masked: value -> mark."""
    return _mask(text, [name for name, _ in _PATTERNS])


def mask_reply(text: str, seen: dict[str, str]) -> str:
    """What the service said, with what was seen and masked in the user's words masked as well."""
    for value in sorted(seen, key=len, reverse=True):
        text = text.replace(value, seen[value])
    return _mask(text, _ALWAYS)[0]


def _mask(text: str, kinds: Iterable[str]) -> tuple[str, dict[str, str]]:
    found: dict[str, str] = {}
    wanted = set(kinds)
    for name, pattern in _PATTERNS:
        if name not in wanted:
            continue

        def replaced(match: "re.Match[str]", name: str = name) -> str:
            value = match.group()
            if not _is_meant(name, value):
                return value
            found[value] = f"<{name}>"
            return found[value]

        text = pattern.sub(replaced, text)
    return text, found


def _is_meant(name: str, value: str) -> bool:
    if name == "card":
        return _luhn([int(digit) for digit in value if digit.isdigit()])
    return name != "phone" or not _DATE.fullmatch(value.strip())


def _luhn(digits: list[int]) -> bool:
    """Luhn's check, https://en.wikipedia.org/wiki/Luhn_algorithm."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
