"""The loss that an agent's own training step learns from, whatever it does to compute it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from parlai.core.metrics import Metrics

from parlai_cu.parlai_types import Batch, ModelAgent


class _Loss(BaseException):
    """Carries the loss out of a training step; no handler of the agent's is to stop it."""

    def __init__(self, loss: torch.Tensor) -> None:
        super().__init__()
        self.loss = loss


class _NoOptimizer:
    """For agents that were loaded to be read: their training step may clear gradients."""

    def zero_grad(self, *_: Any, **__: Any) -> None:
        """There are none."""


def own_loss(agent: ModelAgent, batch: Batch, train: bool) -> torch.Tensor | None:
    """
    The loss of a batch: a scalar, differentiable; nothing is updated and no metric recorded.

    :param agent: of any kind
    :param batch: on its device
    :param train: whether the model runs as in training, with dropout, or as in service
    :return: scalar; None where the agent takes no step on this batch
    """
    base: Any = getattr(agent, "base_class", None) or type(agent)
    with _without_effects(agent, train):
        try:
            base.train_step(agent, batch)
        except _Loss as found:
            return found.loss
    return None


@contextlib.contextmanager
def without_metrics(agent: ModelAgent) -> Iterator[None]:
    """Within, nothing that an agent records counts."""
    local, shared = dict(agent._local_metrics), agent.global_metrics
    agent.global_metrics = Metrics()
    agent._local_metrics.clear()
    try:
        yield
    finally:
        agent.global_metrics = shared
        agent._local_metrics.clear()
        agent._local_metrics.update(local)


@contextlib.contextmanager
def _without_effects(agent: ModelAgent, train: bool) -> Iterator[None]:
    def carry_out(loss: torch.Tensor, *_: Any, **__: Any) -> None:
        raise _Loss(loss)

    stock, was_training = torch.Tensor.backward, agent.model.training
    has_optimizer = hasattr(agent, "optimizer")
    if not has_optimizer:
        agent.optimizer = _NoOptimizer()
    agent.backward = carry_out
    torch.Tensor.backward = carry_out  # type: ignore[assignment,method-assign]
    if not train:
        agent.model.eval()
        agent.model.train = lambda mode=True: agent.model
    try:
        with without_metrics(agent):
            yield
    finally:
        torch.Tensor.backward = stock  # type: ignore[method-assign]
        del agent.backward
        if not train:
            del agent.model.train
        if not has_optimizer:
            del agent.optimizer
        agent.model.train(was_training)
