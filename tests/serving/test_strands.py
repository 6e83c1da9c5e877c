"""parlai_cu/serving/strands.py: functions that wait without a thread each."""

import threading
from typing import Any, List

import pytest
from greenlet import GreenletExit

from parlai_cu.serving.strands import Stages, current_strand

PATIENCE = 30.0


@pytest.fixture
def stages() -> Any:
    """Two world threads."""
    made = Stages(2)
    yield made
    made.close()


def test_many_wait_on_one_thread(stages: Stages) -> None:
    """A hundred functions wait at once, on one thread, and each goes on when it is woken."""
    results: List[Any] = []
    ended = threading.Semaphore(0)
    threads = set()
    ready = threading.Semaphore(0)

    def work(number: int) -> int:
        strand = current_strand()
        assert strand is not None
        threads.add(threading.get_ident())
        ready.release()
        strand.wait()
        return number

    def done(result: Any, error: Any) -> None:
        results.append(result if error is None else error)
        ended.release()

    strands = [stages.start(lambda n=n: work(n), done) for n in range(100)]  # type: ignore
    for _ in strands:
        assert ready.acquire(timeout=PATIENCE)
    for strand in reversed(strands):
        strand.wake()
    for _ in strands:
        assert ended.acquire(timeout=PATIENCE)
    assert results == list(reversed(range(100))) and len(threads) == 1


def test_a_wait_ends_after_its_time(stages: Stages) -> None:
    """Without anybody who wakes it."""
    ended = threading.Event()

    def work() -> None:
        strand = current_strand()
        assert strand is not None
        strand.wait(0.001)

    stages.start(work, lambda result, error: ended.set())
    assert ended.wait(PATIENCE)


def test_a_strand_is_stopped_where_it_waits(stages: Stages) -> None:
    """Its finally blocks run; one that has not begun never does."""
    seen: List[str] = []
    ended, waiting = threading.Semaphore(0), threading.Event()

    def work() -> None:
        strand = current_strand()
        assert strand is not None
        try:
            waiting.set()
            while True:
                strand.wait()
        finally:
            seen.append("cleaned up")

    def done(result: Any, error: Any) -> None:
        seen.append(type(error).__name__)
        ended.release()

    strand = stages.start(work, done)
    assert waiting.wait(PATIENCE)
    strand.stop()
    assert ended.acquire(timeout=PATIENCE)
    assert seen == ["cleaned up", "GreenletExit"] and strand.finished
    strand.wake()  # of what has ended: nothing


def test_what_blocks_holds_up_no_new_one(stages: Stages) -> None:
    """A function that sleeps keeps its thread; the next one gets another."""
    go, began = threading.Event(), threading.Event()
    threads: List[int] = []

    def block() -> None:
        threads.append(threading.get_ident())
        began.set()
        go.wait(PATIENCE)

    first = stages.start(block)
    assert began.wait(PATIENCE)
    # as it were, for longer than a light one would run
    first.stage._running_since = (first.stage._running_since or 0.0) - 1
    ended = threading.Event()
    stages.start(lambda: threads.append(threading.get_ident()), lambda r, e: ended.set())
    assert ended.wait(PATIENCE)
    go.set()
    assert len(set(threads)) == 2


def test_errors_are_handed_over(stages: Stages) -> None:
    """Whoever started it is told what it raised."""
    errors: List[Any] = []
    ended = threading.Event()

    def done(result: Any, error: Any) -> None:
        errors.append(error)
        ended.set()
        raise ValueError("what follows may fail as well")

    stages.start(lambda: 1 / 0, done)
    assert ended.wait(PATIENCE) and isinstance(errors[0], ZeroDivisionError)
    assert current_strand() is None and issubclass(GreenletExit, BaseException)
    again = threading.Event()
    stages.start(lambda: None, lambda result, error: again.set())
    assert again.wait(PATIENCE)
