"""
What a teacher said, kept on disk, so that it runs once for each example.

::

    DIR/<identity>/identity.json    whose distributions these are
    DIR/<identity>/                 an array store: of each example its choices and their
                                    log-probabilities

Entries are keyed by a digest of the tokens that went into the teacher, so the cache serves any
order, mixture and number of epochs of the data, and data that changed is simply not found.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parlai_cu import files
from parlai_cu.array_store import ArrayStore
from parlai_cu.errors import DataError

FORMAT = 2


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
    Entries of one teacher, found by key.

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
        self._type = np.dtype("<u2" if vocabulary <= 65536 else "<u4")
        try:
            self._store = ArrayStore(
                str(self.folder),
                max_bytes=max_bytes,
                warn=lambda text: warn(f"--teacher-cache (--teacher-cache-size): {text}"),
            )
            written, text = self.folder / "identity.json", json.dumps(identity, indent=2)
            if not written.exists() or written.read_bytes() != text.encode():
                files.write_text(str(written), text)
        except DataError as error:
            raise DataError(f"--teacher-cache {folder}: {error}") from None

    def __len__(self) -> int:
        return len(self._store)

    @property
    def full(self) -> bool:
        """Whether nothing more is stored."""
        return self._store.full

    @property
    def bytes_per_row(self) -> int:
        """Bytes on disk for a row, index left out."""
        return self.k * (self._type.itemsize + 2)

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key, or None."""
        arrays = self._store.get(key)
        return None if arrays is None else Entry(*arrays)

    def put(self, key: bytes, choices: np.ndarray, log_probs: np.ndarray) -> None:
        """
        Keep an entry.

        :param key: what it is found by
        :param choices: int[rows, k]
        :param log_probs: float[rows, k]
        """
        self._store.put(key, [choices.astype(self._type), log_probs.astype("<f2")])

    def size(self) -> int:
        """Bytes on disk."""
        return self._store.size()
