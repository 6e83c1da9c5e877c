"""Broken replies, latency, size, and checks of the user's own."""

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
    """Three in forty are more than is allowed, two are not; the other checks pass."""
    two = safety.check_replies(pairs([broken, broken, *GOOD[2:]]))
    assert not [check for check in two if check.result == "fail"]
    found = safety.check_replies(pairs([broken, broken, broken, *GOOD[3:]]))
    assert [check.name for check in found if check.result == "fail"] == [name]
    assert not [c for c in safety.check_replies(pairs(GOOD)) if c.result == "fail"]


def test_one_reply_for_everything_fails() -> None:
    """A model that gave up."""
    found = safety.check_replies(pairs(["I see."] * 40))
    assert [check.name for check in found if check.result == "fail"] == ["one reply for everything"]


def test_latency_and_size() -> None:
    """Within the allowed ratio or not."""
    assert safety.check_latency([0.1, 0.1, 0.2], [0.12, 0.1, 0.9], 1.5).result == "pass"
    assert safety.check_latency([0.1, 0.1, 0.1], [0.2, 0.2, 0.2], 1.5).result == "fail"
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
