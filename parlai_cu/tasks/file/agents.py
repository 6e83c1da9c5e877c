"""
``-t FILE``: an existing file or folder, where a task can stand.

Its format is recognised (:mod:`parlai_cu.data`), and said. ParlAI's own formats are served by
ParlAI's own teachers, so that ``-t FILE`` is what ``jsonfile`` and ``fromfile`` gave. A file has no
splits, unless it says so itself: each datatype serves all of it, as ``jsonfile`` does;
``--hold-out true`` parts it by its content's hash.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import parlai.utils.logging as logging
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import DialogTeacher
from parlai.tasks.fromfile.agents import FbformatTeacher, ParlaiformatTeacher
from parlai.tasks.jsonfile.agents import JsonTeacher

from parlai_cu.data.base import REJECTED, ReadOptions, TrainingTurn
from parlai_cu.data.names import path_of, short_name
from parlai_cu.data.reading import ReadFile, read_path, signature
from parlai_cu.data.splits import splits_of
from parlai_cu.tasks.file.flags import add_flags, options_of


class FileTeacher(DialogTeacher):
    """One example a reply; wrong answers that the file has stand in ``rejected``."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Add the flags of a file."""
        super().add_cmdline_args(parser, partial_opt)
        add_flags(parser)
        parser.add_argument(
            "--hold-out",
            type="bool",
            default=False,
            help="of a file without splits: serve 7 of 10 conversations as training data, 1 for "
            "validation, 2 as a test, by their content's hash",
        )
        parser.add_argument(
            "--rejected-examples",
            type="bool",
            default=False,
            help="serve each wrong answer as a training example of its own too, with reward -1, as "
            "ParlAI's unlikelihood agents read it",
        )
        return parser

    def __new__(cls, opt: Opt, shared: dict[str, Any] | None = None) -> Any:
        """The teacher of ParlAI that reads the file as well, or this one."""
        stock = (
            None
            if shared is not None or (opt.get("hold_out") or opt.get("rejected_examples"))
            else _stock(opt)
        )
        return stock or super().__new__(cls)

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        opt = copy.deepcopy(opt)
        opt["datafile"] = path_of(opt["task"]) or opt["task"]
        self.split = opt["datatype"].split(":")[0]
        super().__init__(opt, shared)
        self.id = short_name(opt["datafile"])

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """Yield the exchanges of this split."""
        held = [pair for one in _read(datafile, self.opt) for pair in one.exchanges()]
        if any(conversation.split for conversation, _ in held):
            # what is in no split is training data
            splits: Sequence[str] = [c.split or "train" for c, _ in held]
        elif self.opt.get("hold_out"):
            splits = splits_of(["\n".join(turn.text for turn in turns) for _, turns in held])
        else:
            splits = [self.split] * len(held)
        unlearn = self.opt.get("rejected_examples") and self.split == "train"
        for split, (_, turns) in zip(splits, held):
            if split == self.split:
                for i, turn in enumerate(turns):
                    act: dict[str, Any] = {"text": turn.text, "labels": [turn.reply]}
                    if turn.rejected:
                        act[REJECTED] = list(turn.rejected)
                    yield act, i == 0
                yield from _unlearnt(turns) if unlearn else ()


def _unlearnt(turns: Sequence[TrainingTurn]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Wrong answers as examples, each an episode: an agent takes a label for what it has said."""
    said: list[str] = []
    for turn in turns:
        said.append(turn.text)
        for wrong in turn.rejected:
            yield {"text": "\n".join(said), "labels": [wrong], "reward": -1.0}, True
        said.append(turn.reply)


class DefaultTeacher(FileTeacher):
    """What ``-t FILE`` means."""


def _stock(opt: Opt) -> Any:
    path = path_of(opt["task"]) or opt["task"]
    read = _read(path, opt)
    if (
        len(read) != 1
        or read[0].path != path
        or any(c.split for c in read[0].reading.conversations)
    ):
        return None
    opt = copy.deepcopy(opt)
    if read[0].reading.stock == "jsonfile":
        opt.update(jsonfile_datapath=path, jsonfile_datatype_extension=False)
        opt.setdefault("label_turns", "secondspeaker")
        return JsonTeacher(opt)
    opt.update(fromfile_datapath=path, fromfile_datatype_extension=False)
    if read[0].reading.stock == "fromfile":
        teacher = ParlaiformatTeacher(opt)
        for act in (act for episode in teacher.episodes for act in episode):
            if REJECTED in act:  # of ParlAI's own fields only it knows which are lists
                act.force_set(REJECTED, act[REJECTED].split("|"))
        return teacher
    if read[0].reading.stock == "fromfile:fbformat":
        return FbformatTeacher({**opt, "task": "fromfile:fbformat"})  # which its messages name
    return None


def _read(path: str, opt: dict[str, Any]) -> list[ReadFile]:
    return _read_once(path, signature(path), options_of(opt))


@functools.lru_cache(maxsize=8)
def _read_once(path: str, signature: str, options: ReadOptions) -> list[ReadFile]:
    """A file of one state is read once, and said once what it is."""
    conversations = read_path(path, options)
    for one in conversations:
        for line in one.summary():
            logging.info(line)
    return conversations
