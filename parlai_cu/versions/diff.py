"""What differs between two versions: which blocks moved, and by how much."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from parlai_cu.selection.blocks import block_of
from parlai_cu.versions import arrays, checkout
from parlai_cu.versions.arrays import StoredArray
from parlai_cu.versions.records import Version
from parlai_cu.versions.version_reader import Shelf, refuse_pruned

# under which a model file keeps its weights
_WEIGHTS = "model/"
_SETTINGS = f"{checkout.MODEL}.opt"


@dataclasses.dataclass(frozen=True)
class BlockChange:
    """
    A block of the model in two versions.

    :param block: its name, as ``--tune`` has it
    :param tensors: how many tensors it has
    :param changed: how many of them are not bit-identical
    :param added: how many only the other version has
    :param removed: how many only the first has
    :param elements: how many numbers differ
    :param numel: how many numbers it has
    :param moved: length of the difference by length of what was, over all its tensors; None
        where a tensor has another shape or is not in both
    :param largest: the largest difference of a number; None as above
    """

    block: str
    tensors: int
    changed: int
    added: int
    removed: int
    elements: int
    numel: int
    moved: float | None
    largest: float | None


@dataclasses.dataclass(frozen=True)
class VersionDiff:
    """
    What is different in another version.

    :param one: id of the first
    :param other: id of the other
    :param blocks: every block, in the model's order
    :param settings: option -> its values in both
    :param files: names of other files that differ (dictionary, candidates)
    """

    one: str
    other: str
    blocks: tuple[BlockChange, ...]
    settings: Mapping[str, tuple[Any, Any]]
    files: tuple[str, ...]

    @property
    def changed(self) -> list[BlockChange]:
        """The blocks that moved, most moved first."""
        blocks = [block for block in self.blocks if block.changed or block.added or block.removed]
        return sorted(blocks, key=lambda b: -(b.moved if b.moved is not None else math.inf))


def compare(shelf: Shelf, one: Version, other: Version) -> VersionDiff:
    """
    Compare two versions of a store.

    Of tensors whose hashes agree nothing is read.
    """
    for version in (one, other):
        refuse_pruned(version)
    before, after = (shelf.contents(version)["tensors"] for version in (one, other))
    differ = {path for path in before if path in after and before[path] != after[path]}
    old = _tensors(shelf, one, before)
    new = _tensors(shelf, other, after)
    paths = [*before, *(path for path in after if path not in before)]
    blocks: dict[str, list[str]] = {}
    for path in paths:
        blocks.setdefault(_block(path), []).append(path)
    return VersionDiff(
        one=one.id,
        other=other.id,
        blocks=tuple(_change(name, held, old, new, differ) for name, held in blocks.items()),
        settings=_settings(shelf, one, other),
        files=_files(one, other),
    )


def _change(
    block: str,
    paths: list[str],
    old: Mapping[str, StoredArray],
    new: Mapping[str, StoredArray],
    differ: Any,
) -> BlockChange:
    import numpy as np

    added = [path for path in paths if path not in old]
    removed = [path for path in paths if path not in new]
    moved = [path for path in paths if path in differ]
    reshaped = any(old[path].shape != new[path].shape for path in moved)
    comparable = not (added or removed or reshaped)
    elements, square, largest, length = 0, 0.0, 0.0, 0.0
    # each tensor is read once: of those that stayed only the length counts
    for path in paths if comparable and moved else () if reshaped else moved:
        before = old[path].read()
        length += float(np.square(before).sum())
        if path in differ:
            difference = new[path].read() - before
            elements += int(np.count_nonzero(difference))
            square += float(np.square(difference).sum())
            largest = max(largest, float(np.abs(difference).max()))
    return BlockChange(
        block=block,
        tensors=len(paths),
        changed=len(moved),
        added=len(added),
        removed=len(removed),
        elements=elements,
        numel=sum((new if path in new else old)[path].numel() for path in paths),
        moved=(math.sqrt(square / length) if length else float(bool(moved)))
        if comparable
        else None,
        largest=largest if comparable else None,
    )


def _tensors(shelf: Shelf, version: Version, hashes: Mapping[str, str]) -> dict[str, StoredArray]:
    """All tensors of a version by path; read without torch where that can be."""
    try:
        held = _stored(shelf, version)
        return {path: held[path] for path in hashes}
    except (arrays.NotPlain, KeyError):
        found = checkout.read_tensors(version, shelf.part, shelf.read)
        return {path: _of_torch(tensor) for path, tensor in found.items()}


def _stored(shelf: Shelf, version: Version) -> dict[str, StoredArray]:
    if version.delta_of is None:
        return arrays.of_torch(shelf.part(version, checkout.MODEL))
    below = _stored(shelf, shelf.read(version.delta_of))
    changed = arrays.of_safetensors(shelf.part(version, checkout.DELTA))
    same = checkout.left_out(version, shelf.part, shelf.read, changed)
    return {**changed, **{path: below[there] for path, there in same.items()}}


def _of_torch(tensor: Any) -> StoredArray:
    flat = tensor.double().contiguous()
    return StoredArray(
        tuple(flat.shape), tuple(flat.stride()), 0, "<f8", lambda: flat.numpy().tobytes()
    )


def _block(path: str) -> str:
    return block_of(path[len(_WEIGHTS) :]) if path.startswith(_WEIGHTS) else path


def _settings(shelf: Shelf, one: Version, other: Version) -> dict[str, tuple[Any, Any]]:
    opts = []
    for version in (one, other):
        with open(shelf.part(version, _SETTINGS)) as f:
            opts.append(json.load(f))
    before, after = opts
    return {
        name: (before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


def _files(one: Version, other: Version) -> tuple[str, ...]:
    stored = {checkout.MODEL, checkout.DELTA, checkout.CONTENTS, _SETTINGS}
    names = sorted({*one.files, *other.files} - stored)
    hashes = [[v.files[n].sha256 if n in v.files else None for n in names] for v in (one, other)]
    return tuple(name for name, a, b in zip(names, *hashes) if a != b)
