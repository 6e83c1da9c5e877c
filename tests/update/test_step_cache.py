"""What was done is remembered by what went in."""

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from parlai_cu.update.step_cache import KEEP_SECONDS, RESULT, Step, StepCache, content_of


@dataclass(frozen=True)
class Point:
    """A result with a shape."""

    x: float
    names: tuple[str, ...]


POINT: Step[Point] = Step("point", Point)


class Counted:
    """Work that is counted."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, folder: str) -> Point:
        self.times += 1
        (Path(folder) / "model").write_text("weights")
        return Point(self.times + 0.5, ("a", "b"))


def test_the_same_inputs_are_done_once(tmp_path: Path) -> None:
    """By another object of the same folder, too; a typed value comes back as it was."""
    work = Counted()
    inputs = {"data": "1f", "seed": 0}
    first = StepCache(str(tmp_path)).get(POINT, inputs, work)
    assert StepCache(str(tmp_path)).get(POINT, inputs, work) == first == Point(1.5, ("a", "b"))
    assert work.times == 1


@pytest.mark.parametrize("inputs", [{"seed": 1}, {"seed": 0, "more": 1}, {}, {"seed": "0"}])
def test_other_inputs_are_done_anew(inputs: dict, tmp_path: Path) -> None:
    """Whatever differs."""
    cache, work = StepCache(str(tmp_path)), Counted()
    cache.get(POINT, {"seed": 0}, work)
    cache.get(POINT, inputs, work)
    assert work.times == 2


def test_another_format_is_done_anew(tmp_path: Path) -> None:
    """What an older release did in another way is not taken."""
    cache, work = StepCache(str(tmp_path)), Counted()
    cache.get(POINT, {"seed": 0}, work)
    cache.get(Step("point", Point, format=2), {"seed": 0}, work)
    cache.get(Step("place", Point), {"seed": 0}, work)
    assert work.times == 3


@pytest.mark.parametrize("damage", ["file", "result", "shape", "size"])
def test_what_is_damaged_is_done_anew(damage: str, tmp_path: Path) -> None:
    """A model that somebody removed, a record that is cut off, or of another shape."""
    cache, work = StepCache(str(tmp_path)), Counted()
    cache.get(POINT, {}, work)
    place = Path(cache.place(POINT, {}))
    if damage == "file":
        (place / "model").unlink()
    elif damage == "size":
        (place / "model").write_text("other")
    else:
        text = (place / RESULT).read_text()
        (place / RESULT).write_text(text[:20] if damage == "result" else text.replace('"x"', '"y"'))
    assert cache.get(POINT, {}, work).x == 2.5


def test_what_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    """The files that it left are there for the next."""
    cache = StepCache(str(tmp_path))

    def broken_off(folder: str) -> Point:
        (Path(folder) / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(POINT, {}, broken_off)

    def goes_on(folder: str) -> Point:
        assert (Path(folder) / "checkpoint").read_text() == "half"
        return Point(1.0, ())

    assert cache.get(POINT, {}, goes_on) == Point(1.0, ())


def test_two_at_once_do_it_once(tmp_path: Path) -> None:
    """The second waits, says so, and takes what the first made."""
    begun, finish, said = threading.Event(), threading.Event(), threading.Event()
    found: list[Point] = []

    def slow(folder: str) -> Point:
        begun.set()
        assert finish.wait(10)
        return Point(7.0, ())

    def waiting(text: str) -> None:
        assert "another update is doing the same" in text
        said.set()

    first = threading.Thread(
        target=lambda: found.append(StepCache(str(tmp_path)).get(POINT, {}, slow))
    )
    second = threading.Thread(
        target=lambda: found.append(StepCache(str(tmp_path), waiting).get(POINT, {}, Counted()))
    )
    first.start()
    assert begun.wait(10)
    second.start()
    assert said.wait(10)
    finish.set()
    first.join()
    second.join()
    assert found == [Point(7.0, ())] * 2


def test_what_nobody_asks_for_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a month, counted from when it was asked for last."""
    import os
    import time

    cache, work = StepCache(str(tmp_path)), Counted()
    for seed in (0, 1):
        cache.get(POINT, {"seed": seed}, work)
        old = time.time() - KEEP_SECONDS - 9
        os.utime(Path(cache.place(POINT, {"seed": seed})) / RESULT, (old, old))
    cache.get(POINT, {"seed": 1}, work)
    cache.tidy()
    assert not Path(cache.place(POINT, {"seed": 0})).exists()
    assert Path(cache.place(POINT, {"seed": 1})).exists() and work.times == 2


def test_a_fingerprint_is_of_bytes(tmp_path: Path) -> None:
    """Not of names; two files are not one that is as long."""
    for name, text in (("a", "xy"), ("b", "xy"), ("c", "x"), ("d", "y")):
        (tmp_path / name).write_text(text)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert content_of(a) == content_of(b) != content_of(c, d)
