"""
Where a store is called: on threads of its own, with a deadline, and not at all while it is away.

A store may hang, be slow, be locked by another process or be gone. Whoever calls it by
:meth:`StoreWorker.call` waits for a few seconds at most, in a fiber without holding up its thread.
After a failure all further calls fail at once, until a probe, made every now and then, succeeds.
"""

import contextlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from parlai_cu.errors import ConversationError, UnknownConversationError
from parlai_cu.serving import logs
from parlai_cu.serving.fibers import current_fiber

T = TypeVar("T")
# s that a call may take, waiting for its turn included, and between two probes
DEADLINE, PAUSE = 4.0, 1.0
# threads that may be stuck in calls nobody waits for any more; functions put off until later
_MOST_STUCK, _MOST_LATER = 16, 10_000


class _Job(Generic[T]):
    """A call: what it gave, and who is told when it has ended."""

    def __init__(self, function: Callable[[], T], done: Callable[[], None]) -> None:
        self.function, self.done = function, done
        self.began: float | None = None
        self.finished = self.abandoned = self.replaced = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # whatever it is, whoever waits is told
            self.error = error
        self.finished = True
        self.done()


class StoreWorker:
    """
    The threads that call one store.

    :param name: of what is called, for messages and logs
    :param probe: a cheap call that fails where the store cannot be used
    :param threads: calls at once
    :param interrupt: ends calls that hang, where that can be done
    :param on_failure: told of each call that failed
    :param deadline: s that a call may take; :data:`DEADLINE` where missing
    :param pause: s between two probes
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Any],
        threads: int = 1,
        interrupt: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
        deadline: float | None = None,
        pause: float = PAUSE,
    ) -> None:
        self.name, self.pause = name, pause
        self.deadline = DEADLINE if deadline is None else deadline
        self.on_failure = on_failure
        self._probe, self._interrupt = probe, interrupt
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._since = 0.0
        self._probing: _Job[Any] | None = None
        self._later: OrderedDict[str, Callable[[], Any]] = OrderedDict()
        # of these it was said that they failed again
        self._refused: set[str] = set()
        self._stuck = 0
        for _ in range(threads):
            self._start_thread()

    # -- for whoever has something to be done -------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether calls reach the store: the last one did."""
        return self._trouble is None

    def status(self) -> dict[str, Any]:
        """For the operator: whether it can be used, since when not, why, and what is put off."""
        with self._lock:
            away = None if self._trouble is None else round(time.monotonic() - self._since, 1)
            return {"up": self.up, "trouble": self._trouble, "away_seconds": away,
                    "put_off": len(self._later)}  # fmt: skip

    def call(self, function: Callable[[], T]) -> T:
        """
        Call the store and wait for what it gives. From any thread, and from a fiber.

        :param function: the call
        :raises ConversationError: when the store is away, or does not answer in time
        """
        if self._trouble is not None:
            self._end_stuck_probe()
            raise ConversationError(f"{self.name} is out of reach: {self._trouble}")
        fiber = current_fiber()
        ended = threading.Event()
        job = _Job(function, fiber.wake if fiber is not None else ended.set)
        self._jobs.put(job)
        until = time.monotonic() + self.deadline
        while not job.finished and (left := until - time.monotonic()) > 0:
            if fiber is not None:
                fiber.wait(left)
            else:
                ended.wait(left)
        if self._abandon(job):
            error = ConversationError(f"{self.name}: no answer within {self.deadline:g} s")
            self._failed(error)
            raise error
        if job.error is not None:
            if isinstance(job.error, ConversationError) and job.error.out_of_reach:
                self._failed(job.error)
            raise job.error
        return job.result  # type: ignore[return-value]

    def later(self, key: str, function: Callable[[], Any]) -> None:
        """
        Have something done as soon as the store can be used again, if this process lives.

        :param key: what it is about; a second function of a key takes the place of the first
        :param function: the call
        """
        with self._lock:
            self._later[key] = function
            while len(self._later) > _MOST_LATER:
                dropped, _ = self._later.popitem(last=False)
                self._refused.discard(dropped)
        self._jobs.put(None)

    # -- failures ------------------------------------------------------------------------------

    def _failed(self, error: ConversationError) -> None:
        with self._lock:
            first = self._trouble is None
            self._since = time.monotonic() if first else self._since
            self._trouble = str(error)
        self.on_failure()
        if first:
            logs.log.error("%s cannot be used; it is tried again by itself: %s", self.name, error)
        self._jobs.put(None)  # a thread that sleeps is to begin to probe

    def _abandon(self, job: _Job[Any]) -> bool:
        """
        Wait no longer for a call: end it, and let another thread take those that follow; False
        where it has ended by now.
        """
        with self._lock:
            if job.finished:
                return False
            job.abandoned = True
            running = job.began is not None
            job.replaced = running and self._stuck < _MOST_STUCK
            if job.replaced:
                self._stuck += 1
                self._start_thread()
        if running:
            self._interrupt()
        return True

    def _end_stuck_probe(self) -> None:
        probing = self._probing
        if probing is None or probing.abandoned or probing.began is None:
            return
        if time.monotonic() - probing.began > self.deadline:
            self._abandon(probing)
            with self._lock:
                if self._probing is probing:
                    self._probing = None
            self._jobs.put(None)

    # -- the threads ---------------------------------------------------------------------------

    def _start_thread(self) -> None:
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def _run(self) -> None:
        while True:
            waits = self._trouble is not None or bool(self._later)
            try:
                job = self._jobs.get(timeout=self.pause if waits else None)
            except queue.Empty:
                job = self._next_probe()
            if job is None:
                continue
            with self._lock:
                if job.abandoned:
                    continue
                job.began = time.monotonic()
            job.run()
            with self._lock:
                if job.replaced:  # another thread took this one's place meanwhile
                    self._stuck -= 1
                    return

    def _next_probe(self) -> "_Job[Any] | None":
        """A look at the store, if no other thread is having one."""
        with self._lock:
            if self._probing is not None:
                return None
            job = self._probing = _Job(self._look, lambda: None)
            return job

    def _look(self) -> None:
        mine = self._probing
        try:
            self._probe()
            self._catch_up(mine)
        except Exception as error:
            with self._lock:
                self._trouble = self._trouble or str(error)
            return
        finally:
            with self._lock:
                if self._probing is mine:
                    self._probing = None
        with self._lock:
            if mine is not None and mine.abandoned:
                return  # the look that took this one's place speaks for the store
            away, self._trouble = self._trouble, None
        if away is not None:
            logs.log.warning("%s can be used again", self.name)

    def _catch_up(self, look: "_Job[Any] | None") -> None:
        """
        Do what was put off. What fails again waits on, and says nothing of the store.

        :param look: in which this happens
        :raises Exception: when the store is away after all; the rest waits for its return
        """
        with self._lock:
            waiting = list(self._later.items())
        for key, function in waiting:
            if look is not None and look.abandoned:
                return
            try:
                with contextlib.suppress(UnknownConversationError):
                    function()
            except Exception as error:
                if key not in self._refused:
                    self._refused.add(key)
                    logs.log.warning("%s: what was put off failed again: %s", self.name, error)
                self._probe()
                continue
            with self._lock:
                self._refused.discard(key)
                if self._later.get(key) is function:
                    del self._later[key]
