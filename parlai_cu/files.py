"""
Files that are written whole: beside their place, flushed to the disk, then moved there.

Every writer of ours goes through here, so that a reader sees the old file or the new one, also
after a crash, a loss of power or on a full disk. :func:`step` is called before each durable
change, so that a test can end the process at any of them.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterator

from parlai_cu.errors import SaveError

# what a process that was killed left half written belongs to nobody when it is that old
STALE_SECONDS = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# what torch.save says on a full disk
_OF_TORCH = ("PytorchStreamWriter", "unexpected pos", "iostream error")


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of what is in a file, in hexadecimal digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def step(what: str) -> None:
    """
    Called before each durable change; tests break off here.

    :param what: what it is going to be
    """


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """
    Write one file beside its place, then move it there; when the block fails nothing is left.

    Yields the path to write to. Errors of the system are left as they are.

    :param path: where the file is to be; its folder is there
    """
    folder, name = os.path.split(os.path.abspath(path))
    # the second dot: torch.save asks for something before the last one
    aside = os.path.join(folder, f".writing-{name[:60]}.{uuid.uuid4().hex[:12]}")
    try:
        step(f"write {path}")
        yield aside
        sync_file(aside)
        step(f"replace {path}")
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    sync_folder(folder)


@contextlib.contextmanager
def whole(path: str) -> Iterator[str]:
    """
    The same, for what a user asked for; it is their own alone.

    :param path: where the file is to be; its folder is there
    :raises SaveError: when it cannot be written
    """
    with translate_errors(path), replacing(path) as aside:
        make_private(aside)  # it may hold what users wrote
        yield aside


def write_text(path: str, text: str) -> None:
    """
    Write a text file, in UTF-8; half a character of broken data as JSON escapes it.

    :param path: where the file is to be; its folder is there
    :param text: all that it holds
    :raises SaveError: when it cannot be written
    """
    with whole(path) as aside:
        with open(aside, "w", encoding="utf-8", errors="backslashreplace") as f:
            f.write(text)


def private_folder(path: str) -> None:
    """Make a folder that is its owner's alone, and those above it; one that is there is left."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def make_private(path: str) -> None:
    """
    See to it that a file of what users wrote is there, and is its owner's alone.

    Errors of the system are left as they are.

    :param path: is made where it is not there; what an earlier release left open to others is shut
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    except FileExistsError:
        status = os.stat(path)
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077 and status.st_uid == os.geteuid():
        os.chmod(path, 0o600)


def append(path: str, data: bytes, mode: int = 0o666, sync: bool = False) -> None:
    """
    Append lines to a file that several processes share, whole or not at all.

    Where the last writer was killed in the middle of a line, that line is ended first. Errors of
    the system are left as they are; the file is as it was then.

    :param path: is made where it is not there
    :param data: lines, each with its end
    :param mode: of a file that is made
    :param sync: have it on the disk before it is said to be written
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)
    try:
        _lock(descriptor)
        size = os.fstat(descriptor).st_size
        try:
            if size:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                if os.read(descriptor, 1) != b"\n":
                    data = b"\n" + data
            if data:
                step(f"append to {path}")
            if data and os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "no space for the whole record", path)
            if data and sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """
    Errors of the system, and of torch on a full disk, as ours.

    :param path: what is written
    :raises SaveError: with its name, why, and what to do
    """
    try:
        yield
    except OSError as error:
        raise SaveError(unsaved(path, error.strerror or str(error), error.errno)) from error
    except RuntimeError as error:
        if not any(word in str(error) for word in _OF_TORCH):
            raise
        why = f"torch.save could not write: {str(error).splitlines()[0]}"
        raise SaveError(unsaved(path, why, errno.ENOSPC)) from error


def unsaved(path: str, why: str, number: int | None = None) -> str:
    """
    The message for a file that could not be written.

    :param path: the file
    :param why: in the system's words
    :param number: its number for that
    """
    room = f" ({_room(path)})" if number in _FULL else ""
    return (
        f"could not save {path}: {why}{room}. What was saved earlier is whole; free space or "
        "choose another place, then run the same command again"
    )


def remove_stale(folder: str, *prefixes: str) -> None:
    """
    Remove what processes that were killed left half written, when it is a day old.

    :param folder: where they wrote
    :param prefixes: what their files' and folders' names begin with
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if not entry.name.startswith(prefixes):
                continue
            with contextlib.suppress(OSError):  # another process was faster
                if time.time() - entry.stat().st_mtime > STALE_SECONDS:
                    step(f"remove {entry.path}")
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)


def sync_file(path: str) -> None:
    """
    Have a file's content on the disk before anything refers to it.

    :param path: the file
    """
    with open(path, "rb") as f:
        os.fsync(f.fileno())


def sync_folder(path: str) -> None:
    """
    Have a folder's entries on the disk; where the system cannot, go on.

    :param path: the folder
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_tree(path: str) -> None:
    """
    The same for all that is in a folder.

    :param path: the folder
    """
    for folder, _, names in os.walk(path):
        for name in names:
            sync_file(os.path.join(folder, name))
        sync_folder(folder)


def _room(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    try:
        free = f"{shutil.disk_usage(folder).free:,d} bytes are free in {folder}"
    except OSError:
        free = f"in {folder}"
    with contextlib.suppress(OSError):
        return f"{free}; the one that is there has {os.path.getsize(path):,d}"
    return free


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)  # goes with the descriptor
