"""
What a user may say to the service instead of to the model.

Only a whole message counts, never a part of one: ``[DONE]`` inside a sentence is text for the
model, and so is "where is that from" inside a question.
"""

import re

RESET = "[RESET]"
DONE = "[DONE]"
SOURCE = "[SOURCE]"
VERSION = "[VERSION]"
# for front ends without buttons
RATINGS = {"👍": "up", "👎": "down"}

_ASIDE = r"(?:please |and |so |but |no |sorry |ok |okay )*"
_IT = r"(?:that|this|it|the (?:last )?(?:answer|reply)|your (?:last )?(?:answer|reply))"
_SOURCE = re.compile(
    rf"{_ASIDE}(?:where(?: is| does| did|'s) {_IT}(?: come)? from|where did you get {_IT}(?: from)?"
    rf"|how do you know(?: {_IT})?|(?:what is|what's) (?:your|the) source(?: (?:of|for) {_IT})?"
    r"|source|says who)"
)
_VERSION = re.compile(
    rf"{_ASIDE}(?:(?:which|what) version (?:are you|is this|am i talking to)"
    r"|(?:what is|what's) your version)"
)
_WRONG = (
    r"(?:no[,.!]? )?(?:sorry[,.!]? )?(?:but )?"
    rf"{_IT}(?:'s| is| was|s) (?:wrong|incorrect|false|not (?:right|true|correct))"
    r"|(?:you are|you're|you were) wrong|wrong"
)
_SAY = (
    r"(?:please )?(?:say|you should (?:say|have said|answer)|it should (?:say|be)"
    r"|the (?:right|correct) answer (?:is|would be))"
)
_CORRECTION = re.compile(
    rf"(?:{_WRONG})[\s,.;:!-]+(?:{_SAY})[\s:,]+(?P<right>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_QUOTES = "\"'“”„‘’«»"


# characters of what can be a question about a reply
_QUESTION = 200


def _plain(text: str) -> str:
    if len(text) > _QUESTION:
        return ""
    words = text.strip().replace("’", "'").rstrip("?!. ").lower()
    return re.sub(r"[,\s]+", " ", words)


def command(text: str) -> str:
    """The command that a message is, in capitals; empty where it is none."""
    word = text.strip().upper()
    return word if word in (RESET, DONE, SOURCE, VERSION) else ""


def asks_for_source(text: str) -> bool:
    """Whether a message asks where the last reply is from."""
    return command(text) == SOURCE or _SOURCE.fullmatch(_plain(text)) is not None


def asks_for_version(text: str) -> bool:
    """Whether a message asks which version of the model is replying."""
    return command(text) == VERSION or _VERSION.fullmatch(_plain(text)) is not None


def correction(text: str) -> str | None:
    """What the user says the answer should have been ("that is wrong, say ..."), if they do."""
    found = _CORRECTION.fullmatch(text.strip().replace("’", "'"))
    if not found:
        return None
    right = found.group("right").strip()
    if len(right) > 1 and right[0] in _QUOTES and right[-1] in _QUOTES:
        right = right[1:-1].strip()
    return right or None
