"""parlai_cu/serving/purging.py: what is old goes, by a clock that may be wrong."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parlai_cu.serving import purging
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore
from tests.knowledge import postgres

HOUR, DAY = 3600.0, 24 * 3600.0


class Clocks:
    """The two clocks of the process, set by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = time.time(), time.monotonic()

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Those that the store looks at."""
    made = Clocks()
    monkeypatch.setattr(time, "time", lambda: made.wall)
    monkeypatch.setattr(time, "monotonic", lambda: made.steady)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/c.db"
    pytest.importorskip("sqlalchemy")
    return postgres.empty()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], TranscriptStore]]:
    """``opened()``: the store as a process that has just started opens it."""
    made: list[TranscriptStore] = []

    def start() -> TranscriptStore:
        made.append(TranscriptStore(url, keep_days=30))
        made[-1].start("somebody new" + str(len(made)))  # which purges
        return made[-1]

    yield start
    for store in made:
        store.close()


def spoken(store: TranscriptStore, count: int = 1) -> list[str]:
    """Tokens of conversations in which something was said."""
    tokens = []
    for _ in range(count):
        conversation, token = store.start()
        store.add(conversation.id, StoredTurn(1, "hello", "hi"))
        tokens.append(token)
    return tokens


def test_a_clock_that_is_forty_days_ahead(
    opened: Callable[[], TranscriptStore], clocks: Clocks
) -> None:
    """Services that start with it delete nothing, how often so ever; nor does one that runs on."""
    store = opened()
    (token,) = spoken(store)
    clocks.wall += 40 * DAY
    for _ in range(3):
        store = opened()  # a restart
        spoken(store)  # somebody speaks by that clock
        clocks.run(2 * HOUR)
        store.start()
        assert store.knows(token)
    clocks.run(20 * HOUR)
    store.start()
    assert store.knows(token)
    clocks.wall -= 40 * DAY  # it is put right
    store = opened()
    clocks.run(2 * HOUR)
    store.start()
    assert store.knows(token)


def test_a_clock_that_leaps_while_it_runs(
    opened: Callable[[], TranscriptStore], clocks: Clocks
) -> None:
    """The store goes by what has passed."""
    store = opened()
    (token,) = spoken(store)
    clocks.wall += 400 * DAY
    for _ in range(30):
        clocks.run(HOUR + 1)
        store.start()
    assert store.knows(token)


def test_a_store_of_a_release_that_noted_no_clock(
    tmp_path: Path, clocks: Clocks, opened: Callable[[], TranscriptStore], url: str
) -> None:
    """Its last conversation says when it was; those of the wrong clock do not count."""
    if not url.startswith("sqlite"):
        pytest.skip("the file is changed by hand")
    (token,) = spoken(opened())
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("DELETE FROM chat_clock")
    clocks.wall += 40 * DAY
    for _ in range(2):
        store = opened()
        spoken(store)
        clocks.run(2 * HOUR)
        store.start()
        assert store.knows(token)


def test_time_that_has_passed_is_believed_after_a_day(
    opened: Callable[[], TranscriptStore], clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a service that was off for so long; then only so many go at a look, the oldest first."""
    monkeypatch.setattr(purging, "MOST", 2)
    store = opened()
    tokens = []
    for _ in range(5):
        tokens += spoken(store)
        clocks.run(60)
    clocks.wall += 40 * DAY
    store = opened()
    for _ in range(23):
        clocks.run(HOUR + 1)
        store.start()
    assert all(map(store.knows, tokens))
    clocks.run(2 * HOUR)
    store.start()
    gone = 5 - sum(map(store.knows, tokens))
    assert 0 < gone <= 2 and not store.knows(tokens[0]) and store.knows(tokens[-1])
    for _ in range(5):
        clocks.run(HOUR + 1)
        store.start()
    assert not any(map(store.knows, tokens))


def test_turns_whose_conversation_is_missing(
    opened: Callable[[], TranscriptStore], clocks: Clocks
) -> None:
    """They go when they are old, as all that was said; those of today stay."""
    store = opened()
    conversation, _ = store.start()
    store.add(conversation.id, StoredTurn(1, "orphan", "hi"))
    store._rows.write("DELETE FROM chat_conversations WHERE id = :id", {"id": conversation.id})

    def texts() -> list[str]:
        return [text for (text,) in store._rows.read("SELECT text FROM chat_turns", {})]

    for day in range(32):
        clocks.run(DAY)
        if day == 1:
            kept, _ = store.start()
            store.add(kept.id, StoredTurn(1, "of yesterday", "hi"))
        store.start()
        assert ("orphan" in texts()) == (day < 30), day
    assert "of yesterday" in texts()
