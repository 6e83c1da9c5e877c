"""
What a ParlAI model file holds, read without running anything, hashed and compared.

A model file is nested dictionaries of tensors and plain values. It is taken apart into its
*tensors*, each under the path it has there (``model/encoder.layers.0.ffn.lin1.weight``), and its
*frame*, the rest, as JSON. A tensor that stands at several places (tied embeddings) is one.
"""

import collections
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch

from parlai_cu.errors import ModelFileError

# what only the training run needs that made the model, and ParlAI never asks for in service
TRAINING_STATES = ("optimizer", "optimizer_type", "lr_scheduler", "lr_scheduler_type")
# in what our own agents add to a model file
RESUME_POINT = "resume_point"


class Contents(NamedTuple):
    """
    A model file taken apart.

    :param tensors: path -> tensor of any shape
    :param frame: all else, as JSON values
    """

    tensors: dict[str, torch.Tensor]
    frame: Any


def without_training(states: Mapping[str, Any]) -> dict[str, Any]:
    """
    The states in a model file without optimizer, schedule and where a run of ours would go on.
    """
    return {
        name: {k: v for k, v in value.items() if k != RESUME_POINT}
        if isinstance(value, dict) and RESUME_POINT in value
        else value
        for name, value in states.items()
        if name not in TRAINING_STATES
    }


def take_apart(states: Mapping[str, Any]) -> Contents:
    """
    Tensors and frame of the states in a model file.

    :raises ModelFileError: when something is neither a tensor nor a plain value
    """
    tensors: dict[str, torch.Tensor] = {}
    return Contents(tensors, _frame(dict(states), "", tensors, {}))


def put_together(contents: Contents) -> dict[str, Any]:
    """The dictionary that :func:`take_apart` was given."""
    states: dict[str, Any] = _unframe(contents.frame, contents.tensors)
    return states


def hashes(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Path -> SHA-256 of type, shape and bytes, of tensors."""
    found = {}
    for name, tensor in tensors.items():
        digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(_bytes(tensor))
        found[name] = digest.hexdigest()
    return found


def content_hash(of_tensors: Mapping[str, str], frame: object) -> str:
    """
    SHA-256 of all that a model file holds.

    :param of_tensors: path -> hash, see :func:`hashes`
    :param frame: see :class:`Contents`
    """
    text = json.dumps([sorted(of_tensors.items()), frame], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def count_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors of any shape."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: str) -> None:
    """
    Write tensors, by name and of any shape, in the safetensors format.

    :raises OSError: when the system refuses, as on a full disk
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # clones: safetensors refuses tensors that share memory, as slices of one may
    copies = {
        n: t.detach().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()
    }
    try:
        save_file(copies, path)
    except SafetensorError as error:
        # it gives the system's error as words only: "... File too large (os error 27)"
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), path) from error


def load_tensors(path: str) -> dict[str, torch.Tensor]:
    """
    Tensors by name, in their shapes, of the safetensors format.

    :raises ModelFileError: when the file is damaged
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from None


def _bytes(tensor: torch.Tensor) -> Any:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""


# -- the frame: JSON values, with one key that says what a thing is -----------------------------

_PLAIN = (str, bool, int, type(None))


def _frame(value: Any, path: str, tensors: dict[str, torch.Tensor], seen: dict[Any, str]) -> Any:
    if isinstance(value, torch.Tensor):
        return {"tensor": _place(value, path, tensors, seen)}
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return {"float": value.hex()}  # exact, and NaN is no JSON
    if type(value) is bytes:
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        kind = "ordered" if isinstance(value, collections.OrderedDict) else "dict"
        items = [
            [_frame(key, path, tensors, seen), _frame(part, _join(path, key), tensors, seen)]
            for key, part in value.items()
        ]
        # what torch keeps beside a state_dict's entries
        metadata = getattr(value, "_metadata", None)
        if metadata is None:
            return {kind: items}
        return {kind: items, "metadata": _frame(metadata, path, tensors, seen)}
    if type(value) in (list, tuple, set, torch.Size):
        parts = enumerate(sorted(value, key=repr) if type(value) is set else value)
        held = [_frame(part, _join(path, i), tensors, seen) for i, part in parts]
        return {type(value).__name__.lower(): held}
    if isinstance(value, (torch.dtype, torch.device)):
        return {type(value).__name__: str(value)}
    raise ModelFileError(
        f"the model file holds a {type(value).__name__} at {path or 'its top'}, which is neither a "
        "tensor nor a plain value"
    )


def _unframe(frame: object, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(frame, dict):
        return frame
    ((kind, held), *more) = frame.items()
    if kind in ("dict", "ordered"):
        pairs = [(_unframe(key, tensors), _unframe(part, tensors)) for key, part in held]
        made: Any = dict(pairs) if kind == "dict" else collections.OrderedDict(pairs)
        if more:
            made._metadata = _unframe(more[0][1], tensors)
        return made
    if kind in ("list", "tuple", "set", "size"):
        build = {"list": list, "tuple": tuple, "set": set, "size": torch.Size}[kind]
        return build(_unframe(part, tensors) for part in held)
    if kind == "tensor":
        return tensors[held]
    if kind == "dtype":
        return getattr(torch, held.rpartition(".")[2])
    simple: dict[str, Callable[[str], Any]] = {
        "float": float.fromhex,
        "bytes": bytes.fromhex,
        "device": torch.device,
    }
    return simple[kind](held)


def _place(
    tensor: torch.Tensor, path: str, tensors: dict[str, torch.Tensor], seen: dict[Any, str]
) -> str:
    """The path under which a tensor is kept: that of its first place."""
    key: tuple[Any, ...] = (
        tensor.data_ptr() if tensor.numel() else path,
        tensor.dtype,
        tuple(tensor.shape),
        tuple(tensor.stride()),
    )
    if key not in seen:
        while path in tensors:  # {1: ..., "1": ...} would give the same path twice
            path += "'"
        seen[key] = path
        tensors[path] = tensor
    return seen[key]


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)
