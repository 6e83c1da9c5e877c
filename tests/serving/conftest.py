"""Serving is tested in asyncio's debug mode: it says what blocks the loop, what nobody awaits."""

import os

import pytest


@pytest.fixture(autouse=True)
def asyncio_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that a test or a process it starts makes are in debug mode."""
    monkeypatch.setitem(os.environ, "PYTHONASYNCIODEBUG", "1")
