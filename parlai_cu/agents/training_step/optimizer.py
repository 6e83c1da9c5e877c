"""The optimizer of an agent in training, whoever calls it."""

import types
from typing import Any

import torch

from parlai_cu.parlai_types import ModelAgent


def settle_before_steps(agent: ModelAgent) -> None:
    """
    Complete the gradients before each step of an agent's optimizer.

    :param agent: with its optimizer; its ``step`` is the training step under way, if there is one
    """
    optimizer = getattr(agent, "optimizer", None)
    if optimizer is None:
        return
    stock = optimizer.step

    def step(_: object, *args: Any, **kwargs: Any) -> Any:
        if agent.step is not None:
            agent.step.settle()
        return stock(*args, **kwargs)

    # bound, as ParlAI's learning rate schedulers expect a method to be
    optimizer.step = types.MethodType(step, optimizer)


def parameter_versions(model: torch.nn.Module) -> list[tuple[int, int]]:
    """By what it shows that a parameter of the ``model`` that learns was written."""
    return [(p.data_ptr(), p._version) for p in model.parameters() if p.requires_grad]
