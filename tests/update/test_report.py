"""What is told of an update."""

import re
from typing import Any

from parlai_cu.update import report
from parlai_cu.update.choice import choose
from parlai_cu.update.safety import Pair
from parlai_cu.update.wording import Example
from tests.update.test_choice import by_hand


def about(**changes: Any) -> dict[str, Any]:
    """A report's facts."""
    contradictory = [(Example("What is it?", "It is 1."), Example("What is it?", "It is <2>."))]
    diagnosis = by_hand(contradictions=contradictory)
    choice = choose(diagnosis)
    checks = [
        {
            "name": "old ppl",
            "kind": "retained",
            "result": "fail",
            "reason": "too much is lost",
            "metric": "ppl",
            "base": 2.0,
            "candidate": 4.0,
            "change": -0.69,
            "low": -0.8,
            "high": -0.6,
            "limit": 0.05,
            "examples": 50,
            "unit": "log",
        },
        {"name": "size", "kind": "safety", "result": "pass", "reason": "2 MB"},
    ]
    train = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}]
    valid = [{"step": s, "new/ppl": 9.0 - s / 5, "old/ppl": 3.0} for s in (10, 20)]
    facts: dict[str, Any] = {
        "task": "new.jsonl",
        "live": "v1-abc",
        "seed": 0,
        "data": [{"name": "new", "own_splits": False, "train": 7, "valid": 1, "test": 2}],
        "diagnosis": report.plain(diagnosis, 10),
        "choice": choice.__dict__,
        "version": "v2-def",
        "promoted": False,
        "training": [{"command": "parlai train_model", "train": train, "valid": valid}],
        "replies": report.most_changed(pairs(), 20),
        "verdict": {"decision": "refuse", "reasons": ["old ppl: too much"], "checks": checks},
        "confidence": 0.95,
        "seconds": {"training": 12.0},
    }
    return {**facts, **changes}


def pairs() -> list[Pair]:
    """Replies of two tasks, one of which changed."""
    changed = [
        Pair("new", f"q{i}", "right", "the same words", "quite other things") for i in range(30)
    ]
    kept = [Pair("old", f"q{i}", "right", "as it was", "as it was") for i in range(30)]
    return changed + kept


def test_the_page_needs_no_other_file_and_escapes_what_users_wrote() -> None:
    """No link, no script, nothing of the data is markup."""
    page = report.html(about(task="<script>alert(1)</script>"))
    assert not re.search(r"<(script|link|img|iframe)|https?://|src=", page)
    assert "&lt;script&gt;" in page and "It is &lt;2&gt;." in page
    for text in ("Refused", "v1-abc stays live", "too much is lost", "loss in training"):
        assert text in page
    assert page.count("<polyline") == 3


def test_nothing_trained_has_a_page_too() -> None:
    """Without checks, curves and replies."""
    verdict = {"decision": "not enough data", "reasons": ["known"], "checks": []}
    page = report.html(about(training=[], replies=[], verdict=verdict, version=None))
    assert "Nothing was trained" in page and "<polyline" not in page


def test_the_most_changed_replies_come_first_and_every_task_has_some() -> None:
    """Twenty of sixty, half of each task."""
    found = report.most_changed(pairs(), 20)
    assert len(found) == 20
    assert [row["task"] for row in found] == ["new"] * 10 + ["old"] * 10
    assert found[0]["changed"] == 1.0 and found[-1]["changed"] == 0.0


def test_changed_words_are_marked() -> None:
    """Those that the other text has not."""
    assert report.changed_words("it costs 10 dollars", "it costs 12 dollars") == [
        ("it costs", False),
        ("12", True),
        ("dollars", False),
    ]


def test_an_interval_is_drawn_beside_its_limit() -> None:
    """A retained task's limit lies below no change, an update's above."""
    retained, update = (
        report.interval({"kind": kind, "low": -0.2, "high": 0.1, "change": -0.05, "limit": 0.05})
        for kind in ("retained", "update")
    )
    assert retained["places"]["limit"] < 0 < update["places"]["limit"]
    assert retained["places"]["low"] < retained["places"]["change"] < retained["places"]["high"]
    assert all(abs(place) <= 1 for place in retained["places"].values())


def test_the_terminal_lists_contradictions_and_ways() -> None:
    """With the way that is chosen marked, in lines that fit."""
    held = by_hand(contradictions=[(Example("What?", "It is 1."), Example("What?", "It is 2."))])
    text = report.choice_text(choose(held), held, 10)
    assert "contradictory: 'What?'" in text and "'It is 1.' and 'It is 2.'" in text
    assert "* if some answers change: frozen_layer (fits)" in text
    assert max(map(len, text.splitlines())) <= 100
