"""Corrections from a chat log: read, superseded, reviewed, split."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.corrections import chatlog, review
from parlai_cu.errors import DataError, UsageError
from parlai_cu.serving.feedback import Feedback, FeedbackLog

SPLITS = ("train", "valid", "test")


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A record as the chat service writes it."""
    stock = dict(
        time=f"2026-11-24T10:00:{number % 60:02d}.000+00:00",
        conversation="c1",
        turn=number,
        version="v1-abc",
        context=["hello", "hi"],
        text=f"question {number}?",
        reply="wrong",
        rating="down",
        correction=f"answer {number}",
        knowledge=None,
    )
    return {**stock, **changes}


def log(path: Path, records: list[Any]) -> str:
    """A chat log."""
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return str(path)


def test_what_the_chat_service_writes_is_read(tmp_path: Path) -> None:
    """The writer's own records, by the writer itself."""
    path = str(tmp_path / "chat.jsonl")
    FeedbackLog(path).append(
        Feedback(
            "c1", 1, "v1", ["hi", "hello"], "mail me at a@b.example", "no", "down", "I do", None
        )
    )
    (found,) = chatlog.read(path)
    assert (found.text, found.correction, found.version) == ("mail me at <email>", "I do", "v1")


def test_a_later_record_takes_the_earlier_ones_place(tmp_path: Path) -> None:
    """Also across files of a folder; a line that was cut off is left out."""
    log(tmp_path / "b.jsonl", [record(1), record(2)])
    log(tmp_path / "a.jsonl", [record(1, time="2026-11-25T00:00:00+00:00", correction="better")])
    with open(tmp_path / "b.jsonl", "a") as f:
        f.write('{"time": "2026-11-24T1\n')
    found = chatlog.read(str(tmp_path))
    assert [(j.turn, j.correction) for j in found] == [(2, "answer 2"), (1, "better")]


@pytest.mark.parametrize(
    "line, text",
    [
        ("hello", "line 1: not JSON"),
        ("[1]", "line 1: found a list"),
        (json.dumps(record(1, turn="one")), "\"turn\" is 'one'"),
        (json.dumps(record(1, rating="good")), "\"rating\" is 'good'"),
        (json.dumps({"time": "x"}), '"conversation" is nothing'),
    ],
)
def test_a_line_that_is_something_else(line: str, text: str, tmp_path: Path) -> None:
    """File, line, what was found and what was expected."""
    (tmp_path / "chat.jsonl").write_text(line + "\n")
    with pytest.raises(DataError) as error:
        chatlog.read(str(tmp_path / "chat.jsonl"))
    assert text in str(error.value) and "expected one record per line" in str(error.value)


def test_only_what_was_accepted_is_learnt(tmp_path: Path) -> None:
    """Accept, reject, edit; the last decision holds; pending and rated up on request."""
    up = record(9, correction=None, rating="up", reply="fine")
    path = log(tmp_path / "chat.jsonl", [*(record(i) for i in range(1, 5)), up])
    ids = [r.judgement.id for r in review.reviewed(path)]
    assert review.lessons(path) == []
    review.decide(path, [ids[0][:6], ids[1]], review.ACCEPT)
    review.decide(path, [ids[1]], review.REJECT)
    review.decide(path, [ids[2]], review.ACCEPT, text="better 3")
    assert [lesson.label for lesson in review.lessons(path)] == ["answer 1", "better 3"]
    assert [lesson.label for lesson in review.lessons(path, pending=True, rated_up=True)] == [
        "answer 1",
        "better 3",
        "answer 4",
        "fine",
    ]
    assert review.lessons(path)[0].context == ("hello", "hi", "question 1?")
    listed = review.listed(review.reviewed(path))
    assert "right is: answer 4" in listed and "answer 1" not in listed
    assert listed.endswith("1 pending, 2 accept, 1 reject")
    assert review.decide(path, ["all"], review.ACCEPT) == [ids[3]]


def test_a_changed_correction_is_pending_again(tmp_path: Path) -> None:
    """The decision was on another text."""
    path = log(tmp_path / "chat.jsonl", [record(1)])
    review.decide(path, ["all"], review.ACCEPT)
    later = record(1, time="2026-11-26T00:00:00+00:00", correction="no, this")
    log(tmp_path / "chat.jsonl", [record(1), later])
    assert [r.decision for r in review.reviewed(path)] == ["pending"]


def test_each_lesson_once_and_in_one_split(tmp_path: Path) -> None:
    """The same in two conversations is one; the split follows from the question."""
    many = [record(i % 50, conversation=f"c{i}") for i in range(100)]
    path = log(tmp_path / "chat.jsonl", many)
    lessons = review.lessons(path, pending=True)
    assert len(lessons) == 50
    splits = [review.split_of(lesson) for lesson in lessons]
    assert {split: splits.count(split) > 0 for split in SPLITS} == dict.fromkeys(SPLITS, True)
    assert splits == [review.split_of(lesson) for lesson in review.lessons(path, pending=True)]


def test_an_unknown_id(tmp_path: Path) -> None:
    """With the nearest there is."""
    path = log(tmp_path / "chat.jsonl", [record(1)])
    with pytest.raises(UsageError, match="zzz: no correction of"):
        review.decide(path, ["zzz"], review.ACCEPT)


def test_wrong_replies_stay_with_their_corrections(tmp_path):
    """What a user put right was wrong; a correction that is the reply says nothing of it."""
    told = [record(1, reply="No.", correction="Yes."), record(2, reply="Yes.", correction="Yes. ")]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in told))
    review.decide(str(path), ["all"], review.ACCEPT)
    assert [lesson.rejected for lesson in review.lessons(str(path))] == [("No.",), ()]
