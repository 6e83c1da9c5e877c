"""
The examples of a task, and which of them are held out.

A task that has training, validation and test data of its own is used as it is. Of any other
(a file of new dialogues) a part is held out here: written beside the report, whole messages, so
that it is the same in every step and is never trained on.
"""

import contextlib
import dataclasses
import functools
import glob
import hashlib
import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parlai.core.opt import Opt

from parlai_cu import files, messages
from parlai_cu.agents import episodes as task_episodes
from parlai_cu.agents.episodes import Episode
from parlai_cu.data.base import REJECTED, SPLITS
from parlai_cu.data.names import path_of
from parlai_cu.data.splits import splits_of
from parlai_cu.errors import DataError, ParlaiCuError, UsageError
from parlai_cu.update.conversations import part_of
from parlai_cu.update.editing import otherwise
from parlai_cu.update.step_cache import content_of
from parlai_cu.update.wording import Example, normal

_FEWEST = 5
# of so many times the conversations that are to be held out a part can be
_PARTS = 3
# what a message says of its answer rather than of its question
_OF_THE_ANSWER = ("labels", "label_candidates")


@dataclass(frozen=True)
class Data:
    """
    A task as an update uses it.

    :param name: as the user named it
    :param task: for ``-t``, with splits that do not overlap
    :param own_splits: whether those are the task's own
    :param examples: split -> its examples; of the test those that training does not hold
    :param content: split -> fingerprint of all that the task serves of it
    :param small: all of it is trained on and validates; its test are the same questions, asked
        otherwise (:mod:`parlai_cu.update.editing`)
    :param parts: key of a test example -> the part of the task that its file says it is of, where
        the task's messages do not carry it
    """

    name: str
    task: str
    own_splits: bool
    examples: dict[str, list[Example]]
    content: Mapping[str, str]
    small: bool = False
    parts: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)

    @property
    def short(self) -> str:
        """The name without folders: a task that is a file is called as that."""
        found = re.search(r"datapath=([^:]*)", self.name)
        path = found.group(1) if found else path_of(self.name)
        return os.path.basename(path.rstrip("/")) if path else self.name

    def conversations(self, split: str) -> int:
        """How many conversations a ``split`` has."""
        return sum(not example.history for example in self.examples[split])

    @functools.cached_property
    def rejected(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Key of an example -> the answers to it that were rejected, of those that have some."""
        every = [e for split in SPLITS for e in self.examples[split] if e.fields]
        held = {e.key: (e.fields or {}).get(REJECTED) for e in every}
        return {
            key: (wrong,) if isinstance(wrong, str) else tuple(map(str, wrong))
            for key, wrong in held.items()
            if wrong
        }

    @property
    def fingerprint(self) -> str:
        """Of all its splits."""
        held = json.dumps(sorted(self.content.items()))
        return hashlib.sha256(held.encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What it was, for the record of a version."""
        return {
            "task": self.name,
            "hash": self.fingerprint,
            "examples": len(self.examples["train"]),
        }


def read(opt: Opt, task: str, datatype: str) -> list[Episode]:
    """
    All episodes of a task, whole messages in order.

    :param opt: of the command
    :param task: as for ``-t``
    :param datatype: split, as for ``-dt``
    """
    return list(task_episodes.read(opt, task, datatype))


def content_of_episodes(episodes: Sequence[Episode]) -> str:
    """A fingerprint of messages with all their fields."""
    return hashlib.sha256("".join(messages.lines(episodes, {})).encode()).hexdigest()


def files_named(words: Sequence[str]) -> dict[str, str]:
    """
    The files that the words of a command name, by their path or its beginning, with fingerprints.

    :param words: flags and values; a task may name a file among its own options
    """
    found = {}
    for word in words:
        for part in re.split(r"[=:,;]", word):
            if os.sep not in part and not os.path.exists(part):
                continue
            paths = [part] if os.path.isfile(part) else glob.glob(glob.escape(part) + "*")
            for path in paths:
                inside = os.path.join(glob.escape(path), "**")
                for name in glob.glob(inside, recursive=True) if os.path.isdir(path) else [path]:
                    if os.path.isfile(name):
                        found[name] = content_of(name)
    return found


def examples(episodes: Sequence[Episode]) -> list[Example]:
    """The turns of episodes with what was said before them."""
    found = []
    for episode in episodes:
        said: list[str] = []
        for turn in episode:
            text, label = _text(turn), str(turn["labels"][0])
            found.append(Example(text, label, tuple(said), turn))
            said += [text, label]
    return found


def _text(turn: Mapping[str, Any]) -> str:
    """What is said in a turn; with an image that says nothing there is no text."""
    return str(turn.get("text") or "")


def prepare(opt: Opt, task: str, folder: str, seed: int, flag: str = "-t", fewest: int = 0) -> Data:
    """
    Read a task; hold a part out where it has no splits of its own.

    Of an update that is too small for that nothing is held out (:attr:`Data.small`).

    :param opt: of the command
    :param task: as for ``-t``
    :param folder: where files go
    :param seed: of the split
    :param flag: what named the task, for messages
    :param fewest: conversations to be held out, of an update
    :raises DataError: when it cannot be read, or there is too little of it
    :raises UsageError: when there is no such task
    """
    try:
        parts = {"train": read(opt, task, "train:evalmode")}
    except UsageError as error:
        # a misspelt task is told as -t, whichever flag named it
        raise UsageError(re.sub("^-t ", f"{flag} ", str(error))) from error
    except (ParlaiCuError, KeyboardInterrupt):
        raise
    except Exception as error:
        # teachers raise anything at all
        why = str(error).splitlines()[0] if str(error) else ""
        raise DataError(f"{flag} {task} cannot be read: {type(error).__name__}: {why}") from error
    if not parts["train"]:
        raise DataError(f"{flag} {task} has no training examples; look at it with display_data")
    known = {example.key for example in examples(parts["train"])}
    for split in ("valid", "test"):
        parts[split] = _own(opt, task, split, known)
    if fewest and _is_small(parts, known, fewest):
        return corrections(task, [e for split in SPLITS for e in parts[split]], folder)
    if all(parts.values()):
        content = {split: content_of_episodes(parts[split]) for split in SPLITS}
        return Data(task, task, True, _held(parts), content, parts=_parts_in_file(task))
    made = write(task, _split(parts, seed, f"{flag} {task}", fewest), folder)
    return dataclasses.replace(made, parts=_parts_in_file(task))


def _parts_in_file(task: str) -> dict[tuple[str, str], str]:
    """Of conversations in JSON, which service or domain each is of: ``jsonfile`` leaves it out."""
    named = re.search(r"datapath=([^:]*)", task)
    path = named.group(1) if named else path_of(task) or ""
    found: dict[tuple[str, str], str] = {}
    for name in (f"{path}_test.jsonl", path):
        # what is no such file has no parts
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            with open(name, encoding="utf-8") as f:
                for record in map(json.loads, f):
                    rounds = record.pop("dialog")
                    said = [t for r in rounds for t in (r if isinstance(r, list) else [r])]
                    pairs = zip(said[::2], said[1::2])
                    turns = [{"text": a["text"], "labels": [b["text"]]} for a, b in pairs]
                    found |= dict.fromkeys((e.key for e in examples([turns])), part_of(record))
            break
    return found


def _is_small(parts: Mapping[str, list[Episode]], known: set[tuple[str, str]], fewest: int) -> bool:
    """Whether too few conversations can be held out, though a third of all were."""
    if len(_distinct([e for episodes in parts.values() for e in episodes])) >= _PARTS * fewest:
        return False
    new = [e for e in parts["test"] if any(x.key not in known for x in examples([e]))]
    return len(_distinct(new)) < fewest


def _distinct(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    """Equal conversations together."""
    groups: dict[str, list[Episode]] = {}
    for episode in episodes:
        groups.setdefault(repr([e.key for e in examples([episode])]), []).append(episode)
    return groups


def corrections(name: str, episodes: Sequence[Episode], folder: str) -> Data:
    """
    A small update: all is learnt, and asked again; the test are other wordings of its questions.
    """
    held = list(_distinct(episodes).values())
    train = [alike[0] for alike in held]
    reworded = [
        [*episode[:-1], {**episode[-1], "text": text}]
        for episode in train
        for text in otherwise(str(episode[-1].get("text") or ""))
    ]
    parts = {"train": train, "valid": train, "test": reworded}
    return dataclasses.replace(write(name, parts, folder), small=True)


def write(name: str, parts: dict[str, list[Episode]], folder: str) -> Data:
    """
    Store splits as files that the task ``messages`` reads.

    :raises DataError: when the path has what ParlAI takes for something else
    """
    files.private_folder(folder)
    task_episodes.check_path(folder, f"--versions in {os.path.dirname(folder)}")
    parts = {split: parts.get(split, []) for split in SPLITS}
    content = {split: content_of_episodes(episodes) for split, episodes in parts.items()}
    short = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[-40:]
    # named by what they hold: what is behind a task's name may change
    key = hashlib.sha256(json.dumps([name, content]).encode()).hexdigest()[:12]
    task = task_episodes.store_splits(os.path.join(folder, f"{short}_{key}"), parts, name)
    return Data(name, task, False, _held(parts), content)


def _held(parts: Mapping[str, list[Episode]]) -> dict[str, list[Example]]:
    """The examples of each split; of the test those that training does not hold."""
    held = {split: examples(parts.get(split, [])) for split in SPLITS}
    known = {example.key for example in held["train"]}
    held["test"] = [e for e in held["test"] if e.key not in known]
    return held


def swapped(found: Sequence[Example], folder: str) -> tuple[Data, Data]:
    """Two tasks of the same answers: to their own questions, and to those of other answers."""
    ordered = sorted(found, key=lambda e: (e.label, e.context))
    half = len(ordered) // 2
    pairs = list(zip(ordered, ordered[half:] + ordered[:half]))
    pairs = [(one, other) for one, other in pairs if one.key[1] != other.key[1]]
    made = []
    for name, turns in (
        ("own questions", [_answering(one, one) for one, _ in pairs]),
        ("other questions", [_answering(other, one) for one, other in pairs]),
    ):
        made.append(write(name, {"test": turns}, folder))
    return made[0], made[1]


def _answering(asked: Example, answered: Example) -> Episode:
    """One's question and all that comes with it, with the answer of the same or another one."""
    answer = {k: v for k, v in (answered.fields or {}).items() if k in _OF_THE_ANSWER}
    question = context_of(asked)
    return [{**question, **answer, "labels": [answered.label]}]


def as_episodes(found: Sequence[Example]) -> list[Episode]:
    """Each example as a conversation of its own, with all that was said before it."""
    return [_answering(example, example) for example in found]


def context_of(example: Example) -> dict[str, Any]:
    """What an example asks, as one message with all that was said before, without its answer."""
    fields = {k: v for k, v in (example.fields or {}).items() if k not in _OF_THE_ANSWER}
    return {**fields, "text": example.context}


def without(opt: Opt, data: Data, contexts: set[str], folder: str) -> Data:
    """
    A task without the turns of some contexts: what an update contradicts is not to be replayed.
    """
    parts = {}
    for split in SPLITS:
        kept = []
        for episode in read(opt, data.task, "train:evalmode" if split == "train" else split):
            named = list(zip(episode, examples([episode])))
            turns = [turn for turn, e in named if normal(e.context) not in contexts]
            # with a turn missing the others would have another history
            if len(turns) == len(episode):
                kept.append(episode)
        parts[split] = kept
    return write(f"{data.name} without what is put right", parts, folder)


def _own(opt: Opt, task: str, split: str, known: set[tuple[str, str]]) -> list[Episode]:
    """A task's own held-out episodes; none where it has none that training does not hold."""
    try:
        found = read(opt, task, split)
    except Exception:
        # no such split: a file is missing, or empty
        return []
    new = any(example.key not in known for example in examples(found))
    return found if new else []


def _split(
    parts: dict[str, list[Episode]], seed: int, where: str, fewest: int
) -> dict[str, list[Episode]]:
    """
    Hold out what is missing, of the training data, by what was asked: a task that grows moves
    nothing from there into training, and near-duplicates stay on one side.
    """
    asked = ["\n".join(map(_text, episode)) for episode in parts["train"]]
    different = len(_distinct(parts["train"]))
    if different < _FEWEST:
        raise DataError(
            f"{where} has {different} different conversations: expected {_FEWEST} or more, as a "
            "part is held out to judge the update by"
        )
    taken: dict[str, list[Episode]] = {split: [] for split in SPLITS}
    for episode, split in zip(parts["train"], splits_of(asked)):
        taken["train" if parts.get(split) and split != "train" else split].append(episode)
    if not parts.get("test") and len(_distinct(taken["test"])) < fewest:
        _hold_more_out(taken, fewest)
    random.Random(seed).shuffle(taken["train"])
    return {
        split: parts[split] if split != "train" and parts[split] else taken[split]
        for split in SPLITS
    }


def _hold_more_out(taken: dict[str, list[Episode]], fewest: int) -> None:
    """Until so many conversations are; always the same ones of the same data."""
    groups = _distinct(taken["train"])
    ordered = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    moved = ordered[: fewest - len(_distinct(taken["test"]))]
    taken["test"] += [episode for name in moved for episode in groups[name]]
    taken["train"] = [e for name in groups if name not in moved for e in groups[name]]
