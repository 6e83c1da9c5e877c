"""
What users think of replies, as JSON Lines: one record a judgement, read by ``-t corrections``.

Writing it is the operator's choice, since it holds what users wrote. A later record of the same
conversation and turn takes the earlier one's place.
"""

import json
import os
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from parlai_cu import files
from parlai_cu.errors import ConversationError

RATINGS = ("up", "down")


@dataclass(frozen=True)
class Feedback:
    """
    What a user thinks of one reply.

    :param conversation: its name
    :param turn: the reply's number in it, from 1
    :param version: of the model that replied, where it has one
    :param context: the utterances before, oldest first
    :param text: what the user had said
    :param reply: what they were answered
    :param rating: ``up``, ``down`` or None
    :param correction: what the user says the answer should have been
    :param knowledge: the facts the reply used
    """

    conversation: str
    turn: int
    version: str | None
    context: list[str]
    text: str
    reply: str
    rating: str | None
    correction: str | None
    knowledge: list[dict[str, Any]] | None


class FeedbackLog:
    """
    A file that records are appended to, whole or not at all; several processes may share it.

    :param path: is made where it is not there, and readable by its owner alone
    :raises ConversationError: when it cannot be written
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._append(b"")

    def check(self) -> None:
        """
        Whether it can be written.

        :raises ConversationError: when it cannot
        """
        self._append(b"")

    def append(self, feedback: Feedback) -> None:
        """
        Write one record.

        :raises ConversationError: when it cannot be written; the file is as it was
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        # as ASCII: no text is outside what the file can hold
        record = json.dumps({"time": now, **asdict(feedback)}, default=str)
        line = record.encode("ascii") + b"\n"
        self._append(line)

    def _append(self, line: bytes) -> None:
        try:
            # what users wrote is its owner's alone
            folder = os.path.dirname(os.path.abspath(self.path))
            files.private_folder(folder)
            files.make_private(self.path)
            with self._lock:
                files.append(self.path, line, mode=0o600, sync=True)
        except OSError as error:
            raise ConversationError(f"feedback: {self.path} cannot be written: {error}") from error
