"""Words of a text without what differs between tellings of it."""

import unicodedata
from collections.abc import Sequence


def key_of(asked: Sequence[str]) -> str:
    """What near-duplicates of what was asked share: words without case, accents and marks."""
    text = unicodedata.normalize("NFKD", " ".join(asked).casefold())
    letters = (mark if mark.isalnum() else " " for mark in text if not unicodedata.combining(mark))
    return " ".join("".join(letters).split())
