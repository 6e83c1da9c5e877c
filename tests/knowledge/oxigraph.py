"""Oxigraph's own server, as its package on PyPI brings it (pip install oxigraph)."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests


def program() -> str:
    """Where the server is; without one the tests are skipped."""
    beside = shutil.which("oxigraph", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("oxigraph")
    if found is None:
        pytest.skip("no oxigraph server here: pip install oxigraph")
    return found


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port


class Oxigraph:
    """A server with a store in memory, which can be stopped and started anew."""

    def __init__(self) -> None:
        self.port = free_port()
        self.uri = f"sparql+http://127.0.0.1:{self.port}/query"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [program(), "serve", "--bind", f"127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                requests.get(f"http://127.0.0.1:{self.port}/", timeout=1)
                return
            except requests.RequestException:
                assert time.monotonic() < deadline and self._process.poll() is None
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def put(self, turtle: str) -> None:
        """Make this the whole content."""
        url = f"http://127.0.0.1:{self.port}/store?default"
        headers = {"Content-Type": "text/turtle"}
        requests.put(url, turtle.encode(), headers=headers, timeout=30).raise_for_status()

    def content(self) -> bytes:
        """All of it."""
        headers = {"Accept": "application/n-triples"}
        url = f"http://127.0.0.1:{self.port}/store?default"
        return requests.get(url, headers=headers, timeout=30).content


@contextmanager
def running() -> Iterator[Oxigraph]:
    """A server that is there while the block runs."""
    server = Oxigraph()
    server.start()
    try:
        yield server
    finally:
        server.stop()
