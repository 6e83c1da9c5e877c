"""Matching hidden states: the student's layers say what evenly spaced teacher layers say."""

import torch
from torch import nn

from parlai_cu.distillation.base import weighted_mean


class HiddenStateLoss(nn.Module):
    """
    Mean squared error between the student's hidden states and the teacher's.

    Where the widths differ the student's states pass a learned linear projection, one for each
    pair of widths. Projections belong to this loss, not to the student (TinyBERT, Jiao et al.
    2020, https://arxiv.org/abs/1909.10351, equation 8).

    :param widths: the width of each matched pair of layers, (student, teacher)
    """

    def __init__(self, widths: list[tuple[int, int]]) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {
                f"{of_student}_{of_teacher}": nn.Linear(of_student, of_teacher, bias=False)
                for of_student, of_teacher in sorted(set(widths))
                if of_student != of_teacher
            }
        )

    def forward(
        self, student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """
        One matched pair of layers.

        :param student: FloatTensor[bsz, length, student width]
        :param teacher: FloatTensor[bsz, length, teacher width]
        :param mask: BoolTensor[bsz, length], False for padding
        :return: scalar: the mean over tokens and dimensions
        :raises ValueError: when the batches or lengths differ
        """
        if student.shape[:2] != teacher.shape[:2] or student.shape[:2] != mask.shape:
            raise ValueError(
                f"hidden states of student {list(student.shape)} and teacher "
                f"{list(teacher.shape)} with mask {list(mask.shape)}: expected the same "
                "[bsz, length]"
            )
        pair = f"{student.size(-1)}_{teacher.size(-1)}"
        if student.size(-1) != teacher.size(-1):
            student = self.projections[pair](student)
        errors = (student.float() - teacher.float()).pow(2).mean(dim=-1)
        return weighted_mean(errors.flatten(), mask.flatten().float(), int(mask.sum()))


def evenly_spaced(of_student: int, of_teacher: int) -> list[int]:
    """
    The teacher's layer for each of the student's: the last of equally many.

    :param of_student: number of the student's layers
    :param of_teacher: number of the teacher's layers
    :return: indices of the teacher's layers, e.g. 2 of 6: [2, 5]

    >>> evenly_spaced(2, 6)
    [2, 5]
    """
    return [max((i + 1) * of_teacher // of_student - 1, 0) for i in range(of_student)]


def matched_layers(student: dict[str, int], teacher: dict[str, int]) -> list[tuple[str, int, int]]:
    """
    Which layer is matched with which.

    :param student: the number of layers of each of its stacks, by the stack's name
    :param teacher: the same of the teacher
    :return: (stack, student's layer, teacher's layer), for the stacks that both have
    """
    return [
        (stack, i, j)
        for stack in student
        if stack in teacher
        for i, j in enumerate(evenly_spaced(student[stack], teacher[stack]))
    ]
