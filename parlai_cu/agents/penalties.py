"""``--penalty``: made once for a run, stored beside the candidate, added to every loss."""

import importlib
import os
from typing import Any, Callable, Dict, Iterator, List, Optional

import parlai.utils.logging as logging
import torch
from parlai.core.torch_classifier_agent import TorchClassifierAgent
from parlai.core.torch_generator_agent import TorchGeneratorAgent

from parlai_cu import plugin
from parlai_cu.agents import model_files, replay
from parlai_cu.errors import ModelFileError
from parlai_cu.retention.base import Penalty, learning_parameters
from parlai_cu.retention.ewc import fisher_information

# old examples from which the Fisher information is estimated
FISHER_EXAMPLES = 200


def make_penalty(agent: Any, model: torch.nn.Module) -> Penalty:
    """
    The penalty that ``--penalty`` names, from the point where the run began.

    The starting point and the Fisher information are stored in ``MODEL_FILE.penalty``, so that a
    run that is resumed is held to the same.

    :param agent: in training
    :param model: its bare model
    :raises ModelFileError: when the stored one is of another selection
    """
    name = agent.opt["penalty"]
    module, attribute = plugin.PENALTIES[name].split(":")
    kind = getattr(importlib.import_module(module), attribute)
    path = f"{agent.opt['model_file']}.penalty" if agent.opt.get("model_file") else None
    stored = _load(path)
    if stored is None:
        stored = {
            "penalty": name,
            "start": {n: p.detach().clone() for n, p in learning_parameters(model).items()},
            "fisher": _fisher(agent, model) if name == "ewc" else {},
        }
        _store(path, stored)
    now = {n: p.detach().clone() for n, p in learning_parameters(model).items()}
    if stored["penalty"] != name or set(stored["start"]) != set(now):
        raise ModelFileError(
            f"{path} is of --penalty {stored['penalty']} over {len(stored['start'])} tensors, this "
            f"command asks for {name} over {len(now)}; repeat those flags, or choose another -mf"
        )
    extra = [stored["fisher"]] if name == "ewc" else []
    _put(model, stored["start"])
    try:
        penalty: Penalty = kind(model, *extra)
    finally:
        _put(model, now)
    return penalty


def _put(model: torch.nn.Module, values: Dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in learning_parameters(model).items():
            parameter.copy_(values[name])


def _fisher(agent: Any, model: torch.nn.Module) -> Dict[str, torch.Tensor]:
    # the batch in training has recorded its metrics already
    was_training, metrics = model.training, dict(agent._local_metrics)
    model.eval()
    logging.info(f"Fisher information of {FISHER_EXAMPLES} old examples at most")
    try:
        return fisher_information(model, _losses(agent))
    finally:
        model.train(was_training)
        agent._local_metrics.clear()
        agent._local_metrics.update(metrics)


def _losses(agent: Any) -> Iterator[Callable[[], torch.Tensor]]:
    """A function for each old example, or each batch where rankers need others as candidates."""
    path = replay.sample_file(agent.opt)
    assert path is not None
    ranks = not isinstance(agent, (TorchGeneratorAgent, TorchClassifierAgent))
    size = agent.opt["batchsize"] if ranks else 1
    episodes = replay.read_episodes(agent.opt, replay.task_of(path))
    seen: List[Any] = []
    count = 0
    for episode in episodes:
        clone = agent.clone()
        for i, turn in enumerate(episode):
            done = i == len(episode) - 1
            seen.append(clone.observe({"id": "old", **turn, "episode_done": done}))
            clone.self_observe({"text": turn["labels"][0]})
            if len(seen) == size:
                batch = agent.batchify(seen)
                if agent.use_cuda:
                    batch = batch.to(0 if agent.opt["gpu"] == -1 else agent.opt["gpu"])
                yield lambda batch=batch: _loss(agent, batch)
                seen = []
                count += size
            if count >= FISHER_EXAMPLES:
                return


def _loss(agent: Any, batch: Any) -> torch.Tensor:
    """The negative log-likelihood of a batch's labels, as the base trains on it."""
    agent._local_metrics.clear()
    if isinstance(agent, TorchGeneratorAgent):
        # of the whole reply: compute_loss gives the mean over its tokens
        return agent.compute_loss(batch) * batch.label_vec.ne(agent.NULL_IDX).sum()
    if isinstance(agent, TorchClassifierAgent):
        return agent.criterion(agent.score(batch), agent._get_labels(batch)).sum()
    _, vectors, labels = agent._build_candidates(batch, source=agent.candidates, mode="train")
    return agent.criterion(agent.score_candidates(batch, vectors), labels).sum()


def _load(path: Optional[str]) -> Optional[Dict[str, Any]]:
    if path is None or not os.path.isfile(path):
        return None
    try:
        stored: Dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return stored
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ModelFileError(f"{path} is damaged ({reason}); choose another -mf") from error


def _store(path: Optional[str], stored: Dict[str, Any]) -> None:
    if path is None:
        return
    with model_files.whole_file(path) as aside:
        torch.save(stored, aside)
