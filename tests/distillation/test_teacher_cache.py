"""The teacher's cache: found again, by others too, whole after a crash, bounded, mended."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parlai_cu import files
from parlai_cu.distillation.teacher_cache import TeacherCache, digest
from parlai_cu.errors import DataError


@pytest.fixture
def told() -> list[str]:
    """What the cache warned of."""
    return []


@pytest.fixture
def open_cache(tmp_path: Path, told: list[str]) -> Any:
    """``open_cache(...)``: the cache of one teacher in one folder."""

    def run(**options: Any) -> TeacherCache:
        settings: Any = dict(k=2, vocabulary=100, max_bytes=10**6, warn=told.append)
        settings.update(options)
        identity = settings.pop("identity", {"teacher": "a"})
        return TeacherCache(str(tmp_path), identity, **settings)

    return run


def rows(start: int, count: int = 3) -> Any:
    """Choices and log-probabilities that can be told apart."""
    choices = np.arange(2 * count).reshape(count, 2) + start
    return choices, -choices / 8.0


def test_found_again_by_the_next_run(open_cache: Any, tmp_path: Path) -> None:
    """What was put is read back from memory-mapped files, to float16's precision."""
    cache = open_cache()
    for i in range(5):
        cache.put(digest(b"text", bytes([i])), *rows(i, i + 1))
    assert cache.get(digest(b"text", b"\3")) is not None, "not before it is on disk"
    cache.flush()
    again = open_cache()
    assert len(again) == 5
    for i in range(5):
        entry = again.get(digest(b"text", bytes([i])))
        assert (entry.choices == rows(i, i + 1)[0]).all()
        np.testing.assert_allclose(entry.log_probs, rows(i, i + 1)[1], rtol=1e-3)
        assert isinstance(entry.choices, np.memmap)
    assert again.get(digest(b"other")) is None
    assert (again.hits, again.misses) == (5, 1)


def test_another_teacher_has_another_cache(open_cache: Any) -> None:
    """A key is found under its own identity only; the number of places is part of it."""
    cache = open_cache()
    cache.put(digest(b"x"), *rows(0))
    cache.flush()
    assert len(open_cache()) == 1
    assert len(open_cache(identity={"teacher": "b"})) == 0
    assert len(open_cache(k=3)) == 0


def test_keys_depend_on_where_the_parts_end() -> None:
    """The text 'ab' with the label 'c' is not 'a' with 'bc'."""
    assert digest(b"ab", b"c") != digest(b"a", b"bc") and len(digest(b"")) == 16


def test_runs_side_by_side_share(open_cache: Any) -> None:
    """Each writes shards of its own, and sees the other's when it writes."""
    one, other = open_cache(), open_cache()
    one.put(digest(b"1"), *rows(1))
    other.put(digest(b"2"), *rows(2))
    one.flush()
    other.flush()
    assert other.get(digest(b"1")) is not None
    assert len(open_cache()) == 2


def test_large_shards_are_written_on_the_way(
    open_cache: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loses what is since the last shard, no more."""
    monkeypatch.setattr("parlai_cu.distillation.teacher_cache.SHARD_ROWS", 6)
    cache = open_cache()
    for i in range(5):
        cache.put(digest(bytes([i])), *rows(i))
    assert len(open_cache()) == 4


@pytest.mark.parametrize("name", ["index.npy", "choices.npy", "log_probs.npy", "shard.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_shard_is_removed_and_built_again(
    name: str, damage: str, open_cache: Any, told: list[str]
) -> None:
    """Found by its digest; the other shards stay, and what it held can be put again."""
    cache = open_cache()
    cache.put(digest(b"1"), *rows(1))
    cache.flush()
    (first,) = cache.folder.glob("shard-*")
    cache.put(digest(b"2"), *rows(2))
    cache.flush()
    path = first / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage != "remove":
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    again = open_cache()
    assert len(told) == 1 and "is damaged" in told[0] and first.name in told[0]
    assert not first.exists()
    assert again.get(digest(b"1")) is None and again.get(digest(b"2")) is not None
    again.put(digest(b"1"), *rows(1))
    again.flush()
    assert len(open_cache()) == 2


def test_what_a_killed_run_left_is_ignored_then_removed(open_cache: Any) -> None:
    """A half-written shard has another name; an old one goes."""
    cache = open_cache()
    fresh, stale = cache.folder / ".writing-1", cache.folder / ".writing-2"
    for path in (fresh, stale):
        path.mkdir()
        (path / "choices.npy").write_bytes(b"half")
    os.utime(stale, (time.time() - 2 * files.STALE_SECONDS,) * 2)
    assert len(open_cache()) == 0
    assert fresh.exists() and not stale.exists()


def test_bound_on_disk(open_cache: Any, told: list[str]) -> None:
    """Beyond it nothing is stored, it is said once, and what is there stays."""
    cache = open_cache(max_bytes=2000)
    for i in range(200):
        cache.put(digest(bytes([i])), *rows(i))
        if i % 10 == 9:
            cache.flush()
    assert cache.size() <= 2000 and cache.full
    assert len(told) == 1 and "--teacher-cache-size" in told[0]
    assert 0 < len(open_cache()) < 200


def test_disk_full(open_cache: Any, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on; no half of a shard is left."""

    def save(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    cache = open_cache()
    cache.put(digest(b"1"), *rows(1))
    monkeypatch.setattr(np, "save", save)
    cache.flush()
    assert cache.full and "No space left" in told[0]
    assert sorted(p.name for p in cache.folder.iterdir()) == ["identity.json"]


def test_large_vocabularies(open_cache: Any) -> None:
    """Choices beyond 16 bits are kept whole, at two more bytes each."""
    cache = open_cache(vocabulary=100_000)
    cache.put(digest(b"1"), *rows(99_000))
    cache.flush()
    assert open_cache(vocabulary=100_000).get(digest(b"1")).choices.max() == 99_005
    assert (cache.bytes_per_row, open_cache().bytes_per_row) == (12, 8)


def test_a_folder_that_cannot_be_written() -> None:
    """The flag and the folder are named."""
    with pytest.raises(DataError, match="--teacher-cache /proc/nowhere: cannot write there"):
        TeacherCache("/proc/nowhere", {}, k=1, vocabulary=2, max_bytes=1, warn=print)
