"""The teacher's cache: found again, by others too, whole after a crash, bounded, mended."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def test_found_again_by_the_next_run(open_cache: Any) -> None:
    """What was put is read back at once and by others, to float16's precision."""
    cache = open_cache()
    for i in range(5):
        cache.put(digest(b"text", bytes([i])), *rows(i, i + 1))
    again = open_cache()
    assert len(cache) == len(again) == 5
    for i in range(5):
        for entry in (held.get(digest(b"text", bytes([i]))) for held in (cache, again)):
            assert (entry.choices == rows(i, i + 1)[0]).all()
            np.testing.assert_allclose(entry.log_probs, rows(i, i + 1)[1], rtol=1e-3)
            assert entry.log_probs.dtype == np.float16
    assert again.get(digest(b"other")) is None


def test_another_teacher_has_another_cache(open_cache: Any) -> None:
    """A key is found under its own identity only; the number of places is part of it."""
    open_cache().put(digest(b"x"), *rows(0))
    assert len(open_cache()) == 1
    assert len(open_cache(identity={"teacher": "b"})) == 0
    assert len(open_cache(k=3)) == 0
    written = (open_cache().folder / "identity.json").read_text()
    assert json.loads(written)["teacher"] == "a"


def test_keys_depend_on_where_the_parts_end() -> None:
    """The text 'ab' with the label 'c' is not 'a' with 'bc'."""
    assert digest(b"ab", b"c") != digest(b"a", b"bc") and len(digest(b"")) == 16


def test_damage_is_said_and_computed_again(open_cache: Any, told: list[str]) -> None:
    """Under the flag's name; what is whole stays (more of it: tests/test_array_store.py)."""
    cache = open_cache()
    cache.put(digest(b"1"), *rows(1))
    (values,) = cache.folder.glob("*.values")
    values.write_bytes(bytes(len(values.read_bytes())))
    again = open_cache()
    assert again.get(digest(b"1")) is None
    assert len(told) == 1 and told[0].startswith("--teacher-cache ") and "is damaged" in told[0]
    again.put(digest(b"1"), *rows(1))
    assert open_cache().get(digest(b"1")) is not None


def test_bound_on_disk(open_cache: Any, told: list[str]) -> None:
    """Beyond it nothing is stored, it is said once, and what is there stays."""
    cache = open_cache(max_bytes=20_000)
    for i in range(200):
        cache.put(digest(bytes([i])), *rows(i))
    assert cache.size() <= 20_000 and cache.full
    assert len(told) == 1 and "--teacher-cache-size" in told[0]
    assert 0 < len(open_cache()) < 200


def test_large_vocabularies(open_cache: Any) -> None:
    """Choices beyond 16 bits are kept whole, at two more bytes each."""
    cache = open_cache(vocabulary=100_000)
    cache.put(digest(b"1"), *rows(99_000))
    assert open_cache(vocabulary=100_000).get(digest(b"1")).choices.max() == 99_005
    assert (cache.bytes_per_row, open_cache().bytes_per_row) == (12, 8)


def test_a_folder_that_cannot_be_written() -> None:
    """The flag and the folder are named."""
    with pytest.raises(DataError, match="--teacher-cache /proc/nowhere: cannot write in"):
        TeacherCache("/proc/nowhere", {}, k=1, vocabulary=2, max_bytes=1, warn=print)
