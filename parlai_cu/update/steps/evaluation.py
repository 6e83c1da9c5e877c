"""What a model says to a task's examples, and each metric example by example."""

import contextlib
import functools
import itertools
import os
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.teachers import ChunkTeacher, FixedDialogTeacher
from parlai.core.worlds import create_task
from tqdm import tqdm

from parlai_cu.agents import kinds, scoring
from parlai_cu.agents.episodes import with_defaults
from parlai_cu.errors import DataError, UsageError
from parlai_cu.parlai_types import Act, ModelAgent, World
from parlai_cu.retention.paired import Sums
from parlai_cu.selection.scores import SCORES
from parlai_cu.update.conversations import conversation_ids, part_of
from parlai_cu.update.diagnosis import Replied
from parlai_cu.update.step_cache import Step, StepCache
from parlai_cu.update.steps.data import Data, examples
from parlai_cu.update.wording import Example

# of examples
Keys = Collection[tuple[str, str]]

_BATCH = 32
MOST_LATENCIES = 20
# metrics that say nothing of skill
_COUNTS = {"exs", "clen", "llen", "ctrunc", "ltrunc", "ctpb", "ltpb", "gen_n_toks", "ctps", "ltps"}


@dataclass
class Measured:
    """
    One example: what was said, and what each metric adds up to for it.

    :param example: what was said, and the right answer
    :param reply: the model's; empty where none was written
    :param sums: metric -> [total, count]
    :param conversation: id of the one that it is of
    :param part: of its task that it belongs to, as the task says: its intent, service or domain
    """

    example: Example
    reply: str
    sums: dict[str, list[float]] = field(default_factory=dict)
    conversation: str = ""
    part: str = ""

    def without(self) -> "Measured":
        """The example without an answer."""
        return Measured(self.example, "", {}, self.conversation, self.part)

    @property
    def replied(self) -> Replied:
        """As the diagnosis wants it; the loss of a generator is of its tokens."""
        loss = self.sums.get("loss") or self.sums.get("mean_loss") or [0.0, 0.0]
        return Replied(self.example, self.reply or None, *loss)


@dataclass(frozen=True)
class ModelTraits:
    """
    What the steps need to know of a model.

    :param generates: it writes its replies, rather than to choose them
    :param has_knowledge: it answers with a knowledge base
    :param width: numbers that stand for one token (elements of its hidden states)
    :param size: bytes of all parameters and buffers
    :param has_soft_labels: it scores tokens, candidates or classes, which can be learnt from
    """

    generates: bool
    has_knowledge: bool
    width: int
    size: int
    has_soft_labels: bool = True


ANSWERS: Step[list[Measured]] = Step("answers", list[Measured], format=2)
TRAITS: Step[ModelTraits] = Step("traits", ModelTraits)


class EvaluatedModel:
    """
    A model that is measured; it is loaded only where something is not remembered.

    :param opt: of the command: where data lies, which device
    :param model_file: of a ParlAI model
    :param content: fingerprint of it, and of the state of a knowledge base that it asks
    :param cache: of what was measured
    :param kb: another knowledge base than it names
    """

    def __init__(
        self, opt: Opt, model_file: str, content: str, cache: StepCache, kb: str | None = None
    ) -> None:
        self.opt, self.model_file, self.content, self.cache = opt, model_file, content, cache
        self.kb = kb

    @functools.cached_property
    def agent(self) -> Any:
        """The model, loaded."""
        overrides = {
            name: self.opt[name]
            for name in ("datapath", "no_cuda", "gpu")
            if self.opt.get(name) is not None
        }
        overrides.update(datatype="valid", interactive_mode=False, batchsize=_BATCH)
        kb = self.kb
        if kb is None and self.model_file.startswith(self.cache.folder + os.sep):
            # made here of the version in service: what that asks is the service's own
            kb = Opt.load(f"{self.model_file}.opt").get("kb")
        overrides.update({"kb": kb} if kb else {})
        agent = create_agent_from_model_file(self.model_file, overrides)
        _want_replies(agent, False)
        return agent

    @functools.cached_property
    def traits(self) -> ModelTraits:
        """What the steps need to know of it."""
        return self.cache.get(TRAITS, {"model": self.content}, lambda _: _traits(self.agent))

    @property
    def generates(self) -> bool:
        """Whether it writes its replies, rather than to choose them."""
        return self.traits.generates

    def measure(self, data: Data, split: str, limit: int, replies: bool = True) -> list[Measured]:
        """
        Answer a task's examples, whole conversations drawn at random.

        :param data: the task
        :param split: of it; of the test those examples count that training does not hold
        :param limit: about how many examples; all of fewer
        :param replies: generators: also write replies, which takes most of the time
        """
        inputs = {
            "model": self.content,
            "data": data.fingerprint if split == "test" else data.content[split],
            "task": data.task,
            "examples": limit,
            "replies": replies or not self.generates,
        }
        datatype = "train:evalmode" if split == "train" else split

        def answer(_: str) -> list[Measured]:
            among = {e.key for e in data.examples["test"]} if split == "test" else None
            return self._answer(data.task, datatype, limit, replies, among)

        return self.cache.get(ANSWERS, inputs, answer)

    def _answer(
        self, task: str, datatype: str, limit: int, replies: bool, among: Keys | None
    ) -> list[Measured]:
        _want_replies(self.agent, replies)
        options = with_defaults(Opt({**self.opt, **self.agent.opt}), task)
        options.update(task=task, datatype=datatype, batchsize=_BATCH, dynamic_batching=None)
        options["datapath"] = self.opt["datapath"]
        world = create_task(options, self.agent)
        most = draw_conversations(world, limit, among)
        size = min(limit, world.num_examples() or limit)
        with watching() as found, tqdm(total=size, unit=" examples", delay=2.0, leave=False) as bar:
            while not world.epoch_done() and len(found) < most:
                world.parley()
                bar.update(min(len(found), size) - bar.n)
        world.reset()
        self.agent.reset()
        return [m for m in found if among is None or m.example.key in among]

    def reply_seconds(self, context: str, candidates: Sequence[str]) -> float:
        """
        How long a reply takes: on a processor by its own clock, which stands still while others
        have it.

        :param context: what is said
        :param candidates: replies that a ranker may choose from
        """
        said: dict[str, Any] = {"id": "user", "text": context, "episode_done": True}
        if not self.generates:
            said["label_candidates"] = list(candidates)
        _want_replies(self.agent, True)
        self.agent.reset()
        on_processor = next(self.agent.model.parameters()).device.type == "cpu"
        clock = time.process_time if on_processor else time.monotonic
        started = clock()
        self.agent.observe(said)
        self.agent.act()
        return clock() - started

    def gradient_cosine(self, update: str, old: str, examples: int) -> float | None:
        """
        Between the gradients of two tasks, of all parameters as one vector; below 0 they undo
        each other.

        :param update: one task
        :param old: the other
        :param examples: of each task
        :return: None for a model whose loss on an example is unknown
        """
        try:
            found = scoring.score_agent(self.agent, self.opt, update, old, examples)
        except (UsageError, DataError):
            return None
        return SCORES["cosine"][0](found.whole())

    def embed(self) -> Callable[[Sequence[str]], np.ndarray] | None:
        """
        Gives texts the mean of its encoder's states, float[texts, width]; None without an encoder.
        """
        encoder = getattr(self.agent.model, "encoder", None)
        if not self.generates or encoder is None:
            return None

        def embedded(texts: Sequence[str]) -> np.ndarray:
            return np.concatenate(
                [
                    _states(self.agent, encoder, texts[i : i + _BATCH])
                    for i in range(0, len(texts), _BATCH)
                ]
            )

        try:
            embedded(["a word", "two words"])
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return None  # an encoder that wants more than tokens
        return embedded


def side_by_side(
    one: EvaluatedModel, other: EvaluatedModel, contexts: Sequence[str], candidates: Sequence[str]
) -> list[list[float]]:
    """
    Seconds of both models' replies, pair by pair, in alternation.

    :param one: a model
    :param other: a second one
    :param contexts: what is said to both; again from the beginning where they are few
    :param candidates: replies that rankers may choose from
    """
    offered = list(candidates)[:MOST_LATENCIES]
    found: list[list[float]] = [[], []]
    chosen = (
        list(itertools.islice(itertools.cycle(contexts), MOST_LATENCIES + 1)) if contexts else []
    )
    for i, context in enumerate(chosen):
        # who is first changes
        for which in (0, 1) if i % 2 else (1, 0):
            found[which].append((one, other)[which].reply_seconds(context, offered))
    # the first reply of a model also makes ready what later ones use
    return [times[1:] for times in found]


def sums(measured: Sequence[Measured], metric: str) -> Sums:
    """A metric of some examples, ready to be paired."""
    pairs = np.array([m.sums.get(metric, [0.0, 0.0]) for m in measured], dtype=float)
    pairs = pairs.reshape(-1, 2)
    ids = [m.conversation for m in measured]
    return Sums(pairs[:, 0], pairs[:, 1], np.array(ids) if all(ids) else None)


def metrics_of(measured: Sequence[Measured]) -> list[str]:
    """The metrics that can be compared."""
    names = {name for m in measured for name in m.sums}
    return sorted(name for name in names - _COUNTS if not name.startswith("gpu"))


def _traits(agent: ModelAgent) -> ModelTraits:
    tensors = {t.data_ptr(): t for t in agent.model.state_dict().values()}
    return ModelTraits(
        generates=kinds.kind_of(agent) == "generator",
        has_knowledge=bool(agent.opt.get("kb")),
        width=_width(agent.opt),
        size=sum(t.numel() * t.element_size() for t in tensors.values()),
        has_soft_labels=kinds.kind_of(agent) is not None,
    )


def _width(opt: Mapping[str, Any]) -> int:
    for name in ("embedding_size", "embeddingsize", "hiddensize"):
        if (opt.get(name) or 0) > 0:
            return int(opt[name])
    return 1024


def _want_replies(agent: ModelAgent, wanted: bool) -> None:
    """Whether replies are wanted of a generator while it is measured."""
    if kinds.kind_of(agent) == "generator":
        agent.skip_generation = not wanted
        agent.opt["skip_generation"] = not wanted


def _states(agent: ModelAgent, encoder: torch.nn.Module, texts: Sequence[str]) -> np.ndarray:
    tokens = [agent.dict.txt2vec(text)[: agent.text_truncate or 128] or [0] for text in texts]
    longest = max(map(len, tokens))
    padded = torch.full((len(tokens), longest), agent.NULL_IDX, dtype=torch.long)
    for i, row in enumerate(tokens):
        padded[i, : len(row)] = torch.tensor(row)
    device = next(agent.model.parameters()).device
    agent.model.eval()  # without dropout the same text has the same vector
    with torch.no_grad():
        states = encoder(padded.to(device))[0].float()
    mask = padded.ne(agent.NULL_IDX).unsqueeze(-1).to(device)
    means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    return np.asarray(means.cpu().numpy())


@contextlib.contextmanager
def watching() -> Iterator[list[Measured]]:
    """Every example that a teacher gets an answer to, with its conversation."""
    found: list[Measured] = []
    said: dict[int, list[str]] = {}
    numbers = itertools.count()
    episode: dict[int, int] = {}
    episodes: list[int] = []
    messages: list[dict[str, Any]] = []
    stock = FixedDialogTeacher.observe

    def observe(teacher: Any, observation: Act) -> Any:
        act = getattr(teacher, "last_act", None)
        judged = getattr(teacher, "lastY", None)
        seen = stock(teacher, observation)
        if act is None or not judged:
            return seen
        history = said.setdefault(id(teacher), [])
        example = Example(str(act.get("text") or ""), str(judged[0]), tuple(history))
        history += [example.text, example.label]
        episodes.append(episode.setdefault(id(teacher), next(numbers)))
        messages.append(dict(act))
        if act.get("episode_done"):
            said[id(teacher)] = []
            del episode[id(teacher)]
        found.append(
            Measured(
                example,
                str(observation.get("text") or ""),
                {
                    name: [float(value._numer), float(value._denom)]
                    for name, value in teacher.metrics.report_recent().items()
                    if isinstance(value, AverageMetric)
                },
                part=part_of(act),
            )
        )
        return seen

    with mock.patch.object(FixedDialogTeacher, "observe", observe):
        yield found
    ids = conversation_ids([one.example for one in found], episodes, messages)
    for one, conversation in zip(found, ids):
        one.conversation = conversation


def draw_conversations(world: World, limit: int, among: Keys | None = None) -> float:
    """
    Let a world have a random sample of its task's conversations, each of them whole.

    What a task serves as a stream is taken from its beginning.

    :param world: with a task, or several
    :param limit: about how many examples, of all tasks
    :param among: keys of the examples that count
    :return: how many examples to stop at
    """
    if among is None and (world.num_examples() or 0) <= limit:
        return float("inf")
    teachers = list(_teachers(world))
    if not all(_has_places(teacher) for teacher in teachers):
        return limit
    # those of a batch serve the same
    tasks = {_served(teacher): teacher for teacher in teachers}
    drawn = {name: _drawn(t, limit // len(tasks), among) for name, t in tasks.items()}
    for teacher in teachers:
        places = drawn[_served(teacher)]
        stock = teacher.get
        teacher.get = lambda i, entry=0, stock=stock, places=places: stock(places[i], entry)
        teacher.num_episodes = lambda places=places: len(places)
    return float("inf")


def _served(teacher: Any) -> tuple[Any, ...]:
    """What a teacher has: the same for all of a batch."""
    return teacher.opt.get("task"), teacher.id, teacher.num_episodes()


def _drawn(teacher: Any, limit: int, among: Keys | None) -> list[int]:
    """Numbers of episodes, in random order, until there are as many examples; one at least."""
    numbers = list(range(teacher.num_episodes()))
    random.Random(0).shuffle(numbers)
    found: list[int] = []
    size = 0
    for number in numbers:
        turns = examples([_episode(teacher, number)])
        counted = len(turns) if among is None else sum(e.key in among for e in turns)
        if counted:
            found.append(number)
            size += counted
        if size >= limit:
            break
    return found or numbers[:1]


def _episode(teacher: Any, number: int) -> list[dict[str, Any]]:
    """What is said in an episode and answered, from beginning to end."""
    turns = []
    for entry in itertools.count():
        act = teacher.get(number, entry)
        labels = act.get("labels") or act.get("eval_labels")
        if labels and act.get("text") is not None:
            turns.append({**act, "labels": list(labels)})
        if act.get("episode_done"):
            return turns
    return turns


def _teachers(world: World) -> Iterator[Any]:
    """Every teacher of a world: each of a batch has one of its own."""
    inner = getattr(world, "worlds", None)
    if inner:
        for one in inner:
            yield from _teachers(one)
    else:
        yield world.get_agents()[0]


def _has_places(teacher: object) -> bool:
    """Whether its conversations can be had in any order."""
    stream = getattr(teacher, "stream", False) or isinstance(teacher, ChunkTeacher)
    return isinstance(teacher, FixedDialogTeacher) and not stream
