"""The suite of a directory of versions as a retained task, and what an update adds to it."""

import dataclasses
from collections.abc import Sequence

from parlai.core.opt import Opt

from parlai_cu import messages
from parlai_cu.agents.episodes import Episode
from parlai_cu.data.base import SPLITS
from parlai_cu.retention.sampling import stratified_sample
from parlai_cu.update.editing import same_fact
from parlai_cu.update.steps.data import Data, examples, read, write
from parlai_cu.update.wording import normal
from parlai_cu.versions.suite import PART_SIZE, Suite, SuitePart, shares

NAME = "suite"
# the part that a conversation is of
SLICE = "slice"
# fields that say what a conversation is about
_STRATA = (SLICE, "intent", "service", "domain")


def as_task(
    suite: Suite, parts: Sequence[SuitePart], update: Data, folder: str, seed: int
) -> Data | None:
    """
    The parts as one retained task, each a slice of it.

    What the update answers otherwise is left out, as it is to change, and of the test what the
    update holds as well.

    :param suite: of the directory
    :param parts: of it
    :param update: the update's data
    :param folder: where files go
    :param seed: of what is drawn where there is more than it may hold
    :return: None where there is nothing to test
    """
    found: dict[str, list[Episode]] = {split: [] for split in SPLITS}
    held = [suite.read(part) for part in parts]
    changed = {normal(e.context): normal(e.label) for e in update.examples["train"]}
    trained = {e.key for e in update.examples["train"]}
    for split in SPLITS:
        of_parts: list[list[Episode]] = []
        # of a file that grows, what earlier updates held of it is in several parts
        known: set[tuple] = set()
        for lines in held:
            of_parts.append([])
            for one in lines.get(split, []):
                episode = [messages.loads(line) for line in one]
                key = tuple(e.key for e in examples([episode]))
                if key not in known and not _changes(episode, changed, update):
                    of_parts[-1].append(episode)
                known.add(key)
        counts = [sum(map(len, episodes)) for episodes in of_parts]
        for part, episodes, most in zip(parts, of_parts, shares(counts, suite.size)):
            # marked after the draw, which goes by what their own fields say
            found[split] += [_of(part, episode) for episode in sample(episodes, most, seed)]
    found["test"] = [e for e in found["test"] if not any(x.key in trained for x in examples([e]))]
    return write(NAME, found, folder) if found["test"] else None


def _of(part: SuitePart, episode: Episode) -> Episode:
    return [{**turn, SLICE: part.name} for turn in episode]


def _changes(episode: Episode, changed: dict[str, str], update: Data) -> bool:
    """Whether the update answers a turn of a conversation otherwise."""
    for example in examples([episode]):
        answer = changed.get(normal(example.context))
        if answer is not None and answer != normal(example.label):
            return True
        if update.small and any(
            same_fact(example, e) and normal(e.label) != normal(example.label)
            for e in update.examples["train"]
        ):
            return True
    return False


def sample(episodes: Sequence[Episode], most: int, seed: int) -> list[Episode]:
    """
    Whole conversations, of all that they are about.

    :param episodes: conversations
    :param most: how many examples at most
    :param seed: of the draw
    """
    sizes = [len(episode) for episode in episodes]
    if sum(sizes) <= most:
        return list(episodes)
    if most < 1:
        return []
    strata = [next((str(e[0][name]) for name in _STRATA if name in e[0]), "") for e in episodes]
    return [episodes[i] for i in stratified_sample(strata, most, seed, sizes)]


def stored(suite: Suite, opt: Opt, data: Data, seed: int) -> SuitePart:
    """
    Store a sample of a task among the parts.

    :param suite: of the directory
    :param opt: of the command
    :param data: the task
    :param seed: of the draw
    """
    lines = {}
    for split in SPLITS:
        episodes = read(opt, data.task, "train:evalmode" if split == "train" else split)
        drawn = sample(episodes, PART_SIZE[split], seed)
        lines[split] = [messages.lines([episode], {}) for episode in drawn]
    return suite.add(data.name, lines)


def without_named(parts: Sequence[SuitePart], named: Sequence[Data]) -> list[SuitePart]:
    """The parts but for those of tasks that are named again."""
    return [part for part in parts if part.name not in {data.name for data in named}]


def recorded(parts: Sequence[SuitePart]) -> list[dict]:
    """As the record of a version holds them."""
    return [dataclasses.asdict(part) for part in parts]
