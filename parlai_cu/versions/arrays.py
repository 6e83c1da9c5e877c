"""
The tensors of a version as NumPy arrays, read without torch, each when it is asked for.

It reads what stores write: torch's zip files and safetensors. A file of another kind (an old tar
file, numbers that NumPy has no type for) is left to torch (:class:`NotPlain`).
"""

import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# torch's storages, and safetensors' names, by NumPy's types; brain floats are widened by hand
_BRAIN = "bfloat16"
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BRAIN,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFE = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "BF16": _BRAIN,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


class NotPlain(Exception):
    """Only torch can read it."""


@dataclass(frozen=True)
class StoredArray:
    """
    A tensor in a file.

    :param shape: its own
    :param stride: in numbers
    :param offset: of its first number in the storage
    :param kind: a type of NumPy's, or bfloat16
    :param storage: reads the bytes of the storage
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    kind: str
    storage: Callable[[], bytes]

    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def read(self) -> "np.ndarray":
        """Its numbers, as float64 [shape]."""
        import numpy as np

        raw = self.storage()
        if self.kind == _BRAIN:
            flat = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(raw, self.kind)
        steps = [step * flat.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, steps)
        return view.astype(np.float64)


def of_torch(path: str) -> dict[str, StoredArray]:
    """
    The tensors in a file of ``torch.save``, by their path in it.

    :raises NotPlain: when it holds what is not read here
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (root,) = {name.partition("/")[0] for name in archive.namelist()}
            with archive.open(f"{root}/data.pkl") as held:
                states = _States(held, path, root).load()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise NotPlain(str(error)) from None
    return dict(_paths(states, ""))


def of_safetensors(path: str) -> dict[str, StoredArray]:
    """
    The tensors in a safetensors file.

    :raises NotPlain: when it holds what is not read here
    """
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _SAFE:
            raise NotPlain(entry["dtype"])
        shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]

        def read(begin: int = 8 + length + begin, size: int = end - begin) -> bytes:
            with open(path, "rb") as f:
                f.seek(begin)
                return f.read(size)

        found[name] = StoredArray(shape, _contiguous(shape), 0, _SAFE[entry["dtype"]], read)
    return found


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


class _States(pickle.Unpickler):
    """Makes dictionaries, plain values and tensors of ours; nothing else."""

    def __init__(self, held: IO[bytes], path: str, root: str) -> None:
        super().__init__(held)
        self._path, self._root = path, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch", "Size"):
            return tuple
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, *_ = pid

        def read() -> bytes:
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(f"{self._root}/data/{key}")

        return kind, read


def _tensor(storage: Any, offset: int, shape: Any, stride: Any, *more: Any) -> StoredArray:
    return StoredArray(tuple(shape), tuple(stride), offset, *storage)


def _paths(value: object, path: str) -> Iterator[tuple[str, StoredArray]]:
    """As :func:`parlai_cu.versions.tensors.take_apart` names them."""
    if isinstance(value, StoredArray):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _paths(part, f"{path}/{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _paths(part, f"{path}/{number}" if path else str(number))
