"""Checks of a candidate that are not about skill: broken replies, latency, size."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parlai_cu import named
from parlai_cu.errors import UsageError
from parlai_cu.retention.paired import PairedDifference, Sums, paired_difference
from parlai_cu.update.gate import FAIL, PASS, UNDECIDED, Check
from parlai_cu.update.planning import conversations_do_not_tell
from parlai_cu.update.wording import normal, tokens

# by how much the share of broken replies may rise: a reply in fifty; two are a slip
_MORE_BROKEN, _MORE_REPLIES = 0.02, 2
# of each one-sided test
_CONFIDENCE = 0.95
# rejected answers that are still given
_NAMED = 3
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
    :param conversation: id of the one that it is of; where missing it is one of its own
    :param rejected: answers that are known to be wrong
    """

    task: str
    context: str
    label: str
    before: str
    after: str
    conversation: str = ""
    rejected: tuple[str, ...] = ()


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
    ids = np.array([f"{pair.task} {pair.conversation or i}" for i, pair in enumerate(pairs)])
    allowed = _allowed(ids)
    checks = [_broken(name, is_broken, pairs, ids, allowed) for name, is_broken in kinds]
    before, after = (
        _commonest([getattr(p, which) for p in pairs]) for which in ("before", "after")
    )
    label = _commonest([pair.label for pair in pairs])
    ok = after <= max(before, label) + 0.25
    words = f"{after:.1%} of the replies are the same one; of the live model's {before:.1%}"
    checks.append(Check("one reply for everything", "safety", PASS if ok else FAIL, words))
    return checks


def check_rejected(pairs: Sequence[Pair], most: float) -> list[Check]:
    """
    That answers which were rejected are not given; nothing where none is known.

    :param pairs: replies of both models
    :param most: share of them that the candidate may still give; it may never give more than the
        live model does
    """
    asked = [pair for pair in pairs if pair.rejected]
    if not asked:
        return []
    before, after = (
        [p for p in asked if normal(getattr(p, which)) in {normal(wrong) for wrong in p.rejected}]
        for which in ("before", "after")
    )
    words = (
        f"of {len(asked)} questions with an answer that was rejected, {len(after)} still get it, "
        f"from the live model {len(before)}"
    )
    for pair in after[:_NAMED]:
        words += f"; {pair.context!r} -> {pair.after!r}"
    ok = len(after) <= min(most * len(asked), len(before))
    return [Check("rejected answers", "safety", PASS if ok else FAIL, words)]


def _rise(ids: np.ndarray, before: np.ndarray, after: np.ndarray) -> PairedDifference:
    every = np.ones(len(ids))
    sums = (Sums(broken, every, ids) for broken in (before, after))
    return paired_difference(*sums, level=2 * _CONFIDENCE - 1)


def _allowed(ids: np.ndarray) -> float:
    """With few conversations two slips are no proof that more than a reply in fifty is broken."""
    slips = np.zeros(len(ids))
    slips[np.unique(ids, return_index=True)[1][:_MORE_REPLIES]] = 1.0
    return max(_MORE_BROKEN, _rise(ids, np.zeros(len(ids)), slips).high)


def _broken(
    name: str,
    is_broken: Callable[[str], bool],
    pairs: Sequence[Pair],
    ids: np.ndarray,
    allowed: float,
) -> Check:
    """That the share of broken replies rises by no more than allowed, by conversation."""
    before, after = (
        np.array([float(is_broken(getattr(pair, which))) for pair in pairs])
        for which in ("before", "after")
    )
    found = _rise(ids, before, after)
    words = (
        f"{found.candidate:.1%}, of the live model's {found.base:.1%}; a rise by "
        f"{found.difference:+.1%}, with {_CONFIDENCE:.0%} confidence at most {found.high:+.1%}; "
        f"allowed {allowed:.1%}"
    )
    if found.low > allowed:
        return Check(name, "safety", FAIL, words)
    if found.high <= allowed + 1e-9:
        return Check(name, "safety", PASS, words)
    why = conversations_do_not_tell(found, allowed - found.difference, _CONFIDENCE)
    return Check(name, "safety", UNDECIDED, f"{words}: {why}")


def _commonest(replies: Sequence[str]) -> float:
    return Counter(replies).most_common(1)[0][1] / len(replies)


def check_latency(before: Sequence[float], after: Sequence[float], most: float) -> Check:
    """
    That replies do not take much longer, pair by pair.

    The interval of the median ratio is that of the order statistics (Thompson 1936,
    https://doi.org/10.1214/aoms/1177732502): a few replies that something else disturbed do not
    move it, however far they are off.

    :param before: seconds of the live model's replies, measured in alternation with
    :param after: seconds of the candidate's, to the same
    :param most: allowed ratio: times as many seconds
    """
    ratios = np.sort(np.array(after) / np.maximum(before, 1e-9))
    middle = float(np.median(ratios))
    low, high = _median_bounds(ratios)
    words = (
        f"{middle:.2f} times the live model's, by the median of {len(ratios)} pairs of replies "
        f"({1000 * statistics.median(after):.0f} and {1000 * statistics.median(before):.0f} ms), "
        f"with {_CONFIDENCE:.0%} confidence from {low:.2f} to {high:.2f}; allowed {most:g} times"
    )
    result = PASS if high <= most else FAIL if low > most else UNDECIDED
    return Check("latency", "safety", result, words)


def _median_bounds(ordered: np.ndarray) -> tuple[float, float]:
    """One-sided bounds of the median; the median itself where there are too few for bounds."""
    from scipy.stats import binom  # type: ignore[import-untyped]

    rank = int(binom.ppf(1 - _CONFIDENCE, len(ordered), 0.5))
    if rank < 1:
        return float(np.median(ordered)), float(np.median(ordered))
    return float(ordered[rank - 1]), float(ordered[len(ordered) - rank])


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
