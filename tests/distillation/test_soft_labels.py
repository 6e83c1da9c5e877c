"""Soft labels, whole and abridged: temperature, tails, samples, half precision, padding."""

import math

import pytest
import torch
import torch.nn.functional as F

from parlai_cu.distillation.base import weighted_mean
from parlai_cu.distillation.forward_kl import ForwardKL
from parlai_cu.distillation.reverse_kl import ReverseKL
from parlai_cu.distillation.soft_labels import Abridged, SoftLabelLoss, abridge
from parlai_cu.errors import UsageError


def logits(seed: int, rows: int = 6, choices: int = 12) -> torch.Tensor:
    """Random scores."""
    return 3 * torch.randn(rows, choices, generator=torch.Generator().manual_seed(seed))


def test_temperature_by_hand() -> None:
    """T = 2: teacher (ln 4, 0) softens to (2/3, 1/3), the student is even; 4 x KL."""
    loss = SoftLabelLoss(ForwardKL(), temperature=2.0)
    value = loss(torch.zeros(1, 2), torch.tensor([[math.log(4.0), 0.0]]))
    expected = 4 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3))
    assert value.item() == pytest.approx(expected)


def test_the_squared_temperature_keeps_the_gradients_size() -> None:
    """At a high temperature the gradient nears that of half the squared difference of logits."""
    student = logits(1).double().requires_grad_()
    teacher = logits(2).double()
    SoftLabelLoss(ForwardKL(), temperature=1000.0)(student, teacher).sum().backward()
    difference = student.detach() - teacher
    expected = (difference - difference.mean(dim=-1, keepdim=True)) / student.size(-1)
    torch.testing.assert_close(student.grad, expected, rtol=0.02, atol=1e-3)


def test_gold_and_soft_labels_agree_on_a_certain_teacher() -> None:
    """A teacher sure of one choice is a gold label."""
    student, gold = logits(1), torch.tensor([0, 1, 2, 3, 4, 5])
    teacher = torch.full_like(student, -1e20).scatter(1, gold.unsqueeze(1), 0.0)
    values = SoftLabelLoss(ForwardKL())(student, teacher)
    torch.testing.assert_close(values, F.cross_entropy(student, gold, reduction="none"))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature: float) -> None:
    """The flag and what was found are named."""
    with pytest.raises(UsageError, match="--distill-temperature .*: expected a number above 0"):
        SoftLabelLoss(ForwardKL(), temperature)


def test_half_precision_is_safe() -> None:
    """Scores of float16, masked tokens among them, give numbers, computed in float32."""
    student, teacher = logits(1).half(), logits(2).half()
    student[:, 0] = teacher[:, 0] = -65504.0
    student.requires_grad_()
    values = SoftLabelLoss(ForwardKL(), 2.0)(student, teacher)
    assert values.dtype == torch.float32 and values.isfinite().all()
    values.sum().backward()
    assert student.grad.isfinite().all()


def test_what_the_student_cannot_say_is_left_out() -> None:
    """A choice masked by its architecture neither explodes the loss nor gets a gradient."""
    student = torch.tensor([[-1e20, 0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[0.001, 0.499, 0.5]]).log()
    value = SoftLabelLoss(ForwardKL())(student, teacher)
    value.sum().backward()
    assert value.item() < 1.5 and student.grad[0, 0] == 0 and student.grad[0, 1:].abs().sum() > 0
    # what is left is compared as a distribution of its own: .499/.999 and .5/.999 against even
    rest = teacher[:, 1:].softmax(-1)
    expected = (rest * (rest / 0.5).log()).sum().item()
    assert value.item() == pytest.approx(expected, abs=1e-6)
    short = abridge(teacher, 3, 1.0, sample=False)
    assert SoftLabelLoss(ForwardKL()).abridged(student, short).item() < 0.01


# -- abridged --------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", [ForwardKL(), ReverseKL()])
def test_all_choices_are_the_whole(divergence: object) -> None:
    """With as many places as choices nothing is lost."""
    loss = SoftLabelLoss(divergence, 1.5)  # type: ignore[arg-type]
    student, teacher = logits(1), logits(2)
    short = abridge(teacher, 12, 1.5, sample=False)
    torch.testing.assert_close(loss.abridged(student, short), loss(student, teacher))


def test_the_tail_counts_as_one_choice() -> None:
    """Top 1 of (.5, .3, .2) against an even student: .5 ln 1.5 + .5 ln .75."""
    short = abridge(torch.tensor([[0.5, 0.3, 0.2]]).log(), 1, 1.0, sample=False)
    assert short.choices.tolist() == [[0]]
    value = SoftLabelLoss(ForwardKL()).abridged(torch.zeros(1, 3), short)
    assert value.item() == pytest.approx(0.5 * math.log(1.5) + 0.5 * math.log(0.75), abs=1e-6)


def test_the_tail_keeps_the_student_from_overconfidence() -> None:
    """The student that fits it best gives the top choice the teacher's probability, not 1."""
    teacher = torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1]]).log()
    short = abridge(teacher, 1, 1.0, sample=False)
    student = torch.zeros(1, 5, requires_grad=True)
    for _ in range(500):
        loss = SoftLabelLoss(ForwardKL()).abridged(student, short).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        student = (student - 0.5 * gradient).detach().requires_grad_()
    assert student.softmax(-1)[0, 0].item() == pytest.approx(0.6, abs=1e-3)


def test_a_sample_is_unbiased() -> None:
    """Over many samples the mean gradient is that of the whole distribution."""
    torch.manual_seed(0)
    teacher = logits(2, rows=1).repeat(20000, 1)
    student = logits(1, rows=1).requires_grad_()
    short = abridge(teacher, 8, 1.0, sample=True)
    loss = SoftLabelLoss(ForwardKL())
    loss.abridged(student.expand(20000, -1), short).mean().backward()
    sampled = student.grad.clone()
    student.grad = None
    loss(student, teacher[:1]).sum().backward()
    torch.testing.assert_close(sampled, student.grad, atol=0.01, rtol=0)


def test_a_sample_holds_shares_of_the_draws() -> None:
    """Each row's shares sum to one; a choice stands once."""
    torch.manual_seed(0)
    short = abridge(logits(2), 8, 1.0, sample=True)
    assert short.sampled
    torch.testing.assert_close(short.log_probs.exp().sum(-1), torch.ones(6))
    for choices, shares in zip(short.choices.tolist(), short.log_probs.tolist()):
        used = [choice for choice, share in zip(choices, shares) if share > float("-inf")]
        assert len(used) == len(set(used)) and 1 <= len(used) <= 8


def test_a_sure_student_and_an_empty_tail_give_numbers() -> None:
    """Neither a logarithm of zero nor a gradient of it."""
    sure = torch.tensor([[100.0, 0.0, 0.0]], requires_grad=True)
    short = abridge(torch.tensor([[100.0, 0.0, 0.0]]), 1, 1.0, sample=False)
    value = SoftLabelLoss(ForwardKL()).abridged(sure, short)
    value.sum().backward()
    assert value.isfinite().all() and sure.grad.isfinite().all()


def test_rows_of_an_abridged_one() -> None:
    """Some rows of it, in order."""
    short = Abridged(torch.arange(6).view(3, 2), torch.zeros(3, 2)).rows(torch.tensor([2, 0]))
    assert short.choices.tolist() == [[4, 5], [0, 1]]


# -- padding ---------------------------------------------------------------------------------


def test_padding_has_no_say() -> None:
    """Rows of weight 0 count neither in value nor in gradient, not even as NaN."""
    values = torch.tensor([1.0, float("nan"), 3.0], requires_grad=True)
    mean = weighted_mean(values, torch.tensor([1.0, 0.0, 0.5]), count=2)
    assert mean.item() == pytest.approx(1.25)
    mean.backward()
    assert values.grad.tolist() == [0.5, 0.0, 0.25]


def test_nothing_but_padding() -> None:
    """The loss is 0, and can be differentiated."""
    values = torch.ones(3, requires_grad=True)
    mean = weighted_mean(values, torch.zeros(3), count=0)
    mean.backward()
    assert mean.item() == 0 and values.grad.tolist() == [0, 0, 0]
