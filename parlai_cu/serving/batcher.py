"""
One thread that models are touched by, and the turns that wait for it, taken together in batches.

An agent answers many conversations by one ``batch_act`` of its root over the observations of its
clones, each of which then observes its own reply, as ParlAI's BatchWorld does it. Here the turns of
all conversations that happen to be waiting are put in one batch. A lone turn is never held back:
the thread waits for others only while it is known that some are on their way.

No ParlAI: an agent is whatever has ``observe`` and ``act``, at best ``batch_act`` and
``self_observe``.
"""

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from parlai_cu.parlai_types import ModelAgent
from parlai_cu.serving import logs
from parlai_cu.serving.history import HistorySnapshot, forget_old

# None ends the thread
_NOTHING = object()
# s at one thing after which the model is not ready; threads given up in a row after which it is not
_STALLED, _GIVEN_UP = 30.0, 3


class Busy(Exception):
    """Too many turns wait already."""


class ModelDown(Exception):
    """The model's thread was ended by the model, or is held by it for too long."""


class BatchedCall(Future[Any]):
    """
    A function that is run elsewhere, and what became of it.

    :param function: what is to be run, by calling this
    :param done: called once that is known, on the thread where it is
    :param bounded: whether it is given up when it takes too long; loading a model is not
    """

    def __init__(
        self, function: Callable[[], Any], done: Callable[[], None], bounded: bool = True
    ) -> None:
        super().__init__()
        self.bounded, self._function = bounded, function
        self.add_done_callback(lambda _: done())

    def __call__(self) -> None:
        """Run the function."""
        try:
            result = self._function()
        except BaseException as raised:  # SystemExit too: whoever waits is to know
            self.failed(raised)
        else:
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                self.set_result(result)

    def failed(self, error: BaseException) -> None:
        """It raised, or takes too long: whoever waits for it goes on."""
        with contextlib.suppress(InvalidStateError):
            self.set_exception(error)

    def outcome(self) -> Any:
        """
        What the function returned.

        :raises Exception: what it raised; another kind of exception as a ModelDown
        """
        error = self.exception()
        if error is not None and not isinstance(error, Exception):
            raise ModelDown(f"the model raised {type(error).__name__}") from error
        return self.result()


class ModelTurn:
    """
    What a clone is to observe and then to answer.

    :param root: the agent whose ``batch_act`` answers
    :param clone: the conversation's own agent, which shares the root's model
    :param observations: what it is to observe, oldest first; the last is answered
    :param done: called on the model thread when ``reply`` or ``error`` is there
    """

    def __init__(
        self, root: object, clone: ModelAgent, observations: Sequence[Any], done: Callable[[], None]
    ) -> None:
        self.root, self.clone, self.observations = root, clone, observations
        self.reply: Any = None
        self.error: BaseException | None = None
        self.finished = False
        self._done = done
        self._kept: HistorySnapshot | None = None

    def observe(self) -> Any:
        """Let the clone observe; what it made of the last observation."""
        self._kept = HistorySnapshot(self.clone)
        observed = None
        for observation in self.observations:
            observed = self.clone.observe(observation)
        # ParlAI's worlds take what observe returns, its agents' act() takes what was kept
        return observed if observed is not None else getattr(self.clone, "observation", None)

    def answered(self, reply: object) -> None:
        """The reply is there: let the clone hear it, then tell."""
        if self.finished:
            return  # too late
        hear = getattr(self.clone, "self_observe", None)
        if hear is not None:
            hear(reply)
        self.reply = reply
        self._end()

    def failed(self, error: BaseException) -> None:
        """There is no reply: let the clone forget what it observed, then tell."""
        if self.finished:
            return
        self.error = error
        try:
            if self._kept is not None:
                self._kept.restore()
        finally:
            self._end()

    def give_up(self) -> None:
        """Nobody waits for the reply any more."""
        self.error, self.finished = ModelDown("it takes too long"), True

    def _end(self) -> None:
        try:
            forget_old(self.clone)
        finally:
            self.finished = True
            self._done()


class Batcher:
    """
    The model thread.

    A model that ends it, or holds it for too long, is left alone with it, and another thread takes
    its place: :meth:`look` is to be called now and then.

    :param max_batch: turns answered together at most
    :param max_wait: s that a turn waits at most for others that are on their way
    :param max_waiting: turns that may wait
    :param on_their_way: how many turns are likely to arrive in a moment; from any thread
    :param on_batch: told of each batch: its turns, and the seconds it took
    :param patience: s that the model may take for one batch, or for other work
    :param on_restart: told of each thread that was given up
    """

    def __init__(
        self,
        max_batch: int = 32,
        max_wait: float = 0.002,
        max_waiting: int = 2048,
        on_their_way: Callable[[], int] = lambda: 0,
        on_batch: Callable[[int, float], None] = lambda turns, seconds: None,
        patience: float = 120.0,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self.max_batch, self.max_wait, self.max_waiting = max_batch, max_wait, max_waiting
        self.on_their_way, self.on_batch = on_their_way, on_batch
        self.patience, self.on_restart = patience, on_restart
        # threads given up since the model last did what it was asked
        self.given_up = 0
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = False
        self._start()

    def _start(self) -> None:
        # what the thread does now, and since when; None: it waits for work
        self._doing: list[Any] = []
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def held_up(self) -> float:
        """For how many seconds the model has been at what it does now."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def alive(self) -> bool:
        """Whether the model answers: its thread lives, and is not held for too long."""
        stalled = self.held_up() > min(_STALLED, self.patience)
        return self._thread.is_alive() and not stalled and self.given_up < _GIVEN_UP

    def look(self) -> None:
        """Give up a thread that the model has ended, or holds for too long."""
        overdue = self.held_up() > self.patience
        if self._closed or (self._thread.is_alive() and not overdue):
            return
        self.given_up += 1
        logs.log.error(
            "the model has %s: its thread is given up, another one goes on (%d so far)",
            f"been at it for over {self.patience:g} s" if overdue else "ended its thread",
            self.given_up,
        )
        doing = self._doing
        self._start()
        self.on_restart()
        for job in doing:
            _safely(functools.partial(job.failed, ModelDown("it takes too long")))

    def waiting(self) -> int:
        """Turns and other work that have not been begun."""
        return self._jobs.qsize()

    def submit(self, turn: ModelTurn) -> None:
        """
        Let a turn be answered. From any thread.

        :raises Busy: when too many wait
        """
        if self._jobs.qsize() >= self.max_waiting:
            raise Busy(f"{self.max_waiting:,d} turns wait")
        self._jobs.put(turn)

    def do(self, work: Callable[[], None]) -> None:
        """Run other work on the model thread, after the turns that wait. From any thread."""
        self._jobs.put(work)

    def call(self, function: Callable[[], Any]) -> Any:
        """
        Run a function on the model thread and wait for what it returns, however long it takes.
        Not from a fiber.

        :raises Exception: what the function raised
        """
        if threading.current_thread() is self._thread:
            return function()
        work = BatchedCall(function, lambda: None, bounded=False)
        self.do(work)
        return work.outcome()

    def close(self) -> None:
        """End the thread once what waits now is done."""
        self._closed = True
        self._jobs.put(None)

    def _run(self) -> None:
        me = threading.current_thread()
        held: Any = _NOTHING
        while self._thread is me:
            job, held = self._jobs.get() if held is _NOTHING else held, _NOTHING
            if self._thread is not me:
                self._jobs.put(job)  # it came too late for this thread
                return
            if job is None:
                return
            work: Callable[[], Any] = job
            if isinstance(job, ModelTurn):
                turns, held = self._gather(job)
                work = functools.partial(self._answer, turns)
                self._doing = list(turns)
            else:
                self._doing = [job] if isinstance(job, BatchedCall) and job.bounded else []
            patient = isinstance(job, BatchedCall) and not job.bounded
            self._since = None if patient else time.monotonic()
            _safely(work)
            if self._thread is me:
                self._since, self._doing, self.given_up = None, [], 0
            elif held is not _NOTHING:
                self._jobs.put(held)

    def _gather(self, first: ModelTurn) -> tuple[list[ModelTurn], Any]:
        """Those that wait, up to a batch; and the job that ended the search, or _NOTHING."""
        turns, until = [first], time.monotonic() + self.max_wait
        while len(turns) < self.max_batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                patience = until - time.monotonic()
                if patience <= 0 or self.on_their_way() <= len(turns):
                    return turns, _NOTHING
                try:
                    job = self._jobs.get(timeout=patience)
                except queue.Empty:
                    return turns, _NOTHING
            if not isinstance(job, ModelTurn):
                # order matters: a reset comes after the turns before it and before those after
                return turns, job
            turns.append(job)
        return turns, _NOTHING

    def _answer(self, turns: list[ModelTurn]) -> None:
        began = time.monotonic()
        observed: dict[int, list[tuple[ModelTurn, Any]]] = {}
        for turn in turns:
            if turn.finished:
                continue  # nobody waits for it any more
            try:
                seen = turn.observe()
            except BaseException as error:
                _fail(turn, error)
            else:
                observed.setdefault(id(turn.root), []).append((turn, seen))
        for batch in observed.values():
            act_together(batch)
        self.on_batch(len(turns), time.monotonic() - began)


def act_together(batch: list[tuple[ModelTurn, Any]]) -> None:
    """
    Answer a batch; where it fails, halves of it, so that one bad turn spoils no other.

    :param batch: turns of one root, each with what its clone observed
    """
    root = batch[0][0].root
    try:
        if hasattr(root, "batch_act"):
            replies = root.batch_act([observation for _, observation in batch])
        else:
            (turn, _), *more = batch
            if more:
                raise TypeError("this agent answers one at a time")
            # act() hears its own reply
            reply = turn.clone.act()
            if not turn.finished:
                turn.reply = reply
                turn._end()
            return
        if len(replies) != len(batch):
            raise ValueError(f"batch_act gave {len(replies)} replies to {len(batch)} observations")
    except BaseException as error:
        if len(batch) == 1:
            _fail(batch[0][0], error)
            return
        act_together(batch[: len(batch) // 2])
        act_together(batch[len(batch) // 2 :])
        return
    for (turn, _), reply in zip(batch, replies):
        try:
            turn.answered(reply)
        except BaseException as error:
            _fail(turn, error)


def _fail(turn: ModelTurn, error: BaseException) -> None:
    logs.failure("a turn could not be answered", error)
    _safely(lambda: turn.failed(error))


def _safely(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # SystemExit ends a thread without a word
        logs.failure("work on the model thread failed", error)
