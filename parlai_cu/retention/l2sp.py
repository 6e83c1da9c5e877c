"""L2-SP: stay near the starting point."""

import torch
from torch import nn

from parlai_cu.retention.base import WEIGHTS, learning_parameters


class L2SP:
    r"""
    :math:`\frac{1}{2} \|\theta - \theta_0\|^2` over the parameters that learn.

    Li et al. 2018 (https://arxiv.org/abs/1802.01483), equation 2; there is no new part here.

    :param model: at its starting point
    """

    needs = WEIGHTS

    def __init__(self, model: nn.Module) -> None:
        self._start = {
            name: p.detach().clone().float() for name, p in learning_parameters(model).items()
        }

    def __call__(self, model: nn.Module) -> torch.Tensor:
        """
        :return: scalar
        """
        terms = [
            (p.float() - self._start[name]).pow(2).sum()
            for name, p in learning_parameters(model).items()
        ]
        return 0.5 * torch.stack(terms).sum()
