"""
What a channel serves: rules over its history, without I/O.

A channel is one small file of JSON lines, a line for each change, the last of which is in force.
It is replaced as a whole, so that pointer and history can never disagree.
"""

import json
import re
from collections.abc import Sequence

from parlai_cu.errors import VersionsError
from parlai_cu.versions.records import Promotion

PROMOTE, ROLLBACK = "promote", "rollback"
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,62}$")
# names that stand in a versions directory already
RESERVED = ("versions", "store", "cache", "kb", "suite")


def check_name(channel: str) -> None:
    """
    Make sure that a channel can be called so.

    :raises VersionsError: when it is no plain lower-case word, or stands for something else
    """
    if not _NAME.match(channel) or channel in RESERVED or re.match(r"^v\d", channel):
        raise VersionsError(
            f"--channel {channel}: expected a lower-case word such as live or canary, not a "
            f"version's id and none of {', '.join(RESERVED)}"
        )


def read(text: str | None, path: str) -> list[Promotion]:
    """
    The history that a channel's file holds, oldest first.

    :param text: of the file; None where there is none
    :param path: of the file, for messages
    :raises VersionsError: when it is damaged
    """
    history = []
    for line in (text or "").splitlines():
        try:
            history.append(Promotion(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise VersionsError(f"{path} is no channel of a versions directory: {error}") from None
    return history


def write(history: Sequence[Promotion]) -> str:
    """The text of a channel's file."""
    return "".join(json.dumps(change._asdict()) + "\n" for change in history)


def live(history: Sequence[Promotion]) -> str | None:
    """What is in force; None where nothing was promoted yet."""
    return history[-1].id if history else None


def before(history: Sequence[Promotion]) -> str | None:
    """
    What a rollback goes back to: what was live before the version that is.

    Each rollback goes one promotion further back, rather than to and fro.
    """
    stack = stacked(history)
    return stack[-2] if len(stack) > 1 else None


def stacked(history: Sequence[Promotion]) -> list[str]:
    """The versions that rollbacks would go back to, oldest first; the last is live."""
    stack: list[str] = []
    for change in history:
        if change.action == ROLLBACK and change.id in stack[:-1]:
            del stack[len(stack) - stack[::-1].index(change.id) :]
        elif stack[-1:] != [change.id]:
            stack.append(change.id)
    return stack
