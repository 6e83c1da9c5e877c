"""Matching attention: the student looks where evenly spaced teacher layers look."""

import torch

from parlai_cu.distillation.base import weighted_mean


def attention_loss(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """
    Squared error between attention distributions, summed over keys.

    Where the numbers of heads differ, the mean over heads is compared. Probabilities are
    matched, not raw scores as in TinyBERT (Jiao et al. 2020, https://arxiv.org/abs/1909.10351,
    equation 7): masked keys have scores near minus infinity, which would drown the others.

    :param student: probabilities, FloatTensor[bsz, student heads, queries, keys]
    :param teacher: probabilities, FloatTensor[bsz, teacher heads, queries, keys]
    :param mask: BoolTensor[bsz, queries], False for padding
    :return: scalar: the mean over queries and heads
    :raises ValueError: when other dimensions than the heads differ
    """
    if student.shape[0] != teacher.shape[0] or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            f"attention of student {list(student.shape)} and teacher {list(teacher.shape)}: "
            "expected [bsz, heads, queries, keys] that differ in heads only"
        )
    student, teacher = student.float(), teacher.float()
    if student.size(1) != teacher.size(1):
        student, teacher = (p.mean(dim=1, keepdim=True) for p in (student, teacher))
    errors = (student - teacher).pow(2).sum(dim=-1).mean(dim=1)
    return weighted_mean(errors.flatten(), mask.flatten().float(), int(mask.sum()))
