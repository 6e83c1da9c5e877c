"""
Where versions are kept: a folder, local or shared, or a place that iopath reaches.

Everything durable goes through here, and through :mod:`parlai_cu.files`: a file is written beside
its place, flushed, then moved. :func:`parlai_cu.files.step` is called before each write, so that a
test can end the process at any of them.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from parlai_cu import files
from parlai_cu.errors import VersionsError

LOCK = ".lock"
# how long another process may hold the lock: it is held for small writes only
LOCK_SECONDS = 30.0


class Storage:
    """
    Files under one root.

    :param root: a folder, or a URI (``scheme://...``) of a registered iopath handler
    :param path_manager: iopath's, with the handlers that ``root`` may need
    """

    def __init__(self, root: str, path_manager: Any = None) -> None:
        self.remote = "://" in root
        self.root = root.rstrip("/") if self.remote else os.path.abspath(root)
        if path_manager is None and self.remote:
            from iopath.common.file_io import PathManager  # type: ignore[import-untyped]

            path_manager = PathManager()
        self._manager = path_manager

    def path(self, *names: str) -> str:
        """The path of something under the root."""
        return "/".join((self.root, *names)) if self.remote else os.path.join(self.root, *names)

    def exists(self, *names: str) -> bool:
        """Whether there is such a file or folder."""
        path = self.path(*names)
        return bool(self._manager.exists(path)) if self.remote else os.path.lexists(path)

    def names(self, *names: str) -> list[str]:
        """What a folder holds, sorted; nothing where it is missing."""
        path = self.path(*names)
        with translate_errors(path):
            if not self.exists(*names):
                return []
            found = self._manager.ls(path) if self.remote else os.listdir(path)
            return sorted(os.path.basename(name.rstrip("/")) for name in found)

    def read(self, *names: str) -> str | None:
        """The text of a small file; None where it is missing."""
        path = self.path(*names)
        with translate_errors(path):
            try:
                if self.remote and not self._manager.exists(path):
                    return None
                opened = (
                    self._manager.open(path, "r") if self.remote else open(path, encoding="utf-8")
                )
                with opened as f:
                    return str(f.read())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def stamp(self, *names: str) -> Any:
        """What changes when a small file is written: its inode, size and times, else its text."""
        if self.remote:
            return self.read(*names)
        path = self.path(*names)
        with translate_errors(path):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                return None
            return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def read_json(self, *names: str) -> Any:
        """
        What a small JSON file holds; None where it is missing.

        :raises VersionsError: when it is no JSON object
        """
        text = self.read(*names)
        if text is None:
            return None
        try:
            held = json.loads(text)
        except ValueError as error:
            raise VersionsError(f"{self.path(*names)} is damaged: {error}") from None
        if not isinstance(held, dict):
            raise VersionsError(f"{self.path(*names)} is no JSON object")
        return held

    def write_json(self, value: object, *names: str) -> None:
        """Write a value as a small file, as a whole: a reader sees the old one or the new one."""
        self.write(json.dumps(value, indent=1) + "\n", *names)

    def write(self, text: str, *names: str) -> None:
        """Write a small file as a whole: a reader sees the old one or the new one."""
        path = self.path(*names)
        with translate_errors(path):
            if self.remote:
                files.step(f"write {path}")
                with self._manager.open(path, "w") as f:
                    f.write(text)
                return
            with files.replacing(path) as aside, open(aside, "w", encoding="utf-8") as f:
                f.write(text)

    def make_folder(self, *names: str) -> None:
        """Make a folder and those above it."""
        path = self.path(*names)
        with translate_errors(path):
            files.step(f"mkdir {path}")
            if self.remote:
                self._manager.mkdirs(path)
            else:
                files.private_folder(self.path())
                os.makedirs(path, exist_ok=True)

    @contextlib.contextmanager
    def staging(self, *names: str) -> Iterator[str]:
        """A local folder to build in, that :meth:`publish` can move below ``names``."""
        inside = None if self.remote else self.path(*names)
        with translate_errors(self.path(*names)):
            files.step(f"staging in {inside}")
            folder = tempfile.mkdtemp(prefix=".staging-", dir=inside)
        try:
            yield folder
        except Exception:  # after a kill, prune tidies up
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staged: str, last: str, *names: str) -> None:
        """
        Make a folder that was built in :meth:`staging` appear as a whole.

        :param staged: the folder
        :param last: the file without which a reader ignores the folder; sent last
        :param names: what leads to its place, see :meth:`path`
        """
        path = self.path(*names)
        with translate_errors(path):
            if not self.remote:
                os.chmod(staged, 0o755)
                files.sync_folder(staged)
                files.step(f"rename to {path}")
                os.rename(staged, path)
                files.sync_folder(os.path.dirname(path))
                return
            self._manager.mkdirs(path)
            for name in sorted(os.listdir(staged), key=lambda name: (name == last, name)):
                files.step(f"upload {path}/{name}")
                source = os.path.join(staged, name)
                self._manager.copy_from_local(source, f"{path}/{name}", overwrite=True)

    def local(self, *names: str) -> str:
        """A local path to read a file from; what is remote is fetched (and kept by iopath)."""
        path = self.path(*names)
        if not self.remote:
            return path
        with translate_errors(path):
            return str(self._manager.get_local_path(path))

    def remove(self, *names: str) -> None:
        """Remove a file or a folder with all that is in it."""
        path = self.path(*names)
        with translate_errors(path):
            files.step(f"remove {path}")
            if self.remote:
                self._manager.rm(path)
            elif os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """
        Only one process at a time, on any machine that shares the folder.

        The operating system frees the lock when a process dies. Places behind iopath have none.

        :raises VersionsError: when another holds it for too long, or the file system has no locks
        """
        if self.remote:
            yield
            return
        import filelock

        path = self.path(LOCK)
        with translate_errors(path):
            lock = filelock.FileLock(path, timeout=LOCK_SECONDS)
            try:
                lock.acquire()
            except filelock.Timeout:
                raise VersionsError(
                    f"{self.root}: another process has held {path} for {LOCK_SECONDS:.0f} s"
                ) from None
            except NotImplementedError as error:
                raise VersionsError(
                    f"{self.root}: its file system has no locks ({error}); mount it with them"
                ) from None
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """
    Errors of the system, as ours.

    :raises VersionsError: with the path, and what the system says
    """
    try:
        yield
    except OSError as error:
        raise VersionsError(
            f"{error.filename or path}: {error.strerror or error} (is the versions directory out "
            "of reach, full or not permitted?)"
        ) from error
