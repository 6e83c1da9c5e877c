"""Elastic weight consolidation: what old skill depends on is the dearest to move."""

from collections.abc import Iterable

import torch
from torch import nn

from parlai_cu.retention.base import FISHER, learning_parameters
from parlai_cu.selection.gradients import Loss, gradient_moments


def fisher_information(model: nn.Module, losses: Iterable[Loss]) -> dict[str, torch.Tensor]:
    """
    The empirical diagonal Fisher information of the parameters that learn.

    The mean, over examples of the old data, of the squared gradient of the negative
    log-likelihood of the label. Of each example by itself: the square of a batch's mean gradient
    would be smaller by about the batch's size.

    :param model: at its starting point, in evaluation mode
    :param losses: one function an example, that gives the loss of its label
    :return: FloatTensor by parameter name, shapes as the parameters'
    """
    moments = gradient_moments(model, losses, first=False)
    return {name: moments.square(name) for name in moments.parameters}


class EWC:
    r"""
    :math:`\frac{1}{2} \sum_i F_i (\theta_i - \theta_{0,i})^2` over the parameters that learn.

    Kirkpatrick et al. 2017 (https://arxiv.org/abs/1612.00796), equation 3.

    :param model: at its starting point
    :param fisher: see :func:`fisher_information`; shapes as the parameters'
    :raises ValueError: when it is of other parameters
    """

    needs = FISHER

    def __init__(self, model: nn.Module, fisher: dict[str, torch.Tensor]) -> None:
        parameters = learning_parameters(model)
        if {n: p.shape for n, p in parameters.items()} != {n: f.shape for n, f in fisher.items()}:
            raise ValueError("the Fisher information is of other parameters than those that learn")
        self._start = {name: p.detach().clone().float() for name, p in parameters.items()}
        self._fisher = {name: f.to(parameters[name].device) for name, f in fisher.items()}

    def __call__(self, model: nn.Module) -> torch.Tensor:
        """
        :return: scalar
        """
        terms = [
            (self._fisher[name] * (p.float() - self._start[name]).pow(2)).sum()
            for name, p in learning_parameters(model).items()
        ]
        return 0.5 * torch.stack(terms).sum()
