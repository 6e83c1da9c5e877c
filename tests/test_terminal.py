"""parlai_cu/terminal.py and who uses it: what others wrote forges no line of a listing."""

import json
import os
import stat
from pathlib import Path

import pytest

from parlai_cu import files
from parlai_cu.corrections import review
from parlai_cu.serving.feedback import Feedback, FeedbackLog
from parlai_cu.serving.transcript_store import TranscriptStore
from parlai_cu.terminal import plain

HOSTILE = [
    "fine\n0123456789  accept  2026-01-01T00:00",
    "fine\r    right is: all is well",
    "\x1b[2J\x1b[1;1Hnothing here",
    "\x9b2J",
    "abc\u202egnp.exe",
    "a\x00b\x07\x08",
    "one\u2028two\x85three",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_terminal_obeys(text: str) -> None:
    """One line of visible characters; what is visible stays as it is."""
    assert plain(text).isprintable() and len(plain(text).splitlines()) == 1
    assert plain("日本語 🙂 é") == "日本語 🙂 é"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_listing_of_corrections(text: str, tmp_path: Path) -> None:
    """Each record has its own five lines, whatever stands in it."""
    record = {"time": "2026-11-24T10:00:00", "conversation": "c", "turn": 1, "version": text}
    record |= {"context": [text], "text": text, "reply": text, "rating": "down", "correction": text}
    (tmp_path / "f.jsonl").write_text(json.dumps(record) + "\n")
    lines = review.listed(review.reviewed(str(tmp_path / "f.jsonl"))).splitlines()
    assert len(lines) == 6 and all(line.isprintable() for line in lines)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such modes here")
def test_files_of_users_are_their_owners(tmp_path: Path) -> None:
    """New ones and those of an earlier release, and the folder that is made for them."""

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    old = tmp_path / "old.db"
    TranscriptStore(f"sqlite:///{old}").close()
    old.chmod(0o644)
    store = TranscriptStore(f"sqlite:///{old}")
    store.start()
    assert all(mode(path) == 0o600 for path in tmp_path.glob("old.db*"))
    store.close()
    log = FeedbackLog(str(tmp_path / "new" / "f.jsonl"))
    log.append(Feedback("c", 1, None, [], "a", "b", "down", "c", None))
    review.decide(log.path, ["all"], "accept")
    files.write_text(str(tmp_path / "new" / "report.html"), "what users wrote")
    assert mode(tmp_path / "new") == 0o700
    assert {mode(path) for path in (tmp_path / "new").iterdir()} == {0o600}
