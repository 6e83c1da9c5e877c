"""
Which conversations are held out.

It follows from a conversation's own words, so what was held out once always is, however the file
grows and in whichever order. Near-duplicates stay on one side: where one of them is held out all
are, so that growth moves an example out of training, never into it.
"""

import hashlib
from collections.abc import Sequence

from parlai_cu.data.near_duplicates import by_near_duplicates
from parlai_cu.data.text_key import key_of

# of a hundred conversations
_TEST, _VALID = 20, 10


def splits_of(asked: Sequence[str]) -> list[str]:
    """
    ``train``, ``valid`` or ``test`` for each conversation, of what its user asked.

    Of three or more no part is empty; where chance held out fewer than two, those with the lowest
    numbers are, which is rare from twenty conversations on.
    """
    numbers = [_number(text) for text in asked]
    groups = by_near_duplicates(asked)
    lowest = [min(numbers[i] for i in group) for group in groups]
    held = {i for i, number in enumerate(lowest) if number < _TEST + _VALID}
    ranked = sorted(range(len(groups)), key=lambda i: lowest[i])
    if len(groups) > 2:
        held |= set(ranked[:2])
    tests = {i for i in held if lowest[i] < _TEST}
    if len(held) > 1 and len(tests) in (0, len(held)):
        # one of them at least for each; the highest validates
        tests = set(sorted(held, key=lambda i: lowest[i])[:-1])
    found = ["train"] * len(asked)
    for i in held:
        for one in groups[i]:
            found[one] = "test" if i in tests else "valid"
    return found


def _number(text: str) -> float:
    """Of a hundred, by the hash of what was asked."""
    digest = hashlib.sha256(key_of([text]).encode()).hexdigest()
    return int(digest[:12], 16) / 16**12 * 100
