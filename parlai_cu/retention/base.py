"""What a penalty is: a price on leaving the deployed model."""

from typing import Protocol

import torch
from torch import nn


class Penalty(Protocol):
    """One file per variant in this package, and one line in ``parlai_cu/plugin.py``."""

    def __call__(self, model: nn.Module) -> torch.Tensor:
        """
        :param model: as it is now
        :return: scalar, 0 where it started, differentiable
        """
        ...


def learning_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
