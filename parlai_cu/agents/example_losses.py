"""The loss of examples one by one, of any agent."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from parlai.core.opt import Opt
from parlai.core.torch_classifier_agent import TorchClassifierAgent
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from parlai.core.torch_ranker_agent import TorchRankerAgent

from parlai_cu.agents import episodes as task_episodes
from parlai_cu.agents import kinds
from parlai_cu.agents.episodes import Episode
from parlai_cu.agents.training_step.own_loss import own_loss
from parlai_cu.errors import DataError
from parlai_cu.parlai_types import Batch, ModelAgent
from parlai_cu.selection.gradients import Loss

# examples that a sample is drawn from, at most: a task may be endless
MOST_READ = 50_000
# of a ranker whose candidates are the other replies of the batch
_CANDIDATES = 16


def draw_size(agent: ModelAgent) -> int:
    """
    How many examples have a loss together.

    One; of a ranker that tells each reply from the others of its batch, 16.
    """
    if kinds.kind_of(agent) != "ranker":
        return 1
    return _CANDIDATES if str(agent.candidates).startswith("batch") else 1


def sampled_losses(agent: ModelAgent, task: str, opt: Opt, count: int, seed: int) -> Iterator[Loss]:
    """
    The losses of examples drawn from a task's training data, from a seed.

    Turns are drawn from as many different dialogues as there are.

    :param agent: loaded
    :param task: as for ``-t``, several with commas
    :param opt: the options of its teachers
    :param count: how many examples
    :param seed: of the drawing
    :raises DataError: when the task has none
    """
    episodes = _sample(task, opt, count, seed)
    chosen = _choose(episodes, count, seed)
    turns = (turn for i, turn in enumerate(observed(agent, episodes)) if i in chosen)
    yield from losses(agent, turns, draw_size(agent))


def observed(agent: ModelAgent, episodes: Iterable[Episode]) -> Iterator[Any]:
    """What ``agent`` makes of each turn, with the dialogue before it."""
    for episode in episodes:
        clone = agent.clone()
        for i, turn in enumerate(episode):
            done = i == len(episode) - 1
            yield clone.observe({"id": "old", **turn, "episode_done": done})
            clone.self_observe({"text": turn["labels"][0]})


def losses(agent: ModelAgent, observations: Iterable[Any], size: int) -> Iterator[Loss]:
    """
    A function for each ``size`` observations, that gives the loss of their labels.

    :param agent: whose loss it is
    :param observations: with labels
    :param size: examples a loss, see :func:`draw_size`; the last group may be smaller
    """
    group: list[Any] = []
    groups = 0
    for observation in observations:
        group.append(observation)
        if len(group) == size:
            yield from _loss_of(agent, group)
            group, groups = [], groups + 1
    # a reply among one candidate is no example
    if group and (groups == 0 or size == 1 or len(group) > size // 2):
        yield from _loss_of(agent, group)


def _loss_of(agent: ModelAgent, observations: list[Any]) -> Iterator[Loss]:
    batch = agent.batchify(observations)
    if batch.valid_indices is None or not len(batch.valid_indices):
        return
    if agent.use_cuda:
        batch = batch.to(0 if agent.opt["gpu"] == -1 else agent.opt["gpu"])
    yield lambda: loss(agent, batch)


def loss(agent: Any, batch: Batch) -> torch.Tensor:
    """
    What the base trains on, of a batch's labels: a scalar, in ParlAI's own kinds summed.
    """
    step = (getattr(agent, "base_class", None) or type(agent)).train_step
    if step is TorchGeneratorAgent.train_step:
        agent._local_metrics.clear()
        # of the whole reply: compute_loss gives the mean over its tokens
        value: torch.Tensor = agent.compute_loss(batch)
        return value * batch.label_vec.ne(agent.NULL_IDX).sum()
    if step is TorchClassifierAgent.train_step:
        return agent.criterion(agent.score(batch), agent._get_labels(batch)).sum()
    if step is TorchRankerAgent.train_step:
        _, vectors, labels = agent._build_candidates(batch, source=agent.candidates, mode="train")
        return agent.criterion(agent.score_candidates(batch, vectors), labels).sum()
    found = own_loss(agent, batch, train=False)
    return torch.zeros(()) if found is None else found


def _sample(task: str, opt: Opt, count: int, seed: int) -> list[Episode]:
    """
    Up to ``count`` dialogues, each as likely as any other, in the task's order.

    A reservoir: not more than those are held.
    """
    rng = random.Random(seed)
    kept: list[tuple[int, Episode]] = []
    episodes = (e for one in task.split(",") for e in task_episodes.read(opt, one, most=MOST_READ))
    for number, episode in enumerate(episodes):
        if len(kept) < count:
            kept.append((number, episode))
        else:
            place = rng.randrange(number + 1)
            if place < count:
                kept[place] = (number, episode)
    if not kept:
        raise DataError(f"-t {task}: its training data holds no example with a label")
    return [episode for _, episode in sorted(kept, key=lambda item: item[0])]


def _choose(episodes: list[Episode], count: int, seed: int) -> dict[int, None]:
    """The places, in the dialogues laid end to end, of ``count`` turns, spread over them."""
    rng = random.Random(seed + 1)
    orders, start = [], 0
    for episode in episodes:
        places = list(range(start, start + len(episode)))
        rng.shuffle(places)
        orders.append(places)
        start += len(episode)
    chosen: dict[int, None] = {}
    for i in range(max(map(len, orders))):
        ready = [places[i] for places in orders if i < len(places)]
        rng.shuffle(ready)
        for place in ready[: count - len(chosen)]:
            chosen[place] = None
    return chosen
