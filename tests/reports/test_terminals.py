"""No letter ends a command, whatever the terminal can show (parlai_cu/terminal_encoding.py)."""

import io
import sys
from typing import Any

import pytest

from parlai_cu import terminal_encoding

SAID = "naïve café, 42 €, 你好, \ud83d"


def streams(encoding: str, given: bytes, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """A terminal of that encoding, at which somebody has typed."""
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding=encoding))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(shown, encoding=encoding))
    return shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_everything_is_shown(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where that can be, escaped where it cannot."""
    shown = streams(encoding, b"", monkeypatch)
    terminal_encoding.prepare()
    print(SAID)
    sys.stdout.flush()
    text = shown.getvalue().decode("utf-8" if encoding == "ascii" else encoding)
    assert "naïve café" in text and "\\ud83d" in text


def test_what_is_shown_where_lang_is_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python writes by ``surrogateescape`` there, which cannot write half a character either."""
    shown = io.BytesIO()
    stream = io.TextIOWrapper(shown, encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdout", stream)
    terminal_encoding.prepare()
    print(SAID)
    sys.stdout.flush()
    assert "\\ud83d" in shown.getvalue().decode()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("typed", ["café".encode(), "café".encode("latin-1"), b"\xff\xfe"])
def test_everything_is_read(encoding: str, typed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters that are none are replaced."""
    streams(encoding, typed + b"\nnext\n", monkeypatch)
    terminal_encoding.prepare()
    first, second = sys.stdin.readline(), sys.stdin.readline()
    assert first == typed.decode("utf-8", "replace") + "\n" and second == "next\n"


@pytest.mark.parametrize("stream", [None, io.StringIO(), object()])
def test_what_is_no_terminal(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a test, a notebook, a service without one: it is left alone."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    terminal_encoding.prepare()
    assert sys.stdout is stream


def test_it_is_set_when_parlai_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every command, ours and ParlAI's."""
    from parlai_cu import activation

    called: list[int] = []
    monkeypatch.setattr(terminal_encoding, "prepare", lambda: called.append(1))
    activation._use_short_errors(None)
    assert called
