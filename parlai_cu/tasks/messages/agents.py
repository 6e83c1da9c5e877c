"""
``-t messages:messages_path=FILE``: messages as they were when parlai_cu wrote them, all fields.

``FILE`` is one of ``parlai_cu.messages`` (JSON Lines), for all splits; or the beginning of the
names of three: ``FILE_train.jsonl``, ``FILE_valid.jsonl``, ``FILE_test.jsonl``. What ``--mutators``
names was applied before they were written, and is not applied again.
"""

import os
from typing import Any

from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import FixedDialogTeacher

from parlai_cu import messages
from parlai_cu.errors import DataError, UsageError, near_file


class MessagesTeacher(FixedDialogTeacher):
    """
    The episodes of a file, message by message.

    :raises UsageError: without a file
    :raises DataError: when it is missing or damaged
    """

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Add the flag."""
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Messages")
        group.add_argument("--messages-path", help="the file, or its name up to _train.jsonl")
        return parser

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        super().__init__(Opt({**opt, "mutators": None}), shared)
        # by its file: tasks of one id share their metrics
        self.id = "/".join(str(opt.get("messages_path") or opt["task"]).split(os.sep)[-2:])
        if shared:
            self.episodes: list[list[Message]] = shared["episodes"]
        else:
            self.episodes = _read(_file(opt))
        self.reset()

    def share(self) -> dict[str, Any]:
        """One copy of the episodes for all."""
        return {**super().share(), "episodes": self.episodes}

    def num_episodes(self) -> int:
        """How many there are."""
        return len(self.episodes)

    def num_examples(self) -> int:
        """How many messages there are."""
        return sum(map(len, self.episodes))

    def get(self, episode_idx: int, entry_idx: int = 0) -> Message:
        """A message, to be changed by who gets it."""
        return self.episodes[episode_idx][entry_idx].copy()

    def process_action(self, action: Message) -> Message:
        """A message that said who spoke says it still."""
        speaker = action.get("id")
        done = super().process_action(action)
        if speaker is not None:
            done.force_set("id", speaker)
        return done


def _file(opt: Opt) -> str:
    path = opt.get("messages_path")
    if not path:
        raise UsageError("-t messages needs a file: -t messages:messages_path=FILE")
    split = f"{path}_{opt['datatype'].split(':')[0]}.jsonl"
    file = path if os.path.isfile(path) else split
    if not os.path.isfile(file):
        raise DataError(f"-t messages: there is no {path}, and no {split}{near_file(path)}")
    return str(file)


def _read(path: str) -> list[list[Message]]:
    episodes: list[list[Message]] = []
    begins = True
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            try:
                message = Message(messages.loads(line))
            except Exception as error:  # of JSON, NumPy, safetensors, Pillow
                raise DataError(
                    f"{path}, line {number}: no message of parlai_cu: {error}"
                ) from error
            if begins:
                episodes.append([])
            episodes[-1].append(message)
            begins = bool(message.get("episode_done"))
    if episodes:
        episodes[-1][-1].force_set("episode_done", True)
    return episodes


class DefaultTeacher(MessagesTeacher):
    """What ``-t messages`` means."""
