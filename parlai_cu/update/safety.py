"""Checks of a candidate that are not about skill: broken replies, latency, size."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from parlai_cu import named
from parlai_cu.errors import UsageError
from parlai_cu.update.gate import FAIL, PASS, Check
from parlai_cu.update.wording import tokens

# by how much the share of broken replies may rise: a reply in fifty, or two
_MORE_BROKEN, _MORE_REPLIES = 0.02, 2
MAX_SLOWER = 1.5
MAX_LARGER = 1.2


@dataclass(frozen=True)
class Pair:
    """
    What both models say to one example.

    :param task: where it is from
    :param context: the conversation so far
    :param label: the right answer
    :param before: the live model's reply
    :param after: the candidate's
    """

    task: str
    context: str
    label: str
    before: str
    after: str


def repeats(reply: str) -> bool:
    """Whether a reply goes round in circles: three words in a row, three times or more."""
    words = tokens(reply)
    counts = Counter(zip(words, words[1:], words[2:]))
    return any(count >= 3 for count in counts.values())


def check_replies(pairs: Sequence[Pair]) -> list[Check]:
    """
    Empty, circling, over-long and uniform replies, beside the live model's.

    :param pairs: with replies of both; without any there is nothing to check
    """
    if not pairs:
        return []
    longest = 2 * max(len(tokens(pair.label)) for pair in pairs)
    kinds: list[Any] = [
        ("empty replies", lambda reply: not reply.strip()),
        ("replies that go round in circles", repeats),
        (f"replies of over {longest} words", lambda reply: len(tokens(reply)) > longest),
    ]
    checks = [_broken(name, is_broken, pairs) for name, is_broken in kinds]
    before, after = (
        _commonest([getattr(p, which) for p in pairs]) for which in ("before", "after")
    )
    label = _commonest([pair.label for pair in pairs])
    ok = after <= max(before, label) + 0.25
    words = f"{after:.1%} of the replies are the same one; of the live model's {before:.1%}"
    checks.append(Check("one reply for everything", "safety", PASS if ok else FAIL, words))
    return checks


def _broken(name: str, is_broken: Callable[[str], bool], pairs: Sequence[Pair]) -> Check:
    before = sum(is_broken(pair.before) for pair in pairs) / len(pairs)
    after = sum(is_broken(pair.after) for pair in pairs) / len(pairs)
    allowed = before + max(_MORE_BROKEN, _MORE_REPLIES / len(pairs))
    words = f"{after:.1%}, of the live model's {before:.1%}; allowed {allowed:.1%}"
    return Check(name, "safety", PASS if after <= allowed + 1e-9 else FAIL, words)


def _commonest(replies: Sequence[str]) -> float:
    return Counter(replies).most_common(1)[0][1] / len(replies)


def check_latency(before: Sequence[float], after: Sequence[float], most: float) -> Check:
    """
    That replies do not take much longer.

    :param before: seconds of the live model's replies, measured in turns with
    :param after: seconds of the candidate's
    :param most: allowed ratio of the medians: times as many seconds
    """
    one, other = statistics.median(before), statistics.median(after)
    ratio = other / max(one, 1e-9)
    words = (
        f"median of {len(after)} replies {1000 * other:.0f} ms, the live model's "
        f"{1000 * one:.0f} ms; allowed {most:g} times as much"
    )
    return Check("latency", "safety", PASS if ratio <= most else FAIL, words)


def check_size(before: int, after: int, most: float) -> Check:
    """
    That the model does not become much larger.

    :param before: bytes of the live model's parameters
    :param after: bytes of the candidate's
    :param most: allowed ratio of the two: times as many bytes
    """
    words = f"{after / 1e6:.1f} MB, was {before / 1e6:.1f} MB; allowed {most:g} times as much"
    return Check("size", "safety", PASS if after <= most * before else FAIL, words)


def user_checks(names: Sequence[str]) -> list[Callable[[Sequence[Pair]], Any]]:
    """
    The functions that ``--gate`` names.

    :param names: each ``my.module:check``
    :raises UsageError: when there is none of that name
    """
    found = []
    for name in names:
        check = named.load(name, "--gate")
        if not callable(check):
            raise UsageError(f"--gate {name}: is a {type(check).__name__}, expected a function")
        found.append(check)
    return found


def run_user_check(
    name: str, check: Callable[[Sequence[Pair]], Any], pairs: Sequence[Pair]
) -> Check:
    """
    What a user's function says of the replies: nothing or True accept, a text is why not.

    An error in it refuses: what could not be checked is not accepted.
    """
    try:
        found = check(pairs)
    except Exception as error:
        return Check(name, "user", FAIL, f"failed: {type(error).__name__}: {error}")
    if found is None or found is True:
        return Check(name, "user", PASS, "accepted")
    return Check(name, "user", FAIL, found if isinstance(found, str) else f"returned {found!r}")
