"""
What a teacher said, kept on disk, so that it runs once for each example.

::

    DIR/<identity>/identity.json        whose distributions these are
    DIR/<identity>/shard-<id>/          written aside, then renamed: there whole or not at all
        index.npy                       key, first row and number of rows of each entry
        choices.npy  log_probs.npy      [rows, k], memory-mapped
        shard.json                      the SHA-256 of the three

Entries are keyed by a digest of the tokens that went into the teacher, so the cache serves any
order, mixture and number of epochs of the data, and data that changed is simply not found.
Runs side by side add shards of their own and see each other's. A shard that is damaged is
removed; what it held is computed again.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parlai_cu import files
from parlai_cu.errors import DataError

FORMAT = 1
SHARD_ROWS = 65536
_ARRAYS = ("index.npy", "choices.npy", "log_probs.npy")
_INDEX = np.dtype([("key", "V16"), ("start", "<i8"), ("rows", "<i4")])
_OVERHEAD = 1024  # bytes of a shard beside its rows: headers and digests


class Entry(NamedTuple):
    """One example's rows: ``choices`` int[rows, k] and ``log_probs`` float16[rows, k]."""

    choices: np.ndarray
    log_probs: np.ndarray


def digest(*parts: bytes) -> bytes:
    """The 16 bytes that stand for what went into the teacher."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little") + part)
    return hashed.digest()


class TeacherCache:
    """
    Entries in memory-mapped shards, found by key.

    :param folder: holds the caches of any number of teachers
    :param identity: all that a distribution depends on but the example: hashes of teacher and
        dictionary, temperature, ...
    :param k: places a row
    :param vocabulary: number of choices; decides how many bytes name one
    :param max_bytes: bound on disk, for this identity; beyond it nothing more is stored
    :param warn: told in a sentence what was found damaged or full
    :raises DataError: when the folder cannot be written
    """

    def __init__(
        self,
        folder: str,
        identity: dict[str, str],
        *,
        k: int,
        vocabulary: int,
        max_bytes: int,
        warn: Callable[[str], None],
    ) -> None:
        identity = {**identity, "k": str(k), "format": str(FORMAT)}
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = Path(folder) / name
        self.k = k
        self.max_bytes = max_bytes
        self.full = False
        self.hits = self.misses = 0
        self._warn = warn
        self._type = np.dtype("<u2" if vocabulary <= 65536 else "<u4")
        self._shards: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._found: dict[bytes, tuple[str, int, int]] = {}
        self._new: dict[bytes, Entry] = {}
        self._new_rows = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            written, text = self.folder / "identity.json", json.dumps(identity, indent=2)
            if not written.exists() or written.read_bytes() != text.encode():
                with files.replacing(str(written)) as aside:
                    Path(aside).write_text(text)
        except OSError as error:
            raise DataError(
                f"--teacher-cache {folder}: cannot write there: {error.strerror}"
            ) from None
        files.remove_stale(str(self.folder), ".writing-")
        self.refresh()

    def __len__(self) -> int:
        return len(self._found) + len(self._new)

    @property
    def bytes_per_row(self) -> int:
        """Bytes on disk for a row, index left out."""
        return self.k * (self._type.itemsize + 2)

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key, or None."""
        entry = self._new.get(key)
        place = self._found.get(key)
        if entry is None and place is not None:
            shard, start, rows = place
            choices, log_probs = self._shards[shard]
            entry = Entry(choices[start : start + rows], log_probs[start : start + rows])
        if entry is None:
            self.misses += 1
        else:
            self.hits += 1
        return entry

    def put(self, key: bytes, choices: np.ndarray, log_probs: np.ndarray) -> None:
        """
        Keep an entry; it is on disk after the next :meth:`flush`.

        :param key: what it is found by
        :param choices: int[rows, k]
        :param log_probs: float[rows, k]
        """
        if self.full or key in self._found or key in self._new:
            return
        self._new[key] = Entry(choices.astype(self._type), log_probs.astype("<f2"))
        self._new_rows += len(choices)
        if self._new_rows >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is new as one shard, and see what other runs have written."""
        self.refresh()
        if self._new and not self.full:
            self._write_shard()
        self._new, self._new_rows = {}, 0

    def refresh(self) -> None:
        """Open shards that have appeared."""
        for path in sorted(self.folder.glob("shard-*")):
            if path.name not in self._shards:
                self._open(path)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("shard-*/*"))

    # -- shards ------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        try:
            sums = json.loads((path / "shard.json").read_text())
            for name in _ARRAYS:
                if files.file_hash(path / name) != sums[name]:
                    raise ValueError(f"{name} is not what was written")
            index, choices, log_probs = (np.load(path / name, mmap_mode="r") for name in _ARRAYS)
        except FileNotFoundError:
            if path.exists():
                self._discard(path, "a file is missing")
            return
        except (ValueError, KeyError, TypeError, OSError) as error:
            self._discard(path, str(error))
            return
        self._shards[path.name] = (choices, log_probs)
        keys = index["key"].tobytes()
        for i, (start, rows) in enumerate(zip(index["start"].tolist(), index["rows"].tolist())):
            self._found[keys[16 * i : 16 * i + 16]] = (path.name, start, rows)

    def _discard(self, path: Path, why: str) -> None:
        self._warn(f"{path} is damaged ({why}); removed, and computed again as it is needed")
        shutil.rmtree(path, ignore_errors=True)

    def _write_shard(self) -> None:
        index = np.zeros(len(self._new), dtype=_INDEX)
        start = 0
        for i, (key, entry) in enumerate(self._new.items()):
            index[i] = (np.void(key), start, len(entry.choices))
            start += len(entry.choices)
        entries: list[Entry] = list(self._new.values())
        arrays = (
            index,
            np.concatenate([entry.choices for entry in entries]),
            np.concatenate([entry.log_probs for entry in entries]),
        )
        more = sum(array.nbytes for array in arrays) + _OVERHEAD
        if self.size() + more > self.max_bytes:
            self.full = True
            self._warn(
                f"--teacher-cache {self.folder} has reached its bound of "
                f"{self.max_bytes / 1e9:g} GB (--teacher-cache-size); the teacher computes the rest"
            )
            return
        target = self.folder / f"shard-{uuid.uuid4().hex}"
        try:
            with files.whole_folder(str(target)) as staging:
                for name, array in zip(_ARRAYS, arrays):
                    with open(Path(staging) / name, "wb") as f:
                        np.save(f, array)
                sums = {name: files.file_hash(Path(staging) / name) for name in _ARRAYS}
                (Path(staging) / "shard.json").write_text(json.dumps(sums))
        except OSError as error:
            self.full = True
            self._warn(
                f"--teacher-cache {self.folder}: could not write ({error.strerror}); the "
                "teacher computes the rest"
            )
            return
        self._open(target)
