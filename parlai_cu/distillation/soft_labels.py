"""Soft labels: what the teacher says of each row, whole or abridged, and the loss on it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from parlai_cu.distillation.base import Divergence
from parlai_cu.errors import UsageError

# probability of a tail that holds nothing: its logarithm must be a number, and float16 keeps it
_SMALLEST_TAIL = 6e-5
# of a choice that cannot be, e.g. a start token; float16 keeps it
_SMALLEST_LOG = -6e4
# below it a student's choice is masked by its architecture, and cannot be learnt
_MASKED = -1e3
# log-probability that counts for nothing, and is a number
_NEVER = -1e20


@dataclass
class Abridged:
    """
    A teacher's distribution, as few choices and what remains.

    :param choices: LongTensor[rows, k], distinct within a row but for unused places
    :param log_probs: FloatTensor[rows, k], at the run's temperature; -inf in unused places
    :param sampled: whether it is an unbiased sample (shares of draws, no tail) rather than the
        k most probable choices
    """

    choices: torch.Tensor
    log_probs: torch.Tensor
    sampled: bool = False

    def rows(self, which: torch.Tensor) -> "Abridged":
        """
        The same of some rows only.

        :param which: LongTensor[some rows], indices
        """
        return Abridged(self.choices[which], self.log_probs[which], self.sampled)


def abridge(logits: torch.Tensor, k: int, temperature: float, sample: bool) -> Abridged:
    """
    Keep what is worth storing of a teacher's distribution.

    :param logits: FloatTensor[rows, choices]
    :param k: places a row
    :param temperature: that the logits are divided by
    :param sample: draw ``k`` times from the distribution instead of taking the ``k`` most
        probable: each choice's share of the draws is an unbiased estimate of its probability
        (Anshumann et al. 2025, https://arxiv.org/abs/2503.16870, section 3.3)
    """
    log_probs = F.log_softmax(logits.float() / temperature, dim=-1)
    k = min(k, log_probs.size(-1))
    if not sample:
        top = log_probs.topk(k, dim=-1)
        return Abridged(top.indices, top.values.clamp_min(_SMALLEST_LOG))
    # sorted, so that equal draws lie side by side
    draws = torch.multinomial(log_probs.exp(), k, replacement=True).sort(dim=-1).values
    # count equal draws in the first of them, and leave the places of the others unused
    same = draws.unsqueeze(-1) == draws.unsqueeze(-2)
    counts = same.sum(dim=-1).float()
    first = torch.ones_like(draws, dtype=torch.bool)
    first[:, 1:] = draws[:, 1:] != draws[:, :-1]
    shares = (counts / k).log().masked_fill(~first, float("-inf"))
    return Abridged(draws.masked_fill(~first, 0), shares, sampled=True)


class SoftLabelLoss:
    """
    A divergence between softened distributions, times the squared temperature.

    The factor keeps the gradients' size whatever the temperature (Hinton et al. 2015, section
    2). All is computed in float32, so that half precision models are safe.

    :param divergence: see :class:`~parlai_cu.distillation.base.Divergence`
    :param temperature: both distributions are of logits divided by it
    :raises UsageError: when it is not above 0
    """

    def __init__(self, divergence: Divergence, temperature: float = 1.0) -> None:
        if not temperature > 0:
            raise UsageError(f"--distill-temperature {temperature}: expected a number above 0")
        self.divergence = divergence
        self.temperature = temperature

    def __call__(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        student_log_probs: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        The loss on whole distributions.

        :param student_logits: FloatTensor[rows, choices]
        :param teacher_logits: FloatTensor[rows, choices]
        :param student_log_probs: FloatTensor[rows, choices], the log-softmax of ``student_logits``,
            if it is there already
        :return: FloatTensor[rows]
        """
        student = self._soften(student_logits, student_log_probs)
        # the teacher's distribution over what the student can say
        theirs = teacher_logits.float().masked_fill(student < _MASKED, _NEVER)
        teacher = F.log_softmax(theirs / self.temperature, dim=-1)
        student = student.clamp_min(_MASKED)
        return self.divergence(student, teacher) * self.temperature**2

    def abridged(
        self,
        student_logits: torch.Tensor,
        teacher: Abridged,
        student_log_probs: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        The loss where of the teacher's distribution only some choices are known.

        The most probable choices enter one by one and all others as one: renormalising the
        former instead would teach the student to give the latter nothing. Of a sample, the
        cross-entropy is taken, whose gradient is unbiased.

        :param student_logits: FloatTensor[rows, choices]
        :param teacher: its distribution at the same temperature
        :param student_log_probs: FloatTensor[rows, choices], the log-softmax of ``student_logits``,
            if it is there already
        :return: FloatTensor[rows]
        """
        student = self._soften(student_logits, student_log_probs)
        of_student = student.gather(-1, teacher.choices)
        of_teacher = teacher.log_probs.float().masked_fill(of_student < _MASKED, _NEVER)
        of_student = of_student.clamp_min(_MASKED)
        if teacher.sampled:
            unused = of_teacher == float("-inf")
            terms = -of_teacher.exp() * of_student.masked_fill(unused, 0.0)
            return terms.sum(dim=-1) * self.temperature**2
        if teacher.choices.size(-1) < student.size(-1):
            of_student, of_teacher = _with_tail(of_student), _with_tail(of_teacher)
        return self.divergence(of_student, of_teacher) * self.temperature**2

    def _soften(self, logits: torch.Tensor, log_probs: torch.Tensor | None) -> torch.Tensor:
        if log_probs is not None and self.temperature == 1.0:
            return log_probs
        return F.log_softmax(logits.float() / self.temperature, dim=-1)


def _with_tail(log_probs: torch.Tensor) -> torch.Tensor:
    """FloatTensor[rows, k] -> [rows, k + 1]: the last holds the log of what is not listed."""
    rest = 1.0 - log_probs.exp().sum(dim=-1, keepdim=True)
    tail = rest.clamp_min(_SMALLEST_TAIL).log()
    return torch.cat([log_probs, tail], dim=-1)
