"""The store of activations: whole entries or none, whoever writes, dies, or fills the disk."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parlai_cu import array_store
from parlai_cu.array_store import ArrayStore
from parlai_cu.errors import DataError


def entry(number: int, length: int = 5) -> list[np.ndarray]:
    """A made-up entry: hidden states and a mask."""
    states = np.random.default_rng(number).normal(size=(length, 4)).astype(np.float32)
    return [states, np.ones(length, dtype=bool)]


def key(number: int) -> bytes:
    """Its key."""
    return number.to_bytes(16, "little")


def assert_holds(cache: ArrayStore, number: int, length: int = 5) -> None:
    """The entry is there, bit by bit."""
    found = cache.get(key(number))
    assert found is not None
    for one, other in zip(found, entry(number, length)):
        assert one.dtype == other.dtype and np.array_equal(one, other)


@pytest.fixture
def told() -> list[str]:
    """What caches warned of."""
    return []


@pytest.fixture
def open_cache(tmp_path: Path, told: list[str]) -> Callable[..., ArrayStore]:
    """Opens the folder, as a process of its own would."""

    def run(max_bytes: int = 10**6) -> ArrayStore:
        return ArrayStore(str(tmp_path / "cache"), max_bytes=max_bytes, warn=told.append)

    return run


def test_entries_are_kept_bit_by_bit(open_cache: Any) -> None:
    """In this process at once, in another one afterwards; unknown keys give nothing."""
    cache = open_cache()
    for number in range(20):
        cache.put(key(number), entry(number))
        assert_holds(cache, number)
    again = open_cache()
    assert len(again) == 20 and again.get(key(20)) is None
    for number in range(20):
        assert_holds(again, number)


def test_two_processes_see_each_other(open_cache: Any) -> None:
    """Each writes files of its own; nothing is lost or doubled."""
    one, other = open_cache(), open_cache()
    one.put(key(1), entry(1))
    other.put(key(2), entry(2))
    one.refresh()
    other.refresh()
    for cache in (one, other):
        assert_holds(cache, 1)
        assert_holds(cache, 2)
    size = one.size()
    one.put(key(2), entry(2))
    one.refresh()
    assert one.size() == size


def test_views_outlive_the_memory_that_was_let_go(
    open_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that went back to the system come again when they are read."""
    monkeypatch.setattr(array_store, "_RESIDENT_BYTES", 1)
    cache = open_cache()
    for number in range(5):
        cache.put(key(number), entry(number))
    found = [cache.get(key(number)) for number in range(5)]
    for number, arrays in enumerate(found):
        assert np.array_equal(arrays[0], entry(number)[0])


def test_killed_while_writing(open_cache: Any, tmp_path: Path) -> None:
    """kill -9 at any time leaves entries that are whole."""
    script = (
        "import sys, tests.test_array_store as t\n"
        "from parlai_cu.array_store import ArrayStore\n"
        "cache = ArrayStore(sys.argv[1], max_bytes=10**9, warn=print)\n"
        "number = 0\n"
        "while True:\n"
        "    cache.put(t.key(number), t.entry(number, 500))\n"
        "    number += 1\n"
        "    if number == 50: print('going', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "cache")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = open_cache()
    assert len(cache) >= 50
    for number in range(len(cache)):
        found = cache.get(key(number))
        assert found is not None and np.array_equal(found[0], entry(number, 500)[0])


@pytest.mark.parametrize("cut", [1, 30])
def test_an_unfinished_line_is_not_read(open_cache: Any, tmp_path: Path, cut: int) -> None:
    """What stands before it is."""
    cache = open_cache()
    cache.put(key(1), entry(1))
    cache.put(key(2), entry(2))
    (index,) = (tmp_path / "cache").glob("*.index")
    os.truncate(index, index.stat().st_size - cut)
    again = open_cache()
    assert len(again) == 1
    assert_holds(again, 1)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_found(open_cache: Any, told: list[str], tmp_path: Path, damage: str) -> None:
    """An entry that is not what was written is not given out, and can be made again."""
    open_cache().put(key(1), entry(1))
    (values,) = (tmp_path / "cache").glob("*.values")
    held = values.read_bytes()
    if damage == "remove":
        values.unlink()
    else:
        values.write_bytes(held[:-1] + bytes([held[-1] ^ 1]) if damage == "flip" else held[:9])
    cache = open_cache()
    assert cache.get(key(1)) is None
    assert "is damaged; what is lost is computed again" in told[0]
    cache.put(key(1), entry(1))
    assert_holds(cache, 1)


def test_lines_that_are_none_of_an_entry(open_cache: Any, tmp_path: Path) -> None:
    """They are passed over."""
    cache = open_cache()
    cache.put(key(1), entry(1))
    (index,) = (tmp_path / "cache").glob("*.index")
    with open(index, "ab") as f:
        f.write(b"what is this\n[]\n" + b'{"key": 1}\n')
    assert len(open_cache()) == 1


def test_the_bound(open_cache: Any, told: list[str]) -> None:
    """Nothing goes over it, and it is told once."""
    cache = open_cache(max_bytes=5000)
    for number in range(100):
        cache.put(key(number), entry(number))
    assert cache.full and 0 < len(cache) < 100
    assert open_cache().size() <= 5000
    assert len(told) == 1 and "reached its bound of 5e-06 GB" in told[0]


def test_room_is_made_by_what_served_longest_ago(open_cache: Any) -> None:
    """Neither what this run uses goes nor what another process is writing."""
    used, oldest, old = open_cache(), open_cache(), open_cache()
    for number, cache in enumerate((used, oldest, old)):
        cache.put(key(number), entry(number, 50))
        os.utime(cache._writer.part.index, (number, number))
    writing = open_cache()
    writing.put(key(3), entry(3, 50))
    for cache in (used, oldest, old):
        cache.close()
    cache = open_cache(max_bytes=open_cache().size() + 500)
    assert_holds(cache, 0, 50)
    cache.put(key(4), entry(4, 50))
    again = open_cache()
    for number in (0, 2, 3, 4):
        assert_holds(again, number, 50)
    assert again.get(key(1)) is None


def test_disk_full(open_cache: Any, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on without."""
    cache = open_cache()
    cache.put(key(1), entry(1))

    def write(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_store._Writer, "write", write)
    cache.put(key(2), entry(2))
    assert cache.full and "No space left" in told[0]
    assert_holds(cache, 1)


def test_a_folder_that_cannot_be_written() -> None:
    """The folder is named."""
    with pytest.raises(DataError, match="cannot write in /proc/nowhere"):
        ArrayStore("/proc/nowhere", max_bytes=1, warn=print)
