"""
Which conversations are held out.

It follows from a conversation's own words, so what was held out once always is, however the file
grows, in whichever order. Near-duplicates stay on one side: what they have in common is their key.
"""

import hashlib
import unicodedata
from collections.abc import Sequence

from parlai_cu.data.base import TrainingTurn

# of a hundred conversations
_TEST, _VALID = 20, 10


def assign_splits(conversations: Sequence[Sequence[TrainingTurn]]) -> list[str]:
    """``train``, ``valid`` or ``test`` for each conversation."""
    return [split_of([turn.text for turn in turns]) for turns in conversations]


def split_of(asked: Sequence[str]) -> str:
    """
    The split of a conversation: 7 of 10 train, 1 validates, 2 test.

    :param asked: what its user said, turn by turn
    """
    digest = hashlib.sha256(key_of(asked).encode()).hexdigest()
    number = int(digest, 16) % 100
    if number < _TEST:
        return "test"
    return "valid" if number < _TEST + _VALID else "train"


def key_of(asked: Sequence[str]) -> str:
    """
    What near-duplicates have in common: words without case, accents and marks.

    :param asked: what a user said, turn by turn
    """
    text = unicodedata.normalize("NFKD", " ".join(asked).casefold())
    letters = (mark if mark.isalnum() else " " for mark in text if not unicodedata.combining(mark))
    return " ".join("".join(letters).split())
