"""Forward Kullback-Leibler divergence: the student covers all that the teacher may say."""

import torch

from parlai_cu.distillation.base import check_pair


class ForwardKL:
    r"""
    :math:`KL(p \| q) = \sum_i p_i (\log p_i - \log q_i)`, p the teacher's distribution, q the
    student's.

    Its gradient is that of the cross-entropy with soft labels (Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531, section 2).
    """

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """
        :param student: log q, FloatTensor[rows, choices]
        :param teacher: log p, FloatTensor[rows, choices]
        :return: FloatTensor[rows], in nats
        """
        check_pair(student, teacher)
        return (teacher.exp() * (teacher - student)).sum(dim=-1)
