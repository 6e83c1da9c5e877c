"""Ctrl-C while a command is imported is one line; what takes long says so before it begins."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chat_service import config

# Ctrl-C in the moment in which that module begins to be imported
INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
sys.meta_path.insert(0, Finder())
"""
AT = [
    ("parlai.core.params", ["-m", "parlai", "versions"]),
    ("torch", ["-m", "parlai", "interactive", "-m", "transformer/generator"]),
    ("parlai.scripts.display_data", ["-m", "parlai", "display_data", "-t", "integration_tests"]),
    ("parlai.core.params", ["-m", "parlai.scripts.display_data", "-t", "integration_tests"]),
]


def run(folder: Path, hook: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """A Python with that code at its start."""
    (folder / "sitecustomize.py").write_text(hook)
    # ParlAI's own pins warn of each other
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name, words", AT, ids=[" ".join(words[1:3]) for _, words in AT])
def test_ctrl_c_is_one_line(tmp_path: Path, name: str, words: list[str]) -> None:
    """Whichever import it is, and however the command was started."""
    found = run(tmp_path, INTERRUPTING.format(name=name), words)
    said = [line for line in found.stderr.splitlines() if line]
    assert said == ["Interrupted"], found.stderr
    assert found.returncode in (130, 1, -signal.SIGINT)


# ends the process when it first says something, and tells whether torch is there by then
FIRST_LINE = """
import os, sys
class Said:
    def write(self, text):
        if text.strip():
            os.write(1, f"torch {'torch' in sys.modules}: {text}".encode())
            os._exit(0)
    def flush(self): pass
    encoding = "utf-8"
    def isatty(self): return False
sys.stdout = Said()
"""


def test_serve_speaks_before_it_loads(tmp_path: Path) -> None:
    """Its first line comes before torch, which takes seconds."""
    written = {**config(), "opt": {"models": {"bot": {"model_file": "nowhere"}}}}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(written))
    words = ["-m", "parlai", "serve", "--config-path", str(tmp_path / "config.yml")]
    found = run(tmp_path, FIRST_LINE, words)
    assert found.stdout.startswith("torch False: Starting: "), found.stdout + found.stderr
    assert "(bot)" in found.stdout
