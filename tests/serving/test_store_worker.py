"""parlai_cu/serving/store_worker.py: who waits for a store, for how long, and what then."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from parlai_cu.errors import ConversationError, UnknownConversationError
from parlai_cu.serving.fibers import WorkerPool
from parlai_cu.serving.store_worker import StoreWorker
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore
from tests.knowledge import postgres

PATIENCE = 30.0


class Store:
    """Fails, or hangs, while it is told to."""

    def __init__(self) -> None:
        self.fails = False
        self.open = threading.Event()
        self.open.set()
        self.calls = 0

    def call(self) -> str:
        """One call of it."""
        self.calls += 1
        assert self.open.wait(PATIENCE)
        if self.fails:
            raise ConversationError("it is broken")
        return "kept"


@pytest.fixture
def store() -> Iterator[Store]:
    """One that nobody waits for when the test is over."""
    made = Store()
    yield made
    made.fails = False
    made.open.set()


def worker(store: Store, **more: Any) -> StoreWorker:
    """What calls it, with little patience."""
    return StoreWorker("a store", store.call, deadline=0.2, pause=0.01, **more)


def until(condition: Any) -> None:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_a_call_gives(store: Store) -> None:
    """Its result, or what it raised; errors that are no trouble of the store's are none."""
    calls = worker(store)
    assert calls.call(store.call) == "kept"

    def unknown() -> None:
        raise UnknownConversationError("no such conversation")

    with pytest.raises(UnknownConversationError):
        calls.call(unknown)
    with pytest.raises(ZeroDivisionError):
        calls.call(lambda: 1 // 0)
    assert calls.up


def test_a_store_that_hangs(store: Store) -> None:
    """The caller waits for so long; the next not at all; it is noticed that it is back."""
    failures: list[int] = []
    interrupted: list[int] = []
    calls = worker(
        store, on_failure=lambda: failures.append(1), interrupt=lambda: interrupted.append(1)
    )
    store.open.clear()
    with pytest.raises(ConversationError, match="no answer within 0.2 s"):
        calls.call(store.call)
    assert not calls.up and interrupted == [1] and failures == [1]
    ran: list[int] = []
    with pytest.raises(ConversationError, match="out of reach"):
        calls.call(lambda: ran.append(1))
    assert not ran and "no answer" in calls.status()["trouble"]
    store.open.set()
    until(lambda: calls.up)
    assert calls.call(store.call) == "kept" and calls.status()["trouble"] is None


def test_a_store_that_fails(store: Store) -> None:
    """It is tried now and then, by nobody's turn."""
    calls = worker(store)
    store.fails = True
    with pytest.raises(ConversationError, match="it is broken"):
        calls.call(store.call)
    seen = store.calls
    until(lambda: store.calls > seen + 2)
    assert not calls.up
    store.fails = False
    until(lambda: calls.up)


def test_threads_that_are_stuck_are_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a store hangs and however many ask; all come back to an end."""
    monkeypatch.setattr("parlai_cu.serving.store_worker._MOST_STUCK", 3)
    calls = StoreWorker("a stuck store", store.call, deadline=0.02, pause=0.005)
    store.open.clear()
    for _ in range(50):
        with pytest.raises(ConversationError):
            calls.call(store.call)
        time.sleep(0.002)
    mine = [one for one in threading.enumerate() if one.name == "a stuck store"]
    assert len(mine) <= 4
    store.open.set()
    until(lambda: calls.up)
    until(lambda: sum(one.name == "a stuck store" for one in threading.enumerate()) == 1)


def test_what_is_put_off(store: Store) -> None:
    """It is done once the store is back, each thing once, the newest of a key."""
    calls = worker(store)
    store.fails = True
    with pytest.raises(ConversationError):
        calls.call(store.call)
    done: list[str] = []
    for key, word in (("a", "old"), ("b", "b"), ("a", "new")):
        calls.later(key, lambda word=word: done.append(word))
    store.fails = False
    until(lambda: len(done) == 2)
    assert sorted(done) == ["b", "new"] and calls.status()["put_off"] == 0


def test_what_fails_again_keeps_nobody_else_waiting(store: Store) -> None:
    """One call that the store always refuses is no reason to take it for away."""
    calls = StoreWorker("a store", store.call, deadline=PATIENCE, pause=0.01)
    store.fails = True
    with pytest.raises(ConversationError):
        calls.call(store.call)
    done: list[str] = []

    def refused() -> None:
        raise ConversationError("never")

    calls.later("a", refused)
    calls.later("b", lambda: done.append("b"))
    store.fails = False
    until(lambda: done == ["b"] and calls.up)
    assert calls.call(store.call) == "kept" and calls.status()["put_off"] == 1


def test_what_was_put_off_waits_where_the_store_goes_away_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """One call of many finds that out; the others are not tried one after the other."""
    calls = StoreWorker("a store", store.call, deadline=PATIENCE, pause=0.01)
    store.fails = True
    with pytest.raises(ConversationError):
        calls.call(store.call)
    tried: list[int] = []
    fails = threading.Event()

    def locks(number: int) -> None:
        tried.append(number)
        store.fails = True
        fails.set()
        raise ConversationError("locked")

    for number in range(50):
        calls.later(str(number), lambda number=number: locks(number))  # type: ignore[misc]
    store.fails = False
    assert fails.wait(PATIENCE)
    until(lambda: calls.status()["put_off"] == 50 and not calls.up)
    assert tried == [0]
    assert len([line for line in caplog.messages if "failed again" in line]) <= 1


def test_a_fiber_sets_itself_aside(store: Store) -> None:
    """While it waits for the store its thread runs others."""
    pool = WorkerPool(1)
    calls = StoreWorker("a store", store.call, deadline=PATIENCE)
    store.open.clear()
    ended = threading.Event()
    given: list[Any] = []

    def waits() -> None:
        given.append(calls.call(store.call))

    pool.start(waits, lambda result, error: ended.set())
    passed = threading.Event()
    pool.start(passed.set)
    assert passed.wait(PATIENCE) and not ended.is_set()
    store.open.set()
    assert ended.wait(PATIENCE) and given == ["kept"]
    pool.close()


def test_a_server_that_is_stopped_and_goes_on() -> None:
    """SIGSTOP: the caller is told in time, nobody stays stuck; SIGCONT: all is there."""
    pytest.importorskip("sqlalchemy")
    store = TranscriptStore(postgres.empty())
    calls = StoreWorker("postgres", store.check, 2, store.interrupt, deadline=0.5, pause=0.05)
    conversation, token = calls.call(lambda: store.start("t" * 32))
    with postgres.halted():
        turn = StoredTurn(1, "one", "two", "m")
        with pytest.raises(ConversationError, match="no answer"):
            calls.call(lambda: store.add(conversation.id, turn))
        with pytest.raises(ConversationError, match="out of reach"):
            calls.call(lambda: store.add(conversation.id, turn))
        until(lambda: calls._stuck == 0)
    until(lambda: calls.up)
    calls.call(lambda: store.add(conversation.id, turn))
    found = calls.call(lambda: store.resume(token))
    assert found is not None and [one.text for one in found.turns] == ["one"]
    with postgres.stopped():
        with pytest.raises(ConversationError):
            calls.call(store.check)
    until(lambda: calls.up)
    assert calls.call(lambda: store.knows(token))
    store.close()


def test_a_table_that_is_locked_and_a_statement_that_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server itself ends a statement that takes too long."""
    pytest.importorskip("sqlalchemy")
    import psycopg

    monkeypatch.setattr("parlai_cu.serving.database._STATEMENT_S", 0.2)
    store = TranscriptStore(postgres.empty())
    conversation, _ = store.start()
    with psycopg.connect(postgres.server().uri) as other:
        other.execute("LOCK TABLE chat_turns")
        with pytest.raises(ConversationError, match="timeout"):
            store.add(conversation.id, StoredTurn(1, "one", "two"))
    assert store.add(conversation.id, StoredTurn(1, "one", "two")).turn == 1
    store.close()
