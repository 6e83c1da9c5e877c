"""
``-t corrections:path=chatlog``: what users of a chat service put right.

``path`` is what the service records: a file of JSON Lines or a folder of them
(parlai_cu/corrections/chatlog.py). Served are the corrections that were accepted in review
(``parlai versions review``); with ``pending=true`` also those that nobody has looked at, with
``rated_up=true`` also replies that users found good. Personal data is masked
(parlai_cu/corrections/masking.py); each lesson is served once.
"""

import copy
from collections.abc import Iterator
from typing import Any

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import DialogTeacher

from parlai_cu.corrections import review
from parlai_cu.data.base import REJECTED
from parlai_cu.errors import DataError, UsageError


class CorrectionsTeacher(DialogTeacher):
    """
    One example a lesson: the conversation so far, and the right answer; in ``rejected`` the wrong.

    :raises UsageError: without a chat log
    """

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Add the flags; after ``-t corrections`` they are path, pending and rated_up."""
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Corrections")
        group.add_argument(
            "--corrections-path",
            dest="path",
            help="the chat log: a file of JSON Lines or a folder of them",
        )
        group.add_argument(
            "--corrections-pending",
            dest="pending",
            type="bool",
            default=False,
            help="also corrections that were not reviewed yet",
        )
        group.add_argument(
            "--corrections-rated-up",
            dest="rated_up",
            type="bool",
            default=False,
            help="also replies that users found good",
        )
        return parser

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        opt = copy.deepcopy(opt)
        if not opt.get("path"):
            raise UsageError(
                "-t corrections needs the chat log: -t corrections:path=FILE_OR_FOLDER"
            )
        self.split = opt["datatype"].split(":")[0]
        opt["datafile"] = opt["path"]
        super().__init__(opt, shared)
        self.id = opt["task"]

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield the lessons of this split.

        :raises DataError: when none was accepted
        """
        lessons = review.lessons(
            datafile,
            pending=self.opt.get("pending", False),
            rated_up=self.opt.get("rated_up", False),
        )
        if not lessons:
            waiting = sum(one.decision == review.PENDING for one in review.reviewed(datafile))
            raise DataError(
                f"{datafile}: no accepted correction, {waiting} wait for a decision: "
                f"parlai versions review --chatlog {datafile}; or serve them unseen by "
                f"-t corrections:path={datafile}:pending=true"
            )
        for lesson in lessons:
            if review.split_of(lesson) == self.split:
                act: dict[str, Any] = {"text": "\n".join(lesson.context), "labels": [lesson.label]}
                if lesson.rejected:
                    act[REJECTED] = list(lesson.rejected)
                yield act, True


class DefaultTeacher(CorrectionsTeacher):
    """What ``-t corrections`` means."""
