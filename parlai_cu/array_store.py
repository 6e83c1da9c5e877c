"""
What a model gave for an example, kept on disk, so that it runs once for each example.

::

    DIR/<id>.index     one JSON line an entry: its key, where its arrays lie, their checksum
    DIR/<id>.values    the arrays, one after the other; memory-mapped for reading

Every process that writes has a pair of files of its own, and sees those of the others. An entry
is its line: it is written after the arrays, so whatever is killed, and whenever, leaves entries
that are whole, and at most an unfinished last line, which is not read. Arrays that are not what
was written (a power failure, a bad disk) are found by the checksum and made again.
"""

import fcntl
import json
import mmap
import os
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parlai_cu.errors import DataError

FORMAT = 1
# after so many bytes read, the pages go back to the system: a cache is to cost no memory
_RESIDENT_BYTES = 16 << 20
# after so many bytes written, it is looked what others have written
_REFRESH_BYTES = 64 << 20
# at most, of an index line of a few arrays
_LINE_BYTES = 256


class _Place(NamedTuple):
    """Where an entry lies, and how its bytes are to be read."""

    part: "_Part"
    start: int
    checksum: int
    arrays: list[Any]  # [dtype, shape] of each


class ArrayStore:
    """
    Entries, lists of arrays, found by key.

    :param folder: may hold what many runs and models gave: whatever an entry depends on belongs
        into its key
    :param max_bytes: bound on the folder. When it is reached, files that nobody writes and that
        were of no use to this run go, those that served longest ago first; then nothing more
        is stored
    :param warn: told in a sentence what was found damaged or full
    :raises DataError: when the folder cannot be written
    """

    def __init__(self, folder: str, *, max_bytes: int, warn: Callable[[str], None]) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.full = False
        self._warn = warn
        self._parts: dict[str, _Part] = {}
        self._places: dict[bytes, _Place] = {}
        # of the few keys that two runs wrote, or one wrote again for damage
        self._others: dict[bytes, list[_Place]] = {}
        self._checked: set[bytes] = set()
        self._writer: _Writer | None = None
        self._resident = self._written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DataError(f"cannot write in {folder}: {error.strerror}") from None
        for values in self.folder.glob("*.values"):
            # a run that was killed while it removed the pair
            if not values.with_suffix(".index").exists():
                values.unlink()
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: bytes) -> list[np.ndarray] | None:
        """
        The arrays of a key, in their shapes, or None.

        They are views of the file and cannot be written; copy what is to stay.
        """
        place = self._places.get(key)
        if place is None:
            return None
        sizes = [_bytes_of(dtype, shape) for dtype, shape in place.arrays]
        held = place.part.read(place.start, sum(sizes))
        if key not in self._checked:
            if held is None or _checksum(key, place.arrays, held) != place.checksum:
                self._warn(f"{place.part.values} is damaged; what is lost is computed again")
                others = self._others.get(key)
                if not others:
                    del self._places[key]
                    return None
                self._places[key] = others.pop()
                return self.get(key)
            self._checked.add(key)
        assert held is not None
        place.part.serves()
        self._resident += len(held)
        if self._resident > _RESIDENT_BYTES:
            self._resident = 0
            for part in self._parts.values():
                part.let_go()
        arrays, start = [], 0
        for (dtype, shape), size in zip(place.arrays, sizes):
            flat = np.frombuffer(held[start : start + size], dtype=dtype)
            arrays.append(flat.reshape(shape))
            start += size
        return arrays

    def put(self, key: bytes, arrays: Sequence[np.ndarray]) -> None:
        """
        Keep an entry, unless it is there or there is no room.

        :param key: what it is found by: a hash of all that the arrays depend on
        :param arrays: of any shapes
        """
        if self.full or key in self._places:
            return
        data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        if not self._has_room(len(data) + _LINE_BYTES):
            return
        described = [[array.dtype.str, list(array.shape)] for array in arrays]
        checksum = _checksum(key, described, data)
        try:
            if self._writer is None:
                self._writer = _Writer(self.folder)
                self._parts[self._writer.part.name] = self._writer.part
            start = self._writer.write(key, data, checksum, described)
        except OSError as error:
            self._stop(f"could not write ({error.strerror})")
            return
        self._written += len(data) + _LINE_BYTES
        self._checked.add(key)
        self._places[key] = _Place(self._writer.part, start, checksum, described)

    def refresh(self) -> None:
        """See what other processes have written, or removed."""
        self._written = 0
        here = {path.stem for path in self.folder.glob("*.index")}
        own = self._writer.part.name if self._writer else None
        for name in sorted(here - set(self._parts)):
            self._parts[name] = _Part(self.folder / name)
        for name in sorted(here & set(self._parts) - {own}):
            for key, place in self._parts[name].new_entries():
                if self._places.setdefault(key, place) is not place:
                    self._others.setdefault(key, []).append(place)
        self._size = sum(self._parts[name].size() for name in here)

    def size(self) -> int:
        """Bytes on disk."""
        return self._size + self._written

    def close(self) -> None:
        """Let others remove what this process wrote, should they need the room."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # -- the bound ---------------------------------------------------------------------------

    def _has_room(self, more: int) -> bool:
        if self._written > _REFRESH_BYTES:
            self.refresh()
        if self.size() + more <= self.max_bytes:
            return True
        self.refresh()
        idle = [part for part in self._parts.values() if not part.served]
        for part in sorted(idle, key=_Part.last_used):
            if self.size() + more <= self.max_bytes:
                break
            if part.remove():
                self._forget(part)
                self.refresh()
        if self.size() + more > self.max_bytes:
            self._stop(f"has reached its bound of {self.max_bytes / 1e9:g} GB")
        return not self.full

    def _forget(self, part: "_Part") -> None:
        del self._parts[part.name]
        self._places = {k: place for k, place in self._places.items() if place.part is not part}
        self._others = {
            k: [place for place in places if place.part is not part]
            for k, places in self._others.items()
        }

    def _stop(self, why: str) -> None:
        self.full = True
        self._warn(f"{self.folder} {why}: what is not in it is computed every time")


class _Part:
    """
    A pair of files, for reading.

    :param stem: their path without its suffix
    """

    def __init__(self, stem: Path) -> None:
        self.name = stem.name
        self.index, self.values = stem.with_suffix(".index"), stem.with_suffix(".values")
        self.served = False
        self._read_to = 0
        self._map: mmap.mmap | None = None

    def new_entries(self) -> Iterator[Any]:
        """Keys and places of the lines that were added since the last time."""
        try:
            with open(self.index, "rb") as f:
                f.seek(self._read_to)
                for line in f:
                    if not line.endswith(b"\n"):
                        return  # being written, or its writer was killed
                    self._read_to += len(line)
                    entry = _parse(line)
                    if entry is not None:
                        key, start, checksum, arrays = entry
                        yield key, _Place(self, start, checksum, arrays)
        except FileNotFoundError:
            return

    def read(self, start: int, size: int) -> memoryview | None:
        """Bytes of the arrays; None where the file ends before."""
        if self._map is None or start + size > len(self._map):
            try:
                with open(self.values, "rb") as f:
                    self._map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # gone, or empty
                return None
        if start < 0 or start + size > len(self._map):
            return None
        return memoryview(self._map)[start : start + size]

    def let_go(self) -> None:
        """Take what was read out of this process' memory; it stays in the system's."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def serves(self) -> None:
        """Note that it is of use."""
        if not self.served:
            self.served = True
            try:
                os.utime(self.index)
            except OSError:
                pass  # removed, or not ours to touch

    def last_used(self) -> float:
        """When it was last of use, in seconds."""
        try:
            return self.index.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def size(self) -> int:
        """Bytes on disk."""
        size = 0
        for path in (self.index, self.values):
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                pass
        return size

    def remove(self) -> bool:
        """Remove the files, unless somebody is writing to them."""
        try:
            with open(self.index, "rb") as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.index.unlink()
                self.values.unlink()
        except BlockingIOError:
            return False
        except FileNotFoundError:
            pass
        return True


class _Writer:
    """
    Writes one pair of files, and holds a lock on them.

    :param folder: where
    """

    def __init__(self, folder: Path) -> None:
        self.part = _Part(folder / uuid.uuid4().hex)
        self.part.served = True
        # unbuffered: a line is either written or not
        self._index = open(self.part.index, "xb", buffering=0)
        fcntl.flock(self._index, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._values = open(self.part.values, "xb", buffering=0)
        self._end = 0
        self._line({"format": FORMAT})

    def write(self, key: bytes, data: bytes, checksum: int, arrays: list[Any]) -> int:
        """Append an entry; where its bytes begin."""
        start = self._end
        if self._values.write(data) != len(data):
            raise OSError(28, "No space left on device")
        self._end += len(data)
        self._line({"key": key.hex(), "start": start, "crc": checksum, "arrays": arrays})
        return start

    def close(self) -> None:
        """Write no more."""
        self._values.close()
        self._index.close()

    def _line(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        # an unbuffered write may be cut short by a full disk without an error
        if self._index.write(line) != len(line):
            raise OSError(28, "No space left on device")


def _checksum(key: bytes, described: list[Any], data: bytes | memoryview) -> int:
    """Of all that makes an entry: its key, the types and shapes of its arrays, and their bytes."""
    return zlib.crc32(data, zlib.crc32(json.dumps(described).encode(), zlib.crc32(key)))


def _parse(line: bytes) -> Any:
    """Key, start, checksum and arrays of a line; None for one that is none of an entry."""
    try:
        entry = json.loads(line)
        arrays = [[np.dtype(dtype).str, list(map(int, shape))] for dtype, shape in entry["arrays"]]
        return bytes.fromhex(entry["key"]), int(entry["start"]), int(entry["crc"]), arrays
    except (ValueError, KeyError, TypeError):
        return None


def _bytes_of(dtype: str, shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count * np.dtype(dtype).itemsize
