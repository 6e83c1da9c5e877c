"""
Messages on disk: one a line, in JSON, whole and with their types.

JSON has no tuples, sets, bytes, arrays, tensors or images. Each of these is an object
``{"__type__": ..., "value": ...}``. A value of another type cannot be kept; a :class:`LeftOut`
stands in its place, which names the field as soon as somebody uses it.
"""

import base64
import collections
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import torch as safetensors

from parlai_cu.errors import DataError

_TYPE, _VALUE = "__type__", "value"
_LEFT_OUT = "left out"
# kept as a list of their items
_SERIES: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
# kept as pairs
_MAPPINGS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "OrderedDict": collections.OrderedDict,
    "Counter": lambda pairs: collections.Counter(dict(pairs)),
}


class LeftOut:
    """
    In the place of a value that could not be written.

    :param field: where it stood in its message
    :param kind: its type
    """

    def __init__(self, field: str, kind: str) -> None:
        self._field, self._kind = field, kind

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise DataError(
            f"the field {self._field!r} of a stored example held a {self._kind}, which cannot be "
            "kept in a file, and is needed now. Give the data as a task of -t, where nothing is "
            "stored, or let its teacher keep the field as text, numbers, lists, arrays or tensors"
        )

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __call__ = _refuse
    __int__ = __float__ = __add__ = __radd__ = __lt__ = __gt__ = _refuse

    def __getattr__(self, name: str) -> Any:
        # names of protocols are asked for by copy and pickle
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse()

    def __repr__(self) -> str:
        return f"<{self._kind}, not kept>"


def dumps(message: Mapping[str, Any], lost: dict[str, str] | None = None) -> str:
    """
    A message as one line.

    :param message: any
    :param lost: gets what could not be kept: the field and its type
    """
    coded = {name: _coded(value, str(name), lost) for name, value in message.items()}
    line = json.dumps(coded, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a character, as broken data has it
        line = json.dumps(coded)
    return line


def loads(line: str) -> dict[str, Any]:
    """
    The message that a line of :func:`dumps` holds.

    :raises ValueError: when it is none
    """
    held = json.loads(line)
    if not isinstance(held, dict):
        raise ValueError(f"found {line[:60]!r}, expected a message: an object of JSON")
    return {name: _decoded(value) for name, value in held.items()}


def lines(episodes: Iterable[Iterable[Mapping[str, Any]]], lost: dict[str, str]) -> list[str]:
    """
    Episodes, message by message; the last of each says ``episode_done``.

    :param episodes: of messages
    :param lost: gets what could not be kept: the field and its type
    """
    encoded = []
    for episode in episodes:
        turns = list(episode)
        for i, turn in enumerate(turns):
            done = i == len(turns) - 1
            encoded.append(dumps({**turn, "episode_done": done}, lost) + "\n")
    return encoded


def _coded(value: Any, field: str, lost: dict[str, str] | None) -> Any:
    """As JSON has it; subclasses of what JSON has are kept as what they derive from."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [_coded(part, field, lost) for part in value]
    if isinstance(value, dict):
        return _coded_mapping(value, field, lost)
    for name, kind in _SERIES.items():
        if type(value) is kind:
            return {_TYPE: name, _VALUE: [_coded(part, field, lost) for part in value]}
    coded = _coded_bytes(value)
    if coded is not None:
        name, content = coded
        return {_TYPE: name, _VALUE: base64.b64encode(content).decode("ascii")}
    if isinstance(value, LeftOut):
        kind_of = value._kind
    else:
        kind_of = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if lost is not None:
        lost.setdefault(field, kind_of)
    return {_TYPE: _LEFT_OUT, _VALUE: [field, kind_of]}


def _coded_mapping(value: dict[Any, Any], field: str, lost: dict[str, str] | None) -> Any:
    inner = {key: _coded(part, f"{field}.{key}", lost) for key, part in value.items()}
    name = type(value).__name__
    # a message within a message, and what else derives from it, is a dictionary
    name = name if name in _MAPPINGS else "dict"
    if name == "dict" and _TYPE not in inner and all(type(key) is str for key in inner):
        return inner
    pairs = [[_coded(key, field, lost), part] for key, part in inner.items()]
    return {_TYPE: name, _VALUE: pairs}


def _coded_bytes(value: Any) -> tuple[str, bytes] | None:
    """A value that is kept as bytes, and how; None for any other."""
    if type(value) in (bytes, bytearray):
        return type(value).__name__, bytes(value)
    if isinstance(value, torch.Tensor) and value.layout is torch.strided:
        # contiguous: of a view only what it shows
        return "tensor", safetensors.save({_VALUE: value.detach().cpu().clone().contiguous()})
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        held = io.BytesIO()
        np.save(held, np.asarray(value), allow_pickle=False)
        return "scalar" if isinstance(value, np.generic) else "array", held.getvalue()
    if type(value).__module__.split(".")[0] == "PIL" and hasattr(value, "save"):
        held = io.BytesIO()
        try:
            value.save(held, format="PNG")
        except (OSError, ValueError):  # a mode that PNG lacks
            return None
        return "image", held.getvalue()
    return None


def _decoded(value: object) -> Any:
    if isinstance(value, list):
        return [_decoded(part) for part in value]
    if not isinstance(value, dict):
        return value
    if _TYPE not in value:
        return {name: _decoded(part) for name, part in value.items()}
    kind, held = value[_TYPE], value[_VALUE]
    if kind == _LEFT_OUT:
        return LeftOut(*held)
    if kind in _SERIES:
        return _SERIES[kind](_decoded(part) for part in held)
    if kind in _MAPPINGS:
        return _MAPPINGS[kind]((_decoded(key), _decoded(part)) for key, part in held)
    return _of_bytes(kind, base64.b64decode(held))


def _of_bytes(kind: str, content: bytes) -> Any:
    if kind == "bytes":
        return content
    if kind == "bytearray":
        return bytearray(content)
    if kind == "tensor":
        return safetensors.load(content)[_VALUE]
    if kind in ("array", "scalar"):
        held = np.load(io.BytesIO(content), allow_pickle=False)
        return held if kind == "array" else held[()]
    if kind == "image":
        from PIL import Image

        image = Image.open(io.BytesIO(content))
        image.load()
        return image
    raise ValueError(f"a value of the type {kind!r}, which this release does not know")
