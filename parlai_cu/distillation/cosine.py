"""Cosine distance between score vectors: for rankers, whose scores have no natural scale."""

import torch
import torch.nn.functional as F

from parlai_cu.distillation.base import check_pair


class Cosine:
    r"""
    :math:`1 - \cos(s - \bar s, t - \bar t)` over a row's candidates, s and t the student's and
    the teacher's scores.

    Scores of a ranker mean something only up to a shift, so each row is centred; what is
    compared is then their correlation (Huang et al. 2022, DIST,
    https://arxiv.org/abs/2205.10536, equation 6). Log-probabilities are shifted scores and give
    the same.
    """

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """
        :param student: FloatTensor[rows, candidates]
        :param teacher: FloatTensor[rows, candidates]
        :return: FloatTensor[rows], between 0 and 2
        """
        check_pair(student, teacher)
        centred = [scores - scores.mean(dim=-1, keepdim=True) for scores in (student, teacher)]
        return 1.0 - F.cosine_similarity(centred[0], centred[1], dim=-1)
