"""A penalty on the weights that learn (``--penalty l2sp``, ``ewc``), as a term of the loss."""

from collections.abc import Callable

import torch
from parlai.core.metrics import AverageMetric

from parlai_cu.agents.training_step.result import PARAMETERS, LossTerm, StepResult
from parlai_cu.parlai_types import Batch
from parlai_cu.retention.base import Penalty


class ParameterTerm(LossTerm):
    """
    How far the weights are from where they started.

    :param name: the flag that asked for it
    :param penalty: see :class:`~parlai_cu.retention.base.Penalty`
    :param model: gives the bare model
    :param weight: what it is multiplied by
    """

    needs = PARAMETERS

    def __init__(
        self, name: str, penalty: Penalty, model: Callable[[], torch.nn.Module], weight: float
    ) -> None:
        self.name, self.weight = name, weight
        self._penalty, self._model = penalty, model

    def __call__(self, result: StepResult, batch: Batch) -> torch.Tensor:
        """
        :param result: its metrics get the penalty
        :param batch: has no say
        :return: FloatTensor[1]
        """
        value = self._penalty(self._model())
        result.metrics["penalty"] = AverageMetric(value.item())
        return value.reshape(1)
