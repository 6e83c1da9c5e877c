"""The episodes of ParlAI's tasks: read whole, every field of every message, and stored so."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import parlai.utils.logging as logging
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname

from parlai_cu import files, messages
from parlai_cu.errors import DataError

# messages, as a task in training has them: with "labels"; the last of them ends the episode
Episode = list[dict[str, Any]]

# what an episode says otherwise, or does not need
_TOLD = ("eval_labels", "episode_done", "batch_padding", "metrics")
# ParlAI's task names give these a meaning
_SIGNS = r"[,:;=]"


def with_defaults(opt: Opt, task: str) -> Opt:
    """The options, with the defaults of a task's own flags, which the command did not know of."""
    parser = ParlaiParser(add_parlai_args=False, add_model_args=False)
    parser.add_task_args(task, opt)
    defaults = {a.dest: a.default for a in parser._actions if a.dest != "help"}
    return Opt({**defaults, **opt})


def read(
    opt: Opt, task: str, datatype: str = "train:evalmode", most: int | None = None
) -> Iterator[Episode]:
    """
    One pass over a task, in order; what has no label is no example and is left out.

    :param opt: of the command
    :param task: as for ``-t``; only one
    :param datatype: split, as for ``-dt``
    :param most: how many messages at most: a task may be endless
    """
    settings = with_defaults(opt, task)
    settings.update(task=task, datatype=datatype, batchsize=1)
    (teacher,) = create_task_agent_from_taskname(settings)
    episode: Episode = []
    seen = 0
    # a teacher of nothing never says that it is done
    while teacher.num_examples() != 0 and not teacher.epoch_done() and seen != most:
        act = teacher.act()
        seen += 1
        labels = act.get("labels") or act.get("eval_labels")
        if labels:
            turn = {name: value for name, value in act.items() if name not in _TOLD}
            # every teacher names itself; who spoke is data
            if turn.get("id") == teacher.getID():
                del turn["id"]
            episode.append({**turn, "labels": labels})
        if act.get("episode_done") and episode:
            yield episode
            episode = []
    if episode:
        yield episode


def store(path: str, episodes: Sequence[Episode], what: str) -> None:
    """
    Write episodes as a file that :func:`task_of` names; what cannot be kept is named.

    :param path: of the file
    :param episodes: of messages
    :param what: they are taken from, for messages
    """
    lost: dict[str, str] = {}
    text = "".join(messages.lines(episodes, lost))
    for field, kind in lost.items():
        logging.warning(
            f"{what}: the field {field!r} holds a {kind}, which cannot be stored: an agent that "
            "uses it will be stopped"
        )
    files.write_text(path, text)


def store_splits(path: str, parts: dict[str, list[Episode]], what: str) -> str:
    """
    Write one file for each split; the task that reads them.

    :param path: of the files, up to the name of the split
    :param parts: split -> its episodes
    :param what: they are taken from, for messages
    """
    for split, episodes in parts.items():
        store(f"{path}_{split}.jsonl", episodes, what)
    return task_of(path)


def task_of(path: str) -> str:
    """The task that reads what was stored."""
    return f"messages:messages_path={path}"


def check_path(path: str, flag: str) -> None:
    """
    Refuse a path that no task name can hold.

    :param path: where episodes are to be stored
    :param flag: the flag and its value that it comes from, for the message
    :raises DataError: when it has what ParlAI takes for something else
    """
    if re.search(_SIGNS, path):
        raise DataError(
            f"{flag}: ParlAI's task names cannot hold a path with ',', ':', ';' or '='; choose "
            "another path"
        )
