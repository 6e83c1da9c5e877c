"""Broken replies, latency, size, and checks of the user's own."""

import dataclasses
from typing import Any

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.update import safety
from parlai_cu.update.safety import Pair


def pairs(after: list[str]) -> list[Pair]:
    """A live model that answers well, and a candidate that says this."""
    return [
        Pair("new", f"question {i}", f"It is {i} dollars.", f"It is {i} dollars.", reply)
        for i, reply in enumerate(after)
    ]


GOOD = [f"That makes {i} dollars." for i in range(40)]


@pytest.mark.parametrize(
    "broken, name",
    [
        ("", "empty replies"),
        ("so so so so so so", "replies that go round in circles"),
        ("a very long answer that does not come to an end at all", "replies of over 10 words"),
    ],
)
def test_broken_replies_fail(broken: str, name: str) -> None:
    """Twenty of forty are too many; three do not tell; two are a slip; the other checks pass."""
    for count, result in ((20, "fail"), (3, "not enough data"), (2, "pass"), (0, "pass")):
        found = safety.check_replies(pairs([broken] * count + GOOD[count:]))
        results = {check.name: check.result for check in found}
        assert results.pop(name) == result
        del results["one reply for everything"]
        assert set(results.values()) == {"pass"}


def test_broken_replies_are_counted_by_conversation() -> None:
    """Thirty in one conversation say less than thirty in as many."""
    every = [f"That makes {i} dollars." for i in range(200)]
    spread = pairs([""] * 30 + every[30:])
    one = [
        dataclasses.replace(pair, conversation=str(max(i - 30, -1) + 1))
        for i, pair in enumerate(spread)
    ]
    assert safety.check_replies(spread)[0].result == "fail"
    assert safety.check_replies(one)[0].result == "not enough data"
    few = safety.check_replies(pairs(["", "", "", "", *every[4:]]))[0]
    assert few.result == "not enough data" and "conversations do not tell" in few.reason
    assert safety.check_replies(pairs(every))[0].result == "pass"


def test_one_reply_for_everything_fails() -> None:
    """A model that gave up."""
    found = safety.check_replies(pairs(["I see."] * 40))
    assert [check.name for check in found if check.result == "fail"] == ["one reply for everything"]


def test_a_busy_minute_neither_refuses_nor_hides() -> None:
    """A few pairs far off move nothing; nearly half of them leave it open."""
    before = [0.1] * 20
    for slower, result in ((1.1, "pass"), (2.0, "fail")):
        for disturbed in (50.0, 0.02):
            after = [0.1 * slower] * 16 + [0.1 * disturbed] * 4
            assert safety.check_latency(before, after, 1.5).result == result
    assert safety.check_latency(before, [0.1] * 9 + [0.3] * 11, 1.5).result == "not enough data"
    assert safety.check_latency([0.1] * 3, [0.11] * 3, 1.5).result == "pass"


def test_size() -> None:
    """Within the allowed ratio or not."""
    assert safety.check_size(100, 110, 1.2).result == "pass"
    assert safety.check_size(100, 130, 1.2).result == "fail"


def polite(found: list[Pair]) -> Any:
    """A check as a user would write it."""
    return None if all("please" in pair.after for pair in found) else "not polite"


def test_a_users_check() -> None:
    """It is found by name; its text is the reason; an error in it refuses."""
    (check,) = safety.user_checks([f"{__name__}:polite"])
    assert safety.run_user_check("polite", check, pairs(["yes please"])).result == "pass"
    refused = safety.run_user_check("polite", check, pairs(["no"]))
    assert (refused.result, refused.reason) == ("fail", "not polite")
    broken = safety.run_user_check("broken", lambda found: 1 / 0, pairs(["no"]))
    assert broken.result == "fail" and "ZeroDivisionError" in broken.reason


@pytest.mark.parametrize("name", ["nowhere:check", f"{__name__}:nothing", f"{__name__}:GOOD", "x"])
def test_a_users_check_that_is_not_there(name: str) -> None:
    """An error before any work, naming the flag."""
    with pytest.raises(UsageError, match="--gate "):
        safety.user_checks([name])


def test_rejected_answers_are_not_given() -> None:
    """What is still said of what was rejected refuses, and is named; nothing where none is."""

    def checked(before: str, after: str, most: float = 1.0) -> tuple[str, str]:
        pairs = [Pair("new", "how much?", "It is 5.", before, after, rejected=("It is 4.",))]
        (found,) = safety.check_rejected([*pairs, Pair("new", "q", "a", "a", "a")], most)
        return found.result, found.reason

    assert checked("It is 4.", "It is 5.", 0.1)[0] == "pass"
    result, reason = checked("It is 4.", "it is 4", 0.1)
    assert result == "fail" and "'how much?' -> 'it is 4'" in reason and "1 still get it" in reason
    # held out: no more than the live model
    assert checked("It is 4.", "It is 4.")[0] == "pass"
    assert checked("It is 3.", "It is 4.")[0] == "fail"
    assert safety.check_rejected([Pair("new", "q", "a", "a", "a")], 1.0) == []
