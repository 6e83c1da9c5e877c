"""Clocks that are set back or forward: nothing is lost, and what came later counts as later."""

import datetime
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.corrections import review
from parlai_cu.knowledge.backends import store as kb_store
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.serving import feedback
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore
from parlai_cu.types import Fact, Verdict
from parlai_cu.versions import records
from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, tiny_model, write_model

PACKAGE = Path(records.__file__).parent.parent
YEAR = 365 * 24 * 3600.0
# the age of files (two), the time at a start, and a field of ParlAI that nothing of ours reads
WALL_CLOCK = {
    "files.py",
    "update/step_cache.py",
    "reach.py",
    "serving/transcript_store.py",
    "chat_service/session_lifecycle.py",
}


def clock(years: list[int]) -> Any:
    """A ``datetime`` whose ``now`` is one of these years after the other."""
    left = iter(years)

    class Set(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            """The next of them."""
            return datetime.datetime(next(left), 1, 1, tzinfo=tz)

    return Set


def test_durations_are_measured_by_a_clock_that_nobody_sets() -> None:
    """time.time() stands only where the time of day is meant."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\btime\.time\b", path.read_text())
    }
    assert found == WALL_CLOCK


def test_versions_are_in_the_order_of_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers go up, the last promotion is live, and a rollback goes to the one before."""
    years = iter([2031, 2030, 2029, 2033, 2020, 2019, 2018, 2017, 2016, 2015])
    monkeypatch.setattr(records, "now", lambda: f"{next(years)}-01-01T00:00:00+00:00")
    store = VersionStore(str(tmp_path / "s"), create=True, cache=str(tmp_path / "cache"))
    ids = []
    for by in (0.0, 1.0, 2.0):
        source = write_model(tmp_path / str(by) / "model", change(tiny_model(), by=by))
        added = store.add(source, mode="import", verdict=Verdict("accept"))
        store.promote(added.id)
        ids.append(added.id)
    assert [version.id for version in store.list()] == ids
    assert [version.number for version in store.list()] == [1, 2, 3]
    assert store.channel() == ids[2]
    store.rollback()
    assert store.channel() == ids[1]


@pytest.mark.parametrize("jump", [3 * YEAR, -3 * YEAR])
def test_conversations_outlive_a_clock_that_is_set(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is deleted for its age, none is kept for ever, and tokens resume what was said."""
    store = TranscriptStore(f"sqlite:///{tmp_path / 'c.db'}", keep_days=30)
    talk, token = store.start()
    store.add(talk.id, StoredTurn(1, "hello", "hi"))
    now, passed = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    monkeypatch.setattr(time, "monotonic", lambda: passed() + 2 * 3600)
    store.start()  # purges, as it does every hour
    held = store.resume(token)
    assert held is not None and held.turns[0].reply == "hi"
    monkeypatch.setattr(time, "monotonic", lambda: passed() + 60 * 24 * 3600)
    store.start()
    assert store.resume(token) is None
    store.close()


def test_a_later_judgement_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the clock was set back between the two."""
    monkeypatch.setattr(feedback, "datetime", clock([2031, 2030, 2029]))
    log = feedback.FeedbackLog(str(tmp_path / "log.jsonl"))
    for answer in ("the first", "the second", "the last"):
        log.append(feedback.Feedback("c", 1, "v", [], "when?", "now", "down", answer, None))
    (one,) = review.reviewed(str(tmp_path / "log.jsonl"))
    assert one.judgement.correction == "the last"


def test_undo_takes_the_last_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a knowledge base: the last that was made, whatever the clock said then."""
    monkeypatch.setattr(kb_store, "datetime", clock([2031, 2030, 2029, 2028]))
    base = open_knowledge_base(f"sqlite:///{tmp_path / 'f.db'}", writable=True)
    base.add([Fact("one", id="1")])
    base.add([Fact("two", id="2")])
    undo: Callable[[], Any] = base.undo  # type: ignore[attr-defined]
    undo()
    assert base.get("1") is not None and base.get("2") is None
    base.close()
