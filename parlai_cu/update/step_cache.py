"""
What an update has done, remembered by the content that went in, never by what it is called.

Each step is a folder, ``NAME-KEY``: the key is a hash of all that the step read (fingerprints of
data and models, command lines, limits, seeds) and of the number of its format. ``result.json``
is written last; without it the step is done, or gone on with, when it is asked for next.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import filelock
from pydantic import TypeAdapter, ValidationError

from parlai_cu import files
from parlai_cu.errors import SaveError

T = TypeVar("T")

RESULT = "result.json"
_DATA = "data"
# what was not asked for in so many seconds is thrown away
KEEP_SECONDS = 30 * 24 * 3600.0
# within so many seconds a lock is taken that nobody else holds
_SOON = 0.5


@dataclass(frozen=True)
class Step(Generic[T]):
    """
    A kind of work.

    :param name: of its folders
    :param result: type of what it returns: values of JSON, or dataclasses of them
    :param format: to be raised when the work is done in another way: old results are not taken
    """

    name: str
    result: Any
    format: int = 1


class StepCache:
    """
    The results of steps; several processes may use one folder at once.

    :param folder: is made
    :param waiting: is told in words when another process is doing what is asked for
    """

    def __init__(self, folder: str, waiting: Callable[[str], None] = lambda text: None) -> None:
        self.folder = os.path.abspath(folder)
        self.waiting = waiting
        with files.translate_errors(self.folder):
            files.private_folder(self.folder)
            files.private_folder(self.data_folder)

    @property
    def data_folder(self) -> str:
        """Where examples are written, in files that are named by their content."""
        return os.path.join(self.folder, _DATA)

    def place(self, step: Step, inputs: Mapping[str, Any]) -> str:
        """The folder of a step; ``inputs``: all that it reads, as values of JSON."""
        return os.path.join(self.folder, f"{step.name}-{key_of(step, inputs)}")

    def get(self, step: Step[T], inputs: Mapping[str, Any], compute: Callable[[str], T]) -> T:
        """
        What a step came to with these inputs: as it was remembered, or done now.

        :param step: the kind of work
        :param inputs: all that it reads, as values of JSON
        :param compute: does it; is given the step's folder, where it may leave files. What an
            interrupted run left there is still there
        :raises SaveError: when the result cannot be written
        """
        place = self.place(step, inputs)
        with self.locked(os.path.basename(place), place):
            adapter: TypeAdapter[T] = TypeAdapter(step.result)
            held = _read(place)
            if held is not None:
                with contextlib.suppress(ValidationError):
                    found = adapter.validate_python(held["result"])
                    os.utime(os.path.join(place, RESULT))
                    return found
            found = compute(place)
            record = {
                "step": step.name,
                "format": step.format,
                "inputs": inputs,
                "files": _files_of(place),
                "result": adapter.dump_python(found, mode="json"),
            }
            files.write_text(os.path.join(place, RESULT), json.dumps(record, indent=1))
            return found

    @contextlib.contextmanager
    def locked(self, what: str, folder: str | None = None) -> Iterator[None]:
        """
        Only one process at a time; the system frees the lock of one that ends.

        :param what: is locked
        :param folder: to be made, and held; the cache's where missing
        :raises SaveError: where the folder cannot be written
        """
        folder = folder or self.folder
        with files.translate_errors(folder):
            files.private_folder(folder)
            lock = filelock.FileLock(os.path.join(folder, f".{what}.lock"))
            try:
                try:
                    lock.acquire(timeout=_SOON)
                except filelock.Timeout:
                    self.waiting(f"another update is doing the same ({what}): waiting for it")
                    lock.acquire()
            except NotImplementedError as error:
                raise SaveError(f"{folder}: its file system has no locks ({error})") from None
        try:
            yield
        finally:
            lock.release()

    def tidy(self) -> None:
        """Throw away what nobody has asked for in a month."""
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            stamp = os.path.join(path, RESULT)
            with contextlib.suppress(OSError):
                newest = os.stat(stamp if os.path.exists(stamp) else path).st_mtime
                if name != _DATA and os.path.isdir(path) and newest < time.time() - KEEP_SECONDS:
                    shutil.rmtree(path)


def key_of(step: Step, inputs: Mapping[str, Any]) -> str:
    """What a step with these inputs is remembered by."""
    told = {"step": step.name, "format": step.format, "inputs": inputs}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def content_of(*paths: str) -> str:
    """A fingerprint of the bytes of files, in this order."""
    return hashlib.sha256(" ".join(map(files.file_hash, paths)).encode()).hexdigest()


def _read(place: str) -> Any:
    """The record of a step; None where it is not done, or files of it are gone."""
    try:
        with open(os.path.join(place, RESULT), encoding="utf-8") as f:
            held = json.load(f)
        sizes: dict[str, int] = held["files"]
        whole = all(os.path.getsize(os.path.join(place, n)) == size for n, size in sizes.items())
        return held if whole and "result" in held else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _files_of(place: str) -> dict[str, int]:
    found = (os.path.join(place, name) for name in sorted(os.listdir(place)))
    return {
        os.path.basename(path): os.path.getsize(path)
        for path in found
        if os.path.isfile(path) and not os.path.basename(path).startswith((".", RESULT))
    }
