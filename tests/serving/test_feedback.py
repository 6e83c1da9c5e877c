"""parlai_cu/serving/feedback.py: every judgement is one whole line."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from parlai_cu import files
from parlai_cu.corrections.chatlog import read as read_log
from parlai_cu.errors import ConversationError
from parlai_cu.serving.feedback import Feedback, FeedbackLog


def record(turn: int, **changed: Any) -> Feedback:
    """A judgement."""
    values: dict[str, Any] = dict(
        conversation="c1",
        turn=turn,
        version="v1",
        context=["hello", "hi"],
        text="what does it cost?",
        reply="5 euros",
        rating="down",
        correction="6 euros \ud83d",
        knowledge=None,
    )
    return Feedback(**{**values, **changed})


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record(tmp_path: Path) -> None:
    """All fields are there by their names, and the time is UTC."""
    log = FeedbackLog(str(tmp_path / "new" / "feedback.jsonl"))
    log.append(record(3, knowledge=[{"id": "fee"}]))
    (found,) = read(tmp_path / "new" / "feedback.jsonl")
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "conversation": "c1",
        "turn": 3,
        "version": "v1",
        "context": ["hello", "hi"],
        "text": "what does it cost?",
        "reply": "5 euros",
        "rating": "down",
        "correction": "6 euros \ud83d",
        "knowledge": [{"id": "fee"}],
    }


def test_the_teacher_reads_it(tmp_path: Path) -> None:
    """`-t corrections` finds what was logged, the later of two records of a turn."""
    path = tmp_path / "f.jsonl"
    log = FeedbackLog(str(path))
    log.append(record(1, rating="up", correction=None))
    log.append(record(2, text="one", reply="two", correction="three"))
    log.append(record(1, text="hello", reply="bye", correction="hello!"))
    found = {
        (one.turn, one.text, one.reply, one.rating, one.correction) for one in read_log(str(path))
    }
    assert found == {(2, "one", "two", "down", "three"), (1, "hello", "bye", "down", "hello!")}


def test_others_cannot_read_it(tmp_path: Path) -> None:
    """It holds what users wrote: only the service's own user reads it."""
    FeedbackLog(str(tmp_path / "f.jsonl"))
    assert stat.S_IMODE(os.stat(tmp_path / "f.jsonl").st_mode) == 0o600


def test_many_writers(tmp_path: Path) -> None:
    """Long records of several logs on one file are never mixed."""
    path = tmp_path / "f.jsonl"

    def write(name: int) -> None:
        log = FeedbackLog(str(path))
        for number in range(20):
            log.append(record(number, conversation=str(name), text=str(name) * 20_000))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read(path)
    assert len(found) == 80
    assert all(one["text"] == one["conversation"] * 20_000 for one in found)


def test_after_a_line_that_was_cut(tmp_path: Path) -> None:
    """A writer that was killed costs its own record, not the next one."""
    path = tmp_path / "f.jsonl"
    path.write_text('{"conversation": "cut')
    FeedbackLog(str(path)).append(record(1))
    assert [json.loads(line)["turn"] for line in path.read_text().splitlines()[1:]] == [1]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a record is taken back, and the error names the file."""
    path = tmp_path / "f.jsonl"
    log = FeedbackLog(str(path))
    log.append(record(1))
    before = path.read_bytes()
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(files.os, "write", lambda fd, line: write(fd, line[:10]))
        with pytest.raises(ConversationError, match="f.jsonl cannot be written"):
            log.append(record(2))
    assert path.read_bytes() == before
    log.append(record(3))
    assert [one["turn"] for one in read(path)] == [1, 3]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said at the start."""
    with pytest.raises(ConversationError, match="cannot be written"):
        FeedbackLog(str(tmp_path))
