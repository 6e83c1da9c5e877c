"""
Functions that wait without holding up a thread: what the worlds run in.

ParlAI's worlds are written for a thread each. A :class:`Fiber` runs such a function in a
greenlet: where it waits (:meth:`Fiber.wait`) it is set aside, stack and all, and its thread goes
on with the others. A fiber stays on its thread; a function that blocks, in a file or a sleep,
holds up only the fibers of that thread, and new ones are put elsewhere meanwhile.
"""

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import greenlet

from parlai_cu.serving import logs

# s that a step of a fiber may take before new fibers are put on another thread
_HELD_UP = 0.05


class Fiber:
    """
    A function that runs in a greenlet. Made by :meth:`WorkerPool.start`.

    :param worker: the thread it stays on
    :param function: what it runs
    :param done: called on that thread, with what the function returned and None, or with None and
        what it raised (GreenletExit where it was stopped)
    """

    def __init__(
        self,
        worker: "Worker",
        function: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        self.worker = worker
        self.finished = False
        # whatever whoever runs in it wants to find again
        self.local: Any = None
        self._function: Any = function
        self._done: Any = done
        self._greenlet: Any = None
        self._stopping = False

    def wake(self) -> None:
        """End its :meth:`wait`, or the next one if it is not waiting. From any thread."""
        self.worker.post(self)

    def stop(self) -> None:
        """Raise GreenletExit where it waits, now or next. From any thread."""
        self._stopping = True
        self.worker.post(self)

    def wait(self, seconds: float | None = None) -> None:
        """
        Set this fiber aside until :meth:`wake` or for some time. Only from inside.

        It may also return early: what was waited for is to be looked at again.

        :param seconds: the longest it waits; None is for ever
        :raises greenlet.GreenletExit: when it is stopped
        """
        if self._stopping:
            raise greenlet.GreenletExit
        alarm = None if seconds is None else self.worker.alarm(self, seconds)
        self.worker.step_aside()
        if alarm is not None:
            alarm.clear()  # one that has not rung yet is not to hold anything
        if self._stopping:
            raise greenlet.GreenletExit

    def _run(self) -> None:
        result, error = None, None
        try:
            if self._stopping:
                raise greenlet.GreenletExit
            result = self._function()
        except BaseException as raised:  # GreenletExit too: whoever started it is to know
            error = raised
        self.finished = True
        try:
            self._done(result, error)
        except Exception as failed:
            logs.failure("what follows a world failed", failed)
        # whoever still knows this fiber is not to hold anything by it
        self.local = self._function = self._done = None

    def resume(self) -> None:
        """Go on from the last wait, or begin. Only by the worker's thread."""
        if self.finished:
            return
        if self._greenlet is None:
            self._greenlet = greenlet.greenlet(self._run)
            self._greenlet.fiber = self
        self._greenlet.switch()
        if self.finished:
            self._greenlet = None


# when a wait ends by itself: who waits; empty once nobody does any more
Alarm = list[Fiber]
# alarms that nobody waits for, beside as many others, before they are thrown away
_SPENT = 1000


class Worker:
    """One thread, and the fibers that run on it."""

    def __init__(self, name: str) -> None:
        self._posted: queue.SimpleQueue[Fiber | None] = queue.SimpleQueue()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._many = _SPENT
        self._order = itertools.count()
        # since when the fiber that runs now has been running; None when none is
        self._running_since: float | None = None
        self._hub: Any = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, fiber: Fiber | None) -> None:
        """Let a fiber have its turn; None ends the thread. From any thread."""
        self._posted.put(fiber)

    def alarm(self, fiber: Fiber, seconds: float) -> Alarm:
        """Let a fiber have its turn in so many seconds, if it still waits. Only from inside."""
        made = [fiber]
        if len(self._alarms) > self._many:
            self._alarms = [each for each in self._alarms if each[2]]
            heapq.heapify(self._alarms)
            self._many = 2 * len(self._alarms) + _SPENT
        heapq.heappush(self._alarms, (time.monotonic() + seconds, next(self._order), made))
        return made

    def step_aside(self) -> None:
        """Give the thread to the other fibers. Only from inside."""
        self._hub.switch()

    def held_up(self) -> float:
        """For how many seconds a fiber has been running without a wait."""
        since = self._running_since
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        self._hub = greenlet.getcurrent()
        while True:
            try:
                fiber = self._posted.get(timeout=self._until_alarm())
            except queue.Empty:
                self._ring()
                continue
            if fiber is None:
                return
            self._turn(fiber)
            if self._alarms and self._until_alarm() == 0.0:
                self._ring()

    def _until_alarm(self) -> float | None:
        return max(0.0, self._alarms[0][0] - time.monotonic()) if self._alarms else None

    def _ring(self) -> None:
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            _, _, alarm = heapq.heappop(self._alarms)
            for fiber in list(alarm):
                self._turn(fiber)

    def _turn(self, fiber: Fiber) -> None:
        self._running_since = time.monotonic()
        fiber.resume()
        self._running_since = None


class WorkerPool:
    """
    The world threads. They are started as they are needed.

    :param count: how many there may be
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._workers: list[Worker] = []
        self._lock = threading.Lock()

    def start(
        self,
        function: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None] = lambda result, error: None,
    ) -> Fiber:
        """
        Run a function in a fiber. From any thread.

        :param function: what is run; it may call :meth:`Fiber.wait` of :func:`current_fiber`
        :param done: called on the fiber's thread when it has ended
        """
        fiber = Fiber(self._free_worker(), function, done)
        fiber.worker.post(fiber)
        return fiber

    def _free_worker(self) -> Worker:
        """The first that is not held up: light worlds share one thread, which is fastest."""
        with self._lock:
            for worker in self._workers:
                if worker.held_up() < _HELD_UP:
                    return worker
            if len(self._workers) < self.count:
                self._workers.append(Worker(f"worlds-{len(self._workers)}"))
                return self._workers[-1]
            return min(self._workers, key=Worker.held_up)

    def close(self) -> None:
        """End the threads once what they run now has been set aside."""
        with self._lock:
            for worker in self._workers:
                worker.post(None)
            self._workers = []


def current_fiber() -> Fiber | None:
    """The fiber that this code runs in; None on an ordinary thread."""
    fiber: Fiber | None = getattr(greenlet.getcurrent(), "fiber", None)
    return fiber
