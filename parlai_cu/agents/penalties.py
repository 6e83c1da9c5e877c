"""``--penalty``: made once for a run, stored beside the candidate, added to every loss."""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import parlai.utils.logging as logging
import torch

from parlai_cu import checkpoints, files, named, plugin
from parlai_cu.agents import episodes, example_losses, kinds, replay
from parlai_cu.errors import ModelFileError
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.retention.base import FISHER, Penalty, learning_parameters
from parlai_cu.retention.ewc import fisher_information
from parlai_cu.selection.gradients import Loss

# old examples from which the Fisher information is estimated
FISHER_EXAMPLES = 200


def kind_of_penalty(name: str) -> Any:
    """The class that a ``name`` of ``--penalty`` stands for."""
    return named.load(plugin.PENALTIES[name], "--penalty")


def make_penalty(agent: ModelAgent, model: torch.nn.Module) -> Penalty:
    """
    The penalty that ``--penalty`` names, from the point where the run began.

    The starting point and the Fisher information are stored in ``MODEL_FILE.penalty``, so that a
    run that is resumed is held to the same.

    :param agent: in training
    :param model: its bare model
    :raises ModelFileError: when the stored one is of another selection
    """
    name = agent.own["penalty"]
    kind = kind_of_penalty(name)
    path = f"{agent.own['model_file']}.penalty" if agent.own.get("model_file") else None
    stored = _load(path)
    if stored is None:
        stored = {
            "penalty": name,
            "start": {n: p.detach().clone() for n, p in learning_parameters(model).items()},
            "fisher": _fisher(agent, model) if kind.needs == FISHER else {},
        }
        _store(path, stored)
    now = {n: p.detach().clone() for n, p in learning_parameters(model).items()}
    if stored["penalty"] != name or set(stored["start"]) != set(now):
        raise ModelFileError(
            f"{path} is of --penalty {stored['penalty']} over {len(stored['start'])} tensors, this "
            f"command asks for {name} over {len(now)}; repeat those flags, or choose another -mf"
        )
    extra = [stored["fisher"]] if kind.needs == FISHER else []
    _put(model, stored["start"])
    try:
        penalty: Penalty = kind(model, *extra)
    finally:
        _put(model, now)
    return penalty


def _put(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in learning_parameters(model).items():
            parameter.copy_(values[name])


def _fisher(agent: ModelAgent, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    # the batch in training has recorded its metrics already
    metrics = dict(agent._local_metrics)
    logging.info(f"Fisher information of {FISHER_EXAMPLES} old examples at most")
    try:
        return fisher_information(model, _losses(agent))
    finally:
        agent._local_metrics.clear()
        agent._local_metrics.update(metrics)


def _losses(agent: ModelAgent) -> Iterator[Loss]:
    """A function for each old example, or each batch where rankers need others as candidates."""
    path = replay.sample_file(agent.own)
    assert path is not None
    size = agent.own["batchsize"] if kinds.kind_of(agent) == "ranker" else 1
    old = episodes.read(agent.own, replay.task_of(path))
    turns = itertools.islice(example_losses.observed(agent, old), FISHER_EXAMPLES)
    return example_losses.losses(agent, turns, size)


def _load(path: str | None) -> dict[str, Any] | None:
    if path is None or not os.path.isfile(path):
        return None
    try:
        return checkpoints.load(path)
    except ModelFileError as error:
        raise ModelFileError(f"{error}, or choose another -mf") from error


def _store(path: str | None, stored: dict[str, Any]) -> None:
    if path is None:
        return
    with files.whole(path) as aside:
        torch.save(stored, aside)
