"""A version's files as ParlAI loads them, put together in a local cache folder."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple

from parlai_cu import files
from parlai_cu.errors import VersionsError
from parlai_cu.files import file_hash
from parlai_cu.versions import outside_files
from parlai_cu.versions.records import Version
from parlai_cu.versions.storage import Storage, translate_errors

if TYPE_CHECKING:  # what only looks at versions never waits for torch
    import torch

MODEL, DELTA, CONTENTS = "model", "delta.safetensors", "contents.json"
# deltas upon deltas; then a full model follows
MAX_DEPTH = 10
# what the cache remembers of its files: their hashes
_SEEN = "seen.json"
# device and inode -> (what a write changes, hash) of files that this process read
_hashed: dict[tuple[int, int], tuple[Any, str]] = {}

Part = Callable[[Version, str], str]
Find = Callable[[str], Version]


class Base(NamedTuple):
    """
    What a delta is against.

    :param version: the version
    :param contents: its contents.json: path -> hash of each tensor, and the frame
    """

    version: Version
    contents: dict[str, Any]


def write_json(path: str, value: object, indent: int | None = 1) -> None:
    """Write a value as JSON (``indent``: spaces a level) that nobody reads yet."""
    files.step(f"write {path}")
    with open(path, "w") as f:
        json.dump(value, f, indent=indent)
    files.sync_file(path)


def model_file(version: Version, cache: str, part: Part, find: Find) -> str:
    """
    A path of the version's model in the cache, put there if it is not yet.

    :param version: its record
    :param cache: a folder of this store's
    :param part: a local path of a file of a version, its hash checked
    :param find: a version by its id
    :raises VersionsError: when its files do not make up what its record says
    """
    folder = os.path.join(cache, version.id)
    if _is_whole(folder):
        return os.path.join(folder, MODEL)
    with translate_errors(cache):
        os.makedirs(cache, exist_ok=True)
        files.remove_stale(cache, ".making-")
        made = tempfile.mkdtemp(prefix=".making-", dir=cache)
        try:
            _fill(made, version, part, find)
            outside_files.point_to(os.path.join(made, f"{MODEL}.opt"), made, folder, MODEL)
            _remember(made)
            # another process may have been faster, or what is there was changed
            if not _is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)
                with contextlib.suppress(FileExistsError):
                    os.rename(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return os.path.join(folder, MODEL)


def read_tensors(version: Version, part: Part, find: Find) -> "dict[str, torch.Tensor]":
    """
    All tensors of a version, in their shapes, deltas applied; not yet compared with its content
    hash.

    :raises VersionsError: when a delta lacks a tensor
    """
    from parlai_cu import checkpoints
    from parlai_cu.versions import tensors

    if version.delta_of is None:
        return tensors.take_apart(checkpoints.load(part(version, MODEL), mmap=True)).tensors
    below = read_tensors(find(version.delta_of), part, find)
    changed = tensors.load_tensors(part(version, DELTA))
    for path, there in left_out(version, part, find, changed).items():
        # a copy: what merely has the same values is not the same tensor
        changed[path] = below[there] if there == path else below[there].clone()
    return {path: changed[path] for path in contents(version, part)["tensors"]}


def contents(version: Version, part: Part) -> dict[str, Any]:
    """What a version's contents.json holds: the hash of each tensor, and the frame."""
    with open(part(version, CONTENTS), encoding="utf-8") as f:
        held: dict[str, Any] = json.load(f)
    return held


def left_out(version: Version, part: Part, find: Find, changed: Container[str]) -> dict[str, str]:
    """
    Of each tensor that a delta leaves out the path under which the version below has it.

    :param version: kept as a delta
    :param part: a local path of a file of a version, its hash checked
    :param find: a version by its id
    :param changed: the paths that the delta holds
    :raises VersionsError: when neither has it
    """
    assert version.delta_of is not None
    below = contents(find(version.delta_of), part)["tensors"]
    by_hash = {content: path for path, content in below.items()}
    found = {}
    for path, content in contents(version, part)["tensors"].items():
        if path in changed:
            continue
        there = path if below.get(path) == content else by_hash.get(content)
        if there is None:
            raise VersionsError(
                f"version {version.id}: its delta and {version.delta_of} have no tensor {path!r}"
            )
        found[path] = there
    return found


def copy_model(source: str, target: str) -> None:
    """Copy a model from the cache (``source``) to a path (``target``), the weights last."""
    folder, name = os.path.split(os.path.abspath(target))
    os.makedirs(folder, exist_ok=True)
    held = os.path.dirname(source)
    for entry in sorted(os.listdir(held), reverse=True):
        if entry.startswith(MODEL) and os.path.isfile(os.path.join(held, entry)):
            with files.whole(os.path.join(folder, name + entry[len(MODEL) :])) as aside:
                shutil.copy(os.path.join(held, entry), aside)
                if entry == f"{MODEL}.opt":
                    outside_files.point_to(aside, held, folder, MODEL, renamed=name)


def remove_stale(storage: Storage) -> None:
    """Remove what crashes left in a versions directory."""
    if not storage.remote:
        for names in ((), ("versions",)):
            files.remove_stale(storage.path(*names), ".staging-", ".writing-")


def _fill(folder: str, version: Version, part: Part, find: Find) -> None:
    from parlai_cu import checkpoints
    from parlai_cu.versions import tensors

    for name in version.files:
        if name.startswith(f"{MODEL}."):
            # copies: ParlAI writes .opt and .dict in place
            shutil.copyfile(part(version, name), os.path.join(folder, name))
    target = os.path.join(folder, MODEL)
    if version.delta_of is None:
        source = os.path.abspath(part(version, MODEL))
        # ParlAI is going to unpickle it: not before it was read safely
        held = tensors.take_apart(checkpoints.load(source, mmap=True))
        _compare(version, held.tensors, held.frame)
        try:
            os.symlink(source, target)
        except OSError:  # no links here
            shutil.copyfile(source, target)
    else:
        _apply(version, target, part, find)


def _remember(folder: str) -> None:
    names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    seen = {name: _hash(os.path.join(folder, name)) for name in names}
    write_json(os.path.join(folder, _SEEN), seen)


def _apply(version: Version, target: str, part: Part, find: Find) -> None:
    import torch

    from parlai_cu.versions import tensors

    held = read_tensors(version, part, find)
    frame = contents(version, part)["frame"]
    _compare(version, held, frame)
    torch.save(tensors.put_together(tensors.Contents(held, frame)), target)


def _compare(version: Version, held: "dict[str, torch.Tensor]", frame: object) -> None:
    from parlai_cu.versions import tensors

    found = tensors.content_hash(tensors.hashes(held), frame)
    if found != version.content:
        raise VersionsError(
            f"version {version.id}: put together it is {found[:12]}, expected "
            f"{version.content[:12]}: it is not what was added"
        )


def _is_whole(folder: str) -> bool:
    """
    Whether the cache has the version, each file with the hash it was put there with.

    A file that was read once in this process and not written since is not read again.
    """
    try:
        with open(os.path.join(folder, _SEEN)) as f:
            seen = json.load(f)
        return bool(seen) and all(
            _hash(os.path.join(folder, name)) == expected for name, expected in seen.items()
        )
    except (OSError, ValueError):
        return False


def _hash(path: str) -> str:
    status = os.stat(path)
    file = (status.st_dev, status.st_ino)
    # the last is the time of any change, which nobody can set
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if file not in _hashed or _hashed[file][0] != stamp:
        _hashed[file] = stamp, file_hash(path)
    return _hashed[file][1]
