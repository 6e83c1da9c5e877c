"""Runs snippets in an interpreter of their own, with or without a repair."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from parlai_cu import compat, plugin

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """``python(code, without=[repair])``: run ``code`` in a fresh interpreter in tmp_path."""

    def run(
        code: str,
        without: Iterable[str] = (),
        env: dict[str, str] | None = None,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        lines = "".join(
            f"plugin.{'REPAIRS' if name in plugin.REPAIRS else 'EXTENSIONS'}.pop({name!r})\n"
            for name in without
        )
        if lines:
            code = f"from parlai_cu import plugin\n{lines}{code}"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def both_ways(python: Run) -> Callable[..., None]:
    """
    ``both_ways(repair, code, symptom)``: ``code`` works with the repair and not without.

    Skips where the repair is not needed: there ``code`` must work without it.
    """

    def check(repair: str, code: str, symptom: str, **options: dict[str, str]) -> None:
        repaired = python(code, **options)
        assert repaired.returncode == 0, repaired.stderr
        assert "is off" not in repaired.stderr
        stock = python(code, without=[repair], **options)
        if repair in plugin.REPAIRS and compat.reason(repair) is None:
            assert stock.returncode == 0, stock.stderr
            pytest.skip(f"{repair} is not needed here; the code works without it")
        assert stock.returncode != 0
        assert symptom in stock.stderr

    return check
