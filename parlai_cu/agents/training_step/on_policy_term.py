"""The teacher on replies that the student itself draws (``--distill-on-policy``)."""

from typing import Any

import torch
from parlai.core.torch_agent import Batch

from parlai_cu.agents.batches import examples
from parlai_cu.agents.distill_student.on_policy import sample_replies
from parlai_cu.agents.soft_label_loss import SoftRows
from parlai_cu.agents.training_step.observation import first_scores, result_of
from parlai_cu.agents.training_step.result import FORWARD, StepResult
from parlai_cu.agents.training_step.soft_label_term import SoftLabelTerm
from parlai_cu.parlai_types import ModelAgent


class OnPolicyTerm(SoftLabelTerm):
    """
    Soft labels, in a share of the batches on drawn tokens instead of gold ones.

    Agarwal et al. 2024 (GKD, https://arxiv.org/abs/2306.13649), algorithm 1.

    :param agent: the student, a generator
    :param share: of the batches
    :param rest: of :class:`~.soft_label_term.SoftLabelTerm`
    """

    needs = FORWARD

    def __init__(self, agent: ModelAgent, share: float, **rest: Any) -> None:
        super().__init__(**rest)
        self._agent, self._share = agent, share

    def __call__(self, result: StepResult, batch: Batch) -> torch.Tensor:
        """
        :param result: with scores
        :param batch: with observations
        :return: FloatTensor[rows], the mean loss of each teacher's examples, or as off policy
        """
        if torch.rand(()) >= self._share:
            return super().__call__(result, batch)
        drawn = sample_replies(self._agent, batch)
        follows, means = self.follows(batch), []
        for number, rows in enumerate(self.teachers):
            which = [i for i, teacher in enumerate(follows) if teacher == number]
            if which:
                chosen = torch.tensor(which, device=drawn.device)
                values = self._losses(rows, batch, chosen, drawn)
                means.append(values / max(len(values), 1) * len(which) / batch.batchsize)
        return torch.cat(means) if means else result.mask.new_zeros(0, dtype=torch.float)

    def _losses(
        self, rows: Any, batch: Batch, chosen: torch.Tensor, drawn: torch.Tensor
    ) -> torch.Tensor:
        agent = self._agent
        some = Batch(**{**examples(batch, chosen), "label_vec": drawn[chosen]})
        output = agent.model(*agent._model_input(some), ys=some.label_vec)
        result = result_of(agent, some, first_scores(output))
        everything = torch.arange(len(chosen), device=result.mask.device)
        # what is drawn is in no cache
        return SoftRows.losses(rows, some, everything, result)
