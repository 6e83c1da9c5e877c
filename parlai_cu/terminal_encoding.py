"""
What is read from and written to a terminal: no letter ends a command.

The one place that sets encodings. Where the terminal says nothing of itself, or ASCII (a container
without ``LANG``), it is taken for UTF-8, as Python does; what it cannot show is shown escaped, and
what cannot be read is replaced.
"""

import codecs
import contextlib
import sys
from typing import Any


def prepare() -> None:
    """Let stdin, stdout and stderr take whatever comes. Calling it again does nothing."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        _prepare(stream)


def _prepare(stream: Any) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:  # of a test, a notebook
        return
    reads = stream is sys.stdin
    errors = "replace" if reads else "backslashreplace"
    with contextlib.suppress(OSError, ValueError, LookupError):  # closed, or read from already
        encoding = codecs.lookup(stream.encoding or "ascii").name
        if encoding == "ascii":
            reconfigure(encoding="utf-8", errors=errors)
        elif stream.errors in ("strict", "surrogateescape"):  # the latter where LANG is C
            reconfigure(errors=errors)
