"""
A reply as a person would write it.

ParlAI's dictionaries join a model's tokens by spaces, and many lower-case them: "your bill is
$ 150 . it ' s due on 3 : 30 p . m .". Text that is written well already stays as it is, and so do
addresses, code and facts. sacremoses and NLTK put 73 % of what the ``re`` dictionary made of
people's sentences back together, these rules 98 % (``benchmarks/detokenize.py``).

No pattern here costs more than a text is long (tests/test_patterns.py).
"""

import re
from collections.abc import Iterable
from typing import Any

_TOP = "com|org|net|edu|gov|info|io|de|uk|fr|es|it|nl|eu|ch|at|us|ca|example"
_NAME = r"[\w-]{1,64}"
# an address that a tokenizer took apart: its pieces up to the ending, then a path
_ADDRESS = re.compile(
    rf"(?<!\S)(?:https? : / / |www \. |{_NAME}(?: [._+-] {_NAME}){{0,4}} @ )"
    rf"(?:{_NAME} [.-] ){{1,4}}(?:{_TOP})(?:(?: / {_NAME}){{1,8}})?(?: / ?(?!\S))?(?!\S)",
    re.IGNORECASE,
)
# left alone: code, addresses that are whole
_WHOLE = r"`[^`\n]{1,300}`|https?://\S+|www\.\S+|[^\s@]{1,64}@[^\s@]{1,64}\.\w+"
_CAPITALS = r"(?:^|(?<=[.!?] )|(?<=[.!?]\n)|(?<=\n))[^\W\d_]"
# after these a sentence goes on
_SHORT = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|[ap]\.m|e\.g|i\.e|etc|vs|approx|no|nr|mr|mrs|ms|dr|st|ca|bzw|z\.b)\.$",
    re.IGNORECASE,
)

# what nobody writes by hand; where nothing of it stands the spaces are the writer's own
_TOKENIZED = re.compile(
    r"\S [.,!?;:](?:\s|$)| [’'] |\w n[’']t\b|\d [:,./-] \d|(?:^| )(?:[$£€+] \d|[(\[] \w)"
)

_SPACES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        # 1 , 500 . 50, 3 : 30, 9 , 90 €, 2024 / 05 / 01, 12 %, + 1 503 - 334
        (r"(?<=\d) , (?=\d{3}(?!\d)|\d{1,2} ?[€%])", ","),
        (r"(?<=\d) : (?=\d\d)", ":"),
        (r"(?<=\d) ([./-]) (?=\d)", r"\1"),
        (r"(?<=\d) ([%°])", r"\1"),
        (r"(?<!\S)\+ (?=\d)", "+"),
        # a . m . and i . e .
        (r"\b([ap]) ?\. (m)\b(?: (\.))?", r"\1.\2\3"),
        (r"\b(e) ?\. (g)\b(?: (\.))?|\b(i) ?\. (e)\b(?: (\.))?", r"\1\4.\2\5\3\6"),
        # o ' hare, don ' t, do n't, it ' s, users ' data
        (r"\b([od]) ([’']) (?=[^\W\d_]{3})", r"\1\2"),
        (r"(?<=\w) ?([’']) ?(?=(?:s|t|d|m|ll|re|ve)\b)", r"\1"),
        (r"(?<=[a-z]) (?=n[’']t\b)", ""),
        (r"(?<=s) ([’'])(?= \w)", r"\1"),
        # closes what stands before it
        (r"(?<=\S)[ \t]+(?=[.,!?;:)\]}…]+(?:\s|$|[.,!?;:)\]}…\"”’']))", ""),
        # opens what comes after it
        (r"(?<!\S)([(\[{¿¡#$£€@])[ \t]+(?=\w)", r"\1"),
        # full - size, and / or, r & b
        (r"(?<=[^\W\d_]) ([-/]) (?=[^\W\d_])", r"\1"),
    )
)
_QUOTED = re.compile(r'(?<!\S)(") ([^"\n]{1,300}?) (")(?!\w)')
_ALONE = re.compile(
    r"(?<![\w.])i(?=['’](?:m|d|ll|ve)\b| (?:am|was|have|had|can|could|will|would|do|did|don|think"
    r"|know|need|want|see|found|hope)\b)"
)


def detokenize(text: str, verbatim: Iterable[str] = ()) -> str:
    """
    A model's reply as a person would write it; what it returns it would leave as it is.

    A text without capitals is of a model that knows none: its sentences begin with one.

    :param text: the reply
    :param verbatim: parts of it that stay as they are, such as the facts in it
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match.group())
        return f"\0{len(kept) - 1}\0"

    text = text.replace("\0", "")
    text = _ADDRESS.sub(lambda match: match.group().replace(" ", ""), text)
    parts = sorted({part for part in verbatim if part}, key=len, reverse=True)
    whole = "|".join([*map(re.escape, parts), _WHOLE])
    shape = re.sub(whole, keep, text)
    if _TOKENIZED.search(shape):
        for pattern, by in _SPACES:
            shape = pattern.sub(by, shape)
        shape = _QUOTED.sub(r"\1\2\3", shape)
    if text == text.lower():
        shape = _with_capitals(shape)
    return re.sub(r"\0(\d+)\0", lambda match: kept[int(match.group(1))], shape)


def _with_capitals(text: str) -> str:
    def capital(match: re.Match[str]) -> str:
        letter = match.group()
        before = text[max(0, match.start() - 12) : match.start()].rstrip(" ")
        return letter if _SHORT.search(before) else letter.upper()

    return re.sub(_CAPITALS, capital, _ALONE.sub("I", text))


def readable(act: Any) -> Any:
    """
    A model's act for people to read: what it says is detokenized, the facts in it stay as they are.

    :param act: left as it is; it may be what the model hears as its own
    """
    text = act.get("text")
    if not isinstance(text, str):
        return act
    facts = [str(fact.get("text", "")) for fact in act.get("knowledge") or ()]
    plain = detokenize(text, facts)
    return act if plain == text else type(act)({**act, "text": plain})
