"""What is recorded of a version and of a channel, and how it is written as JSON."""

import dataclasses
import datetime
import getpass
import importlib.metadata
import os
import platform
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from parlai_cu.errors import VersionsError
from parlai_cu.types import Verdict

# what a model's replies may depend on
PACKAGES = ("parlai-cu", "parlai", "torch", "numpy", "transformers", "tokenizers", "safetensors")


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """
    A file of a version.

    :param sha256: of its bytes
    :param size: in bytes
    :param at: id of the version that it is the same as, and is kept with; None: with this one
    """

    sha256: str
    size: int
    at: str | None = None


@dataclasses.dataclass(frozen=True)
class Version:
    """
    A model that was put into a store; nothing of it changes any more.

    :param id: never given to another one; ``v`` and a number, then what its content begins with
    :param number: the number in the id: later versions have greater ones
    :param created: when, ISO, UTC
    :param who: user and machine
    :param mode: how it came about: ``import``, ``frozen_layer``, ``distill_student``, ...
    :param agent: the ParlAI agent that it is a model of
    :param parent: id of the version it was made from
    :param delta_of: id of the version whose tensors it needs; None of a full model
    :param depth: how many deltas have to be applied to it
    :param files: name -> hash and size
    :param content: SHA-256 of all tensors and settings in the model file, however it is stored
    :param model_bytes: size of the model file that ParlAI loads
    :param data: fingerprint of what it learnt from (hash, task, examples)
    :param seed: of its training
    :param metrics: what it was measured at
    :param verdict: of the gate; None where none was asked
    :param kb_snapshot: the knowledge base, as it was when this version was gated
    :param packages: name -> version, where it was added
    :param note: in words
    :param pruned: when its files were removed; None while they are there
    """

    id: str
    number: int
    created: str
    who: str
    mode: str
    agent: str
    parent: str | None
    delta_of: str | None
    depth: int
    files: Mapping[str, StoredFile]
    content: str
    model_bytes: int
    data: Mapping[str, Any]
    seed: int | None
    metrics: Mapping[str, Any]
    verdict: Verdict | None
    kb_snapshot: str | None
    packages: Mapping[str, str]
    note: str = ""
    pruned: str | None = None

    @property
    def stored_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(file.size for file in self.files.values() if file.at is None)

    @property
    def decision(self) -> str:
        """The verdict in a word, for tables."""
        return self.verdict.decision if self.verdict else "none"


class Promotion(NamedTuple):
    """
    A change of what a channel serves.

    :param time: ISO, UTC
    :param id: the version that went live
    :param who: user and machine
    :param why: in words
    :param forced: whether it went live without the gate's consent
    :param action: ``promote`` or ``rollback``
    :param kb_snapshot: the version's knowledge base, as it was then; None where it has none
    """

    time: str
    id: str
    who: str
    why: str
    forced: bool
    action: str
    kb_snapshot: str | None = None


def to_json(version: Version) -> dict[str, Any]:
    """A version as plain values."""
    return dataclasses.asdict(version)


def from_json(held: Mapping[str, Any], path: str) -> Version:
    """
    A version, of what :func:`to_json` made.

    :param held: what was read
    :param path: where it was read, for messages
    :raises VersionsError: when something is missing; what is unknown is left out
    """
    values = {f.name: held[f.name] for f in dataclasses.fields(Version) if f.name in held}
    try:
        values["files"] = {_inside(n): StoredFile(**file) for n, file in values["files"].items()}
        if values["verdict"] is not None:
            verdict = dict(values["verdict"])
            verdict = {name: tuple(v) if name != "decision" else v for name, v in verdict.items()}
            values["verdict"] = Verdict(**verdict)
        return Version(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VersionsError(f"{path} is not what parlai-cu wrote: {error}") from None


def _inside(name: str) -> str:
    if not name or os.path.basename(name) != name or name in (".", ".."):
        raise ValueError(f"{name!r} is no file's name")
    return name


def now() -> str:
    """The time, ISO, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def whoami() -> str:
    """User and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def packages() -> dict[str, str]:
    """The versions of what a model's replies may depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
