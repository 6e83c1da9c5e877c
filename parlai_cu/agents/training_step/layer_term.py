"""Hidden states and attention of student and teacher (``--distill-hidden-weight``)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from parlai.core.metrics import AverageMetric

from parlai_cu.agents.distill_student.layers import LayerMatching
from parlai_cu.agents.training_step.result import FORWARD, LossTerm, StepResult
from parlai_cu.parlai_types import Batch


class LayerTerm(LossTerm):
    """
    The errors between matched layers, on the examples that follow the first teacher.

    Stands after the soft labels, for which that teacher reads the batch.

    :param matching: records the layers of both
    :param follows: see :class:`~.soft_label_term.SoftLabelTerm`
    :param hidden_weight: of the hidden states
    :param attention_weight: of the attention
    """

    name = "--distill-hidden-weight"
    weight = 1.0
    needs = FORWARD

    def __init__(
        self,
        matching: LayerMatching,
        follows: Callable[[Any], Sequence[int | None]],
        hidden_weight: float,
        attention_weight: float,
    ) -> None:
        self.matching, self._follows = matching, follows
        self._weights = hidden_weight, attention_weight

    def start(self) -> None:
        """Record what the layers give from now on."""
        self.matching.record(True)

    def stop(self) -> None:
        """Let go of it."""
        self.matching.record(False)

    def __call__(self, result: StepResult, batch: Batch) -> torch.Tensor:
        """
        :param result: of the student's forward pass
        :param batch: with observations
        :return: FloatTensor[1], or of length 0 where no example follows the teacher
        """
        mask = result.mask.view(batch.batchsize, -1)
        which = [i for i, number in enumerate(self._follows(batch)) if number == 0]
        if not which:
            return mask.new_zeros(0, dtype=torch.float)
        chosen = torch.tensor(which, device=mask.device)
        hidden, attention = self.matching.losses(chosen, mask[chosen])
        result.metrics["distill_hidden"] = AverageMetric(hidden.item())
        result.metrics["distill_attention"] = AverageMetric(attention.item())
        return (self._weights[0] * hidden + self._weights[1] * attention).reshape(1)
