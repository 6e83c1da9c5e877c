"""
What a divergence is, and how rows become one loss.

Everything here works on *rows*: a row is one token of a reply for generators, one example for
rankers (choices: candidates) and classifiers (choices: classes).
"""

from typing import Protocol

import torch


class Divergence(Protocol):
    """
    How far the student's distribution is from the teacher's, row by row.

    One file per variant in this package, and one line in ``parlai_cu/plugin.py``.
    """

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """
        :param student: log-probabilities, FloatTensor[rows, choices]
        :param teacher: log-probabilities, FloatTensor[rows, choices]
        :return: FloatTensor[rows], in nats
        """
        ...


def check_pair(student: torch.Tensor, teacher: torch.Tensor) -> None:
    """
    Make sure that two tensors are of the same rows and choices.

    :param student: [rows, choices]
    :param teacher: of the same shape
    :raises ValueError: naming both shapes
    """
    if student.dim() != 2 or student.shape != teacher.shape:
        raise ValueError(
            f"student {list(student.shape)} and teacher {list(teacher.shape)} differ: expected "
            "[rows, choices] of both"
        )


def weighted_mean(values: torch.Tensor, weights: torch.Tensor, count: int) -> torch.Tensor:
    """
    The sum of weighted rows over a count; rows of weight 0 have no say, whatever their value.

    :param values: FloatTensor[rows]
    :param weights: FloatTensor[rows]; 0 for padding
    :param count: what the sum is divided by; with 0 the result is 0
    :return: scalar
    """
    kept = values.masked_fill(weights == 0, 0.0)  # 0 x NaN would be NaN
    return (kept * weights).sum() / max(count, 1)
