"""Generalised Jensen-Shannon divergence: between the forward and the reverse one."""

import math

import torch

from parlai_cu.distillation.base import check_pair
from parlai_cu.errors import UsageError


class JensenShannon:
    r"""
    :math:`\beta KL(p \| m) + (1 - \beta) KL(q \| m)` with :math:`m = \beta p + (1 - \beta) q`, p
    the teacher's distribution, q the student's.

    Bounded; its gradient goes to that of the forward divergence as beta goes to 0, of the
    reverse one as beta goes to 1 (Agarwal et al. 2024, GKD, https://arxiv.org/abs/2306.13649,
    equation 1).

    :param beta: the teacher's share in the mixture
    :raises UsageError: when it is not between 0 and 1
    """

    def __init__(self, beta: float = 0.5) -> None:
        if not 0.0 < beta < 1.0:
            raise UsageError(
                f"--distill-beta {beta}: expected between 0 and 1, both excluded. Its limits are "
                "--distill-loss forward_kl (0) and reverse_kl (1)"
            )
        self.beta = beta

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """
        :param student: log q, FloatTensor[rows, choices]
        :param teacher: log p, FloatTensor[rows, choices]
        :return: FloatTensor[rows], in nats
        """
        check_pair(student, teacher)
        mixture = torch.logaddexp(
            teacher + math.log(self.beta), student + math.log(1.0 - self.beta)
        )
        forward = (teacher.exp() * (teacher - mixture)).sum(dim=-1)
        reverse = (student.exp() * (student - mixture)).sum(dim=-1)
        return self.beta * forward + (1.0 - self.beta) * reverse
