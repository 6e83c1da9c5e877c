"""What a penalty is: a price on leaving the deployed model."""

from typing import Protocol

import torch
from torch import nn

# what a penalty needs beside the weights: nothing; the Fisher information of old data, as second
# argument; or the deployed model's soft labels, which it is then a loss on
WEIGHTS, FISHER, SOFT_LABELS = "weights", "fisher", "soft labels"


class Penalty(Protocol):
    """One file per variant in this package, and one line in ``parlai_cu/plugin.py``."""

    needs: str

    def __call__(self, model: nn.Module) -> torch.Tensor:
        """
        :param model: as it is now
        :return: scalar, 0 where it started, differentiable
        """
        ...


def learning_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
