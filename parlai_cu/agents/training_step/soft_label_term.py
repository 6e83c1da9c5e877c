"""Soft labels of the deployed model, or of teachers (``--penalty lwf``, ``distill_student``)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from parlai.core.metrics import AverageMetric

from parlai_cu.agents.batches import rows_of
from parlai_cu.agents.soft_label_loss import SoftRows
from parlai_cu.agents.training_step.result import SCORES, LossTerm, StepResult
from parlai_cu.parlai_types import Batch


class SoftLabelTerm(LossTerm):
    """
    The divergence from the teacher that each example follows.

    :param name: the flag that asked for it
    :param teachers: the loss of each teacher's examples
    :param follows: given a batch, the number of the teacher of each example, None where there is
        none
    :param weight: what it is multiplied by
    :param metric: how it is reported
    :param by_example: whether the metric is of each example, or one of the batch
    """

    needs = SCORES

    def __init__(
        self,
        name: str,
        teachers: Sequence[SoftRows],
        follows: Callable[[Any], Sequence[int | None]],
        weight: float,
        metric: str,
        by_example: bool,
    ) -> None:
        self.name, self.weight, self.teachers, self.follows = name, weight, teachers, follows
        self._metric, self._by_example = metric, by_example

    def __call__(self, result: StepResult, batch: Batch) -> torch.Tensor:
        """
        :param result: with scores
        :param batch: with observations
        :return: FloatTensor[rows that follow a teacher], divided by the rows of the batch
        """
        mask, size = result.mask, batch.batchsize
        length = len(mask) // size
        shares = [mask.new_zeros(0, dtype=torch.float)]
        per_example = torch.zeros(size, device=mask.device)
        follows = self.follows(batch)
        for number, rows in enumerate(self.teachers):
            which = [i for i, teacher in enumerate(follows) if teacher == number]
            if not which:
                continue
            chosen = torch.tensor(which, device=mask.device)
            values = rows.losses(batch, chosen, result)
            shares.append(values / result.count)
            of_chosen = rows_of(chosen, length)
            of_chosen = of_chosen[mask[of_chosen]]
            per_example.index_add_(0, of_chosen // length, values.detach().float())
        total = torch.cat(shares)
        if len(shares) == 1:
            return total
        if self._by_example:
            tokens = mask.view(size, length).sum(dim=1)
            result.metrics[self._metric] = AverageMetric.many(per_example, tokens)
        else:
            result.metrics[self._metric] = AverageMetric(total.detach().sum().item())
        return total
