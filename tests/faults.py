"""A process that ends at any of its writes, and a disk that is full, for the tests."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


class Crash(BaseException):
    """The end of the process: nothing catches it, and nothing is tidied up."""


class _Plan:
    """
    Which change of a folder is the last.

    :param root: the folder
    :param number: the change before which the process ends, from 1
    """

    def __init__(self, root: Path, number: int) -> None:
        self.root, self.left = str(root), number
        self.synced: set[int] = set()
        self.before = dict(_files(root))

    def change(self, path: Any) -> None:
        """Called before each change of a file; of this folder it counts."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, (str, os.PathLike)) and str(path).startswith(self.root):
            self.left -= 1
            if self.left <= 0:
                raise Crash(str(path))

    def lose_power(self) -> None:
        """Of what was not flushed to the disk, half is lost."""
        for inode, (path, size, _) in list(_files(Path(self.root))):
            old = self.before.get(inode)
            if inode in self.synced or (old is not None and old[1:] == (size, _)):
                continue
            kept = 0 if old is None else min(old[1], size)
            os.truncate(path, kept + (size - kept) // 2)


def _files(root: Path) -> Iterator[tuple[int, tuple[str, int, int]]]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            status = os.stat(path)
            yield status.st_ino, (path, status.st_size, status.st_mtime_ns)


_plan: _Plan | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _plan is None:
        return
    if event == "open":
        path, _, flags = args
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _plan.change(path)
    elif event in _CHANGES:
        _plan.change(args[0])


_hooks: dict[str, bool] = {}


@contextlib.contextmanager
def ending_at(root: Path, number: int) -> Iterator[None]:
    """
    The process ends, by :class:`Crash`, before the n-th change of a file below a folder.

    None of the later changes happens either, and of what was not flushed half is lost.

    :param root: the folder
    :param number: from 1
    """
    global _plan
    if not _hooks:
        sys.addaudithook(_hook)  # there is no way to take it off
        _hooks["added"] = True
    flush, plan = os.fsync, _Plan(root, number)

    def fsync(handle: Any) -> None:
        flush(handle)
        plan.synced.add(os.fstat(handle if isinstance(handle, int) else handle.fileno()).st_ino)

    _plan, os.fsync = plan, fsync
    try:
        yield
    except Crash:
        _plan, os.fsync = None, flush
        plan.lose_power()
        raise
    finally:
        _plan, os.fsync = None, flush


@contextlib.contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """
    No file grows beyond a few bytes; the system says so itself, also to libraries in C.

    :param room: bytes
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
