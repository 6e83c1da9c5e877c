"""
A frozen module's outputs for rows of tokens, taken from an activation cache.

A row is found by its tokens, without the padding at their end, and what is kept of it is
without padding too: so it does not matter with which other rows, how long, it shares a batch.
What stands in the padding is zero where it comes from the cache.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from parlai_cu.array_store import ArrayStore

# how far a row may be from itself in another batch: sums of floats depend on their order
_TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1}
_TOLERANCE_ELSE = 1e-3


class NotByRow(Exception):
    """A module whose outputs cannot be kept row by row; the message says why."""


class TokenRows:
    """
    The rows of tokens that a module is given.

    :param tensors: integers, [rows, length] each, or Nones; the first is no None
    :param padding: token that fills rows up
    :param like: of the same shape, where its padding tells how much of the rows counts
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor | None],
        padding: int,
        like: torch.Tensor | None = None,
    ) -> None:
        first = tensors[0]
        assert first is not None
        self.count, self.width = first.shape
        kept = (first if like is None else like).ne(padding)
        places = torch.arange(1, self.width + 1, device=first.device)
        self.lengths: list[int] = (kept * places).amax(dim=1).clamp(min=1).tolist()
        arrays = [None if t is None else t.cpu().numpy() for t in tensors]
        self.parts: list[list[bytes]] = [
            [b"-" if a is None else a[i, :length].tobytes() for a in arrays]
            for i, length in enumerate(self.lengths)
        ]

    def keys(self, owner: bytes, more: Sequence[bytes] | None = None) -> list[bytes]:
        """
        What the rows' outputs are kept by.

        :param owner: stands for the module
        :param more: keys of what else the outputs of each row depend on
        """
        keys = []
        for i, parts in enumerate(self.parts):
            hashed = hashlib.blake2b(owner, digest_size=16)
            for part in [*parts, *([more[i]] if more is not None else [])]:
                hashed.update(len(part).to_bytes(8, "little") + part)
            keys.append(hashed.digest())
        return keys


class RowMemo:
    """
    Gives outputs of a module row by row, from the cache or from the module.

    :param cache: where outputs are kept
    :param example: outputs, as the module returns them: tensors [rows, ...] in tuples, lists and
        dictionaries
    :param along: for each tensor of it, whether its second dimension is the rows' length
    """

    def __init__(self, cache: ArrayStore, example: object, along: Sequence[bool]) -> None:
        self.cache = cache
        self.along = list(along)
        self._types = [leaf.dtype for leaf in leaves(example)]
        self._structure = example
        self.found = self.computed = 0

    def __call__(
        self,
        keys: Sequence[bytes],
        rows: TokenRows,
        device: torch.device,
        compute: Callable[[torch.Tensor | None], Any],
    ) -> Any:
        """
        :param keys: of the rows
        :param rows: for their lengths
        :param device: where outputs are to be
        :param compute: the module's outputs for some rows (LongTensor[some rows], indices), or for
            all (None)
        :return: the module's outputs for all rows, as it returns them
        """
        held = [self.cache.get(key) for key in keys]
        missing = [i for i, arrays in enumerate(held) if arrays is None]
        self.found += len(held) - len(missing)
        self.computed += len(missing)
        fresh: Any = None
        if missing:
            everything = len(missing) == len(held)
            which = None if everything else torch.tensor(missing, device=device)
            fresh = compute(which)
            self._keep(keys, rows, missing, leaves(fresh))
            if everything:
                return fresh
        return self._assemble(held, rows, missing, fresh, device)

    def _keep(
        self, keys: Sequence[bytes], rows: TokenRows, which: list[int], tensors: list[torch.Tensor]
    ) -> None:
        if self.cache.full:
            return
        # under autocast a module may give less precise numbers than it did in the trial
        arrays = [_as_numpy(t.to(dtype)) for t, dtype in zip(tensors, self._types)]
        for place, i in enumerate(which):
            parts = [
                array[place, : rows.lengths[i]] if along else array[place]
                for array, along in zip(arrays, self.along)
            ]
            self.cache.put(keys[i], parts)

    def _assemble(
        self,
        held: list[list[np.ndarray] | None],
        rows: TokenRows,
        missing: list[int],
        fresh: Any,
        device: torch.device,
    ) -> Any:
        some = next(arrays for arrays in held if arrays is not None)
        outputs = []
        for j, along in enumerate(self.along):
            shape = (rows.width, *some[j].shape[1:]) if along else some[j].shape
            output = torch.zeros((rows.count, *shape), dtype=self._types[j])
            target = _as_numpy(output)
            for i, arrays in enumerate(held):
                if arrays is None:
                    continue
                if along:
                    target[i, : rows.lengths[i]] = arrays[j]
                else:
                    target[i] = arrays[j]
            output = output.to(device)
            if missing:
                output[torch.tensor(missing, device=device)] = leaves(fresh)[j].to(output.dtype)
            outputs.append(output)
        return rebuild(self._structure, iter(outputs))


def probe(
    call: Callable[[torch.Tensor], Any], tokens: Sequence[int], padding: int, device: torch.device
) -> tuple[Any, list[bool]]:
    """
    Whether a module's outputs can be kept row by row, tried on made-up rows.

    :param call: the module, from LongTensor[rows, length]
    :param tokens: a few tokens to make rows of; at least six
    :param padding: token that fills rows up
    :param device: where the module is
    :return: its outputs, and which of their tensors have the rows' length as second dimension
    :raises NotByRow: when they cannot
    """
    long, short = list(tokens), list(reversed(tokens[: len(tokens) - 3]))
    padded = short + [padding] * (len(long) - len(short))
    together = call(torch.tensor([long, padded], device=device))
    alone = [call(torch.tensor([row], device=device)) for row in (long, short)]
    along = []
    for both, *single in zip(leaves(together), *(leaves(output) for output in alone)):
        if both.dim() < 1 or both.size(0) != 2 or any(one.size(0) != 1 for one in single):
            raise NotByRow(f"one of its outputs is {list(both.shape)}, not a row an example")
        lengths = [one.shape[1:2] for one in single]
        along.append(lengths[0] == (len(long),) and lengths[1] == (len(short),))
        for row, one in zip(both, single):
            row = row[: one.size(1)] if along[-1] else row
            if row.shape != one[0].shape or not _close(row, one[0]):
                raise NotByRow("what it gives for an example depends on the others in the batch")
    return together, along


def leaves(outputs: object) -> list[torch.Tensor]:
    """
    The tensors in tuples, lists and dictionaries, in their order and of any shapes.

    :param outputs: what a module returned
    :raises NotByRow: when there is something else
    """
    if torch.is_tensor(outputs):
        return [outputs]
    if outputs is None:
        return []
    if isinstance(outputs, (tuple, list)):
        return [leaf for part in outputs for leaf in leaves(part)]
    if isinstance(outputs, dict):
        return [leaf for part in outputs.values() for leaf in leaves(part)]
    raise NotByRow(f"one of its outputs is a {type(outputs).__name__}")


def rebuild(structure: object, tensors: Any) -> Any:
    """The same structure, with other tensors (an iterator over them)."""
    if torch.is_tensor(structure):
        return next(tensors)
    if isinstance(structure, (tuple, list)):
        parts = [rebuild(part, tensors) for part in structure]
        # named tuples take their parts one by one
        return type(structure)(*parts) if hasattr(structure, "_fields") else type(structure)(parts)
    if isinstance(structure, dict):
        return {name: rebuild(part, tensors) for name, part in structure.items()}
    return structure


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    if not one.is_floating_point():
        return bool((one == other).all())
    far = _TOLERANCE.get(one.dtype, _TOLERANCE_ELSE)
    return torch.allclose(one.float(), other.float(), rtol=far, atol=far)


def _as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The same bytes as an array; bfloat16, which numpy lacks, as integers."""
    tensor = tensor.detach().cpu()
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.view(torch.int16)
    array: np.ndarray = tensor.numpy()
    return array
