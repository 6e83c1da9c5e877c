"""Reverse Kullback-Leibler divergence: the student says only what the teacher would say."""

import torch

from parlai_cu.distillation.base import check_pair


class ReverseKL:
    r"""
    :math:`KL(q \| p) = \sum_i q_i (\log q_i - \log p_i)`, p the teacher's distribution, q the
    student's.

    Mode-seeking: a small student does not spread over what it cannot model (Gu et al. 2024,
    MiniLLM, https://arxiv.org/abs/2306.08543, section 2.1).
    """

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """
        :param student: log q, FloatTensor[rows, choices]
        :param teacher: log p, FloatTensor[rows, choices]
        :return: FloatTensor[rows], in nats
        """
        check_pair(student, teacher)
        return (student.exp() * (student - teacher)).sum(dim=-1)
