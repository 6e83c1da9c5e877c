"""parlai_cu/serving/fibers.py: functions that wait without a thread each."""

import threading
from typing import Any

import pytest
from greenlet import GreenletExit

from parlai_cu.serving.fibers import WorkerPool, current_fiber

PATIENCE = 30.0


@pytest.fixture
def workers() -> Any:
    """Two world threads."""
    made = WorkerPool(2)
    yield made
    made.close()


def test_many_wait_on_one_thread(workers: WorkerPool) -> None:
    """A hundred functions wait at once, on one thread, and each goes on when it is woken."""
    results: list[Any] = []
    ended = threading.Semaphore(0)
    threads = set()
    ready = threading.Semaphore(0)

    def work(number: int) -> int:
        fiber = current_fiber()
        assert fiber is not None
        threads.add(threading.get_ident())
        ready.release()
        fiber.wait()
        return number

    def done(result: Any, error: Any) -> None:
        results.append(result if error is None else error)
        ended.release()

    fibers = [workers.start(lambda n=n: work(n), done) for n in range(100)]  # type: ignore
    for _ in fibers:
        assert ready.acquire(timeout=PATIENCE)
    for fiber in reversed(fibers):
        fiber.wake()
    for _ in fibers:
        assert ended.acquire(timeout=PATIENCE)
    assert results == list(reversed(range(100))) and len(threads) == 1


def test_a_wait_ends_after_its_time(workers: WorkerPool) -> None:
    """Without anybody who wakes it."""
    ended = threading.Event()

    def work() -> None:
        fiber = current_fiber()
        assert fiber is not None
        fiber.wait(0.001)

    workers.start(work, lambda result, error: ended.set())
    assert ended.wait(PATIENCE)


def test_a_strand_is_stopped_where_it_waits(workers: WorkerPool) -> None:
    """Its finally blocks run; one that has not begun never does."""
    seen: list[str] = []
    ended, waiting = threading.Semaphore(0), threading.Event()

    def work() -> None:
        fiber = current_fiber()
        assert fiber is not None
        try:
            waiting.set()
            while True:
                fiber.wait()
        finally:
            seen.append("cleaned up")

    def done(result: Any, error: Any) -> None:
        seen.append(type(error).__name__)
        ended.release()

    fiber = workers.start(work, done)
    assert waiting.wait(PATIENCE)
    fiber.stop()
    assert ended.acquire(timeout=PATIENCE)
    assert seen == ["cleaned up", "GreenletExit"] and fiber.finished
    fiber.wake()  # of what has ended: nothing


def test_what_blocks_holds_up_no_new_one(workers: WorkerPool) -> None:
    """A function that sleeps keeps its thread; the next one gets another."""
    go, began = threading.Event(), threading.Event()
    threads: list[int] = []

    def block() -> None:
        threads.append(threading.get_ident())
        began.set()
        go.wait(PATIENCE)

    first = workers.start(block)
    assert began.wait(PATIENCE)
    # as it were, for longer than a light one would run
    first.worker._running_since = (first.worker._running_since or 0.0) - 1
    ended = threading.Event()
    workers.start(lambda: threads.append(threading.get_ident()), lambda r, e: ended.set())
    assert ended.wait(PATIENCE)
    go.set()
    assert len(set(threads)) == 2


def test_errors_are_handed_over(workers: WorkerPool) -> None:
    """Whoever started it is told what it raised."""
    errors: list[Any] = []
    ended = threading.Event()

    def done(result: Any, error: Any) -> None:
        errors.append(error)
        ended.set()
        raise ValueError("what follows may fail as well")

    workers.start(lambda: 1 / 0, done)
    assert ended.wait(PATIENCE) and isinstance(errors[0], ZeroDivisionError)
    assert current_fiber() is None and issubclass(GreenletExit, BaseException)
    again = threading.Event()
    workers.start(lambda: None, lambda result, error: again.set())
    assert again.wait(PATIENCE)
