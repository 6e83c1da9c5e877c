"""parlai_cu/serving/batcher.py: turns answered together, and what one bad turn costs."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from parlai_cu.serving import history
from parlai_cu.serving.batcher import Batcher, Busy, ModelDown, ModelTurn

PATIENCE = 30.0


class Root:
    """Answers in batches; fails where a turn says `bad`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: list[int] = []

    def batch_act(self, observations: list[str]) -> list[str]:
        """Upper case."""
        self.gate.wait(PATIENCE)
        self.batches.append(list(observations))
        self.threads.append(threading.get_ident())
        if "bad" in observations:
            raise ValueError("bad")
        return [observation.upper() for observation in observations]


class Memory:
    """A history as ParlAI's agents have it."""

    def __init__(self) -> None:
        self.history_strings: list[str] = []


class Clone:
    """A conversation's agent."""

    def __init__(self) -> None:
        self.history = Memory()
        self.observation: Any = None

    def observe(self, text: str) -> str:
        """Remember; some cannot even be read."""
        self.history.history_strings.append(text)
        if text == "unreadable":
            raise KeyError(text)
        self.observation = text
        return text

    def self_observe(self, reply: str) -> None:
        """Remember one's own."""
        self.history.history_strings.append(reply)


class Asked:
    """Turns that were handed in, and how to wait for them."""

    def __init__(self, batcher: Batcher, root: Any) -> None:
        self.batcher, self.root = batcher, root
        self.turns: list[ModelTurn] = []
        self._done: list[threading.Event] = []

    def ask(self, text: str, clone: Any = None) -> ModelTurn:
        """Hand in a turn."""
        done = threading.Event()
        turn = ModelTurn(self.root, clone or Clone(), [text], done.set)
        self._done.append(done)
        self.turns.append(turn)
        self.batcher.submit(turn)
        return turn

    def wait(self) -> list[Any]:
        """What came of all of them."""
        assert all(done.wait(PATIENCE) for done in self._done)
        return [turn.error or turn.reply for turn in self.turns]


@pytest.fixture
def make() -> Any:
    """``make(**settings)``: a batcher and what is asked of it; closed afterwards."""
    made: list[Batcher] = []

    def start(root: Any = None, **settings: Any) -> Asked:
        made.append(Batcher(**settings))
        return Asked(made[-1], root or Root())

    yield start
    for batcher in made:
        batcher.close()
        batcher._thread.join(PATIENCE)
        assert not batcher._thread.is_alive()


def test_a_lone_turn_does_not_wait(make: Callable[..., Asked]) -> None:
    """Though others might come within any time, it is answered when nobody is on his way."""
    asked = make(max_wait=3600.0, on_their_way=lambda: 1)
    asked.ask("hello")
    assert asked.wait() == ["HELLO"]
    assert asked.turns[0].clone.history.history_strings == ["hello", "HELLO"]


def test_turns_that_wait_are_one_batch(make: Callable[..., Asked]) -> None:
    """While one is answered, others gather; no batch is over the limit; all by one thread."""
    sizes: list[int] = []
    asked = make(max_batch=3, on_batch=lambda turns, seconds: sizes.append(turns))
    asked.root.gate.clear()
    asked.ask("first")
    while asked.batcher.waiting():
        pass
    for number in range(5):
        asked.ask(f"turn {number}")
    asked.root.gate.set()
    assert asked.wait() == ["FIRST", *(f"TURN {n}" for n in range(5))]
    assert [len(batch) for batch in asked.root.batches] == [1, 3, 2]
    assert len(set(asked.root.threads)) == 1 and threading.get_ident() not in asked.root.threads


def test_who_is_on_his_way_is_waited_for(make: Callable[..., Asked]) -> None:
    """Of two users with open turns both are in the batch."""
    asked = make(max_wait=PATIENCE, on_their_way=lambda: 2)
    asked.ask("one")
    asked.ask("two")
    assert asked.wait() == ["ONE", "TWO"]
    assert asked.root.batches == [["one", "two"]]


def test_a_bad_turn_spoils_no_other(make: Callable[..., Asked]) -> None:
    """It alone fails, and nothing of it stays in its history."""
    asked = make(max_wait=PATIENCE, on_their_way=lambda: 5)
    clone = Clone()
    clone.history.history_strings = ["earlier"]
    for text in ("one", "two", "bad", "unreadable", "three"):
        asked.ask(text, clone if text in ("bad",) else None)
    heard = asked.wait()
    assert heard[:2] == ["ONE", "TWO"] and heard[4] == "THREE"
    assert isinstance(heard[2], ValueError) and isinstance(heard[3], KeyError)
    assert clone.history.history_strings == ["earlier"]
    assert asked.turns[3].clone.history.history_strings == []


def test_a_history_does_not_grow_for_ever(
    make: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said long ago is forgotten, the latest is kept; a failed turn is still taken out."""
    monkeypatch.setattr(history, "MOST_TURNS", 2)
    asked, clone = make(), Clone()
    for text in ("a", "b", "c", "bad"):
        asked.ask(text, clone)
        asked.wait()
    assert clone.history.history_strings == ["b", "B", "c", "C"]


def test_replies_that_are_missing(make: Callable[..., Asked]) -> None:
    """Fewer replies than turns: none is given to the wrong user."""

    class Short(Root):
        def batch_act(self, observations: list[str]) -> list[str]:
            return super().batch_act(observations)[:-1]

    asked = make(Short(), max_wait=PATIENCE, on_their_way=lambda: 2)
    asked.ask("one")
    asked.ask("two")
    assert all(isinstance(each, ValueError) for each in asked.wait())


def test_agents_that_answer_one_at_a_time(make: Callable[..., Asked]) -> None:
    """An agent without batch_act is asked for each."""

    class Plain(Clone):
        def act(self) -> str:
            return f"{self.observation}!"

    asked = make(object(), max_wait=PATIENCE, on_their_way=lambda: 3)
    for number in range(3):
        asked.ask(str(number), Plain())
    assert asked.wait() == ["0!", "1!", "2!"]


def test_too_many_wait(make: Callable[..., Asked]) -> None:
    """The next is refused."""
    asked = make(max_waiting=2)
    asked.root.gate.clear()
    asked.ask("first")
    while asked.batcher.waiting():
        pass
    asked.ask("second")
    asked.ask("third")
    with pytest.raises(Busy, match="2 turns wait"):
        asked.batcher.submit(ModelTurn(asked.root, Clone(), ["fourth"], lambda: None))
    asked.root.gate.set()
    assert asked.wait() == ["FIRST", "SECOND", "THIRD"]


def test_other_work_keeps_its_place(make: Callable[..., Asked]) -> None:
    """A reset comes after the turns before it and before those after it."""
    order: list[str] = []
    asked = make(max_wait=PATIENCE, on_their_way=lambda: 3)
    asked.root.gate.clear()
    asked.ask("first")
    asked.batcher.do(lambda: order.append(f"after {len(asked.root.batches)}"))
    asked.ask("second")
    asked.root.gate.set()
    asked.batcher.on_their_way = lambda: 0
    asked.wait()
    assert asked.batcher.call(lambda: "done") == "done"
    assert order == ["after 1"] and len(asked.root.batches) == 2
    with pytest.raises(ZeroDivisionError):
        asked.batcher.call(lambda: 1 / 0)
    asked.batcher.do(lambda: 1 / 0)  # is logged, and nothing ends
    assert asked.batcher.call(lambda: "still there") == "still there"


class Deadly:
    """A model that ends its thread, or holds it, when it is told to."""

    def observe(self, text: str) -> str:
        """Take it as it is."""
        return text

    free = threading.Event()

    def batch_act(self, observations: list[Any]) -> list[Any]:
        """What was said, unless."""
        for seen in observations:
            if seen == "exit":
                raise SystemExit(1)
            if seen == "hang":
                assert Deadly.free.wait(30)
        return [f"said {seen}" for seen in observations]


def answer(batcher: Batcher, text: str, wait: bool = True) -> ModelTurn:
    """A turn of a conversation of its own."""
    root, ended = Deadly(), threading.Event()
    turn = ModelTurn(root, Deadly(), [text], ended.set)
    batcher.submit(turn)
    if wait:
        assert ended.wait(30)
    return turn


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_model_raises(error: BaseException) -> None:
    """It costs the turn, or the call; the thread lives, and the next is answered."""
    batcher = Batcher()

    def ends() -> None:
        raise error

    with pytest.raises(ModelDown, match=type(error).__name__):
        batcher.call(ends)
    assert isinstance(answer(batcher, "exit").error, SystemExit)
    assert answer(batcher, "hello").reply == "said hello" and batcher.alive()
    batcher.close()


def test_a_model_that_hangs() -> None:
    """Its turn gets an error, others go on by another thread; what comes too late is dropped."""
    restarts: list[int] = []
    batcher = Batcher(patience=0.05, on_restart=lambda: restarts.append(1))
    Deadly.free.clear()
    stuck = answer(batcher, "hang", wait=False)
    end = time.monotonic() + 30
    while not batcher.held_up() and time.monotonic() < end:
        time.sleep(0.001)
    waits = answer(batcher, "hello", wait=False)
    while not stuck.finished and time.monotonic() < end:
        time.sleep(0.01)
        batcher.look()
    assert isinstance(stuck.error, ModelDown) and restarts == [1]
    while not waits.finished and time.monotonic() < end:
        time.sleep(0.01)
    assert waits.reply == "said hello" and batcher.alive() and batcher.given_up == 0
    Deadly.free.set()
    assert answer(batcher, "again").reply == "said again"
    assert stuck.reply is None
    assert sum(one.name == "model" and one.is_alive() for one in threading.enumerate()) >= 1
    batcher.close()


def test_a_model_that_only_hangs_is_not_alive() -> None:
    """After three threads it is not ready, until it has answered."""
    batcher = Batcher(patience=0.02)
    Deadly.free.clear()
    stuck = [answer(batcher, "hang", wait=False)]
    end = time.monotonic() + 30
    while batcher.given_up < 3 and time.monotonic() < end:
        time.sleep(0.005)
        batcher.look()
        if stuck[-1].finished:
            stuck.append(answer(batcher, "hang", wait=False))
    assert not batcher.alive()
    Deadly.free.set()
    while not batcher.alive() and time.monotonic() < end:
        time.sleep(0.005)
    assert batcher.alive()
    batcher.close()
