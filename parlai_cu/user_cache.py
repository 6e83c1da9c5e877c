"""Where this user's caches are: ``XDG_CACHE_HOME``, ``~/.cache``, else a temporary folder."""

import contextlib
import functools
import os
import stat
import sys
import tempfile

from parlai_cu.errors import UsageError

VARIABLE = "XDG_CACHE_HOME"
# what a container with a read-only root still has
_IN_MEMORY = ("/dev/shm", "/run")


def folder(*names: str) -> str:
    """
    A folder for what can be made anew; it need not be there yet.

    :param names: what leads to it
    :raises UsageError: when no place can be written
    """
    place = os.path.join(_base(os.environ.get(VARIABLE) or _home_cache()), "parlai_cu")
    with contextlib.suppress(OSError):  # whoever writes there is told
        os.makedirs(place, mode=0o700, exist_ok=True)  # it may hold what users wrote
    return os.path.join(place, *names)


def _home_cache() -> str:
    # where there is no HOME and no entry for the user, ~ stays as it is
    home = os.path.expanduser("~")
    return "" if home == "~" else os.path.join(home, ".cache")


def prepare() -> None:
    """
    Let libraries find a temporary folder where every usual one is read-only.

    Some ask for one when they are imported, and a command that only reads needs none.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = next((p for p in _IN_MEMORY if os.access(p, os.W_OK | os.X_OK)), "/tmp")


@functools.cache
def _base(wanted: str) -> str:
    if wanted and _writable(wanted):
        return wanted
    instead = _temporary()
    sys.stderr.write(
        f"parlai_cu: {wanted or 'a home folder'} cannot be written: caches are in {instead} until "
        f"it is removed. Set {VARIABLE} to a folder that lasts\n"
    )
    return instead


def _writable(path: str) -> bool:
    """Whether the folder can be written, or be made."""
    while not os.path.isdir(path):
        if os.path.lexists(path):
            return False
        path = os.path.dirname(os.path.abspath(path))
    return os.access(path, os.W_OK | os.X_OK)


def _temporary() -> str:
    """
    A folder of this user's; nobody else can have put something there.

    :raises UsageError: when there can be none
    """
    path = os.path.join(tempfile.gettempdir(), f"parlai_cu-{os.getuid()}")
    with contextlib.suppress(OSError):
        os.mkdir(path, 0o700)
    with contextlib.suppress(OSError):
        info = os.lstat(path)
        mine = stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()
        if mine and not info.st_mode & 0o077 and os.access(path, os.W_OK | os.X_OK):
            return path
    try:
        return tempfile.mkdtemp(prefix="parlai_cu-")
    except OSError as error:
        raise UsageError(
            f"no folder can be written, neither for caches nor for temporary files "
            f"({error.strerror}): set {VARIABLE} to one that can"
        ) from None
