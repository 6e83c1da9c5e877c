"""Losses on chunks of rows: the same numbers, and memory that does not grow with the vocabulary."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from parlai_cu.distillation.chunked import chunked_rows, rows_at_once
from parlai_cu.distillation.forward_kl import ForwardKL
from parlai_cu.distillation.soft_labels import SoftLabelLoss


class Largest(TorchDispatchMode):
    """Notes the largest activation that any operation makes."""

    def __init__(self, but: int) -> None:
        super().__init__()
        self.numel, self.but = 0, but

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            # but for what is as large as the output layer, whose gradient must be somewhere
            if torch.is_tensor(tensor) and tensor.numel() != self.but:
                self.numel = max(self.numel, tensor.numel())
        return result


def problem(vocabulary: int, rows: int = 24) -> tuple[Any, ...]:
    """Hidden states of student and teacher, both output layers, gold choices."""
    torch.manual_seed(0)
    hidden = torch.randn(rows, 4, requires_grad=True)
    weight = torch.randn(vocabulary, 4, requires_grad=True)
    return hidden, torch.randn(rows, 5), weight, torch.randn(vocabulary, 5), torch.arange(rows)


def losses(weight: torch.Tensor, teacher_weight: torch.Tensor) -> Any:
    """Gold and soft losses of rows of hidden states."""
    soft = SoftLabelLoss(ForwardKL())

    def compute(hidden: torch.Tensor, teacher: torch.Tensor, gold: torch.Tensor) -> Any:
        logits = hidden @ weight.T
        return (
            F.cross_entropy(logits, gold, reduction="none"),
            soft(logits, teacher @ teacher_weight.T),
        )

    return compute


@pytest.mark.parametrize("budget", [1, 100, 350, 10**6])
def test_the_same_as_at_once(budget: int) -> None:
    """Values and gradients, whatever the size of the chunks."""
    hidden, teacher, weight, teacher_weight, gold = problem(50)
    compute = losses(weight, teacher_weight)

    def found(values: tuple[torch.Tensor, ...]) -> Any:
        total = values[0].sum() + values[1].sum()
        return [*values, *torch.autograd.grad(total, (hidden, weight))]

    at_once = found(compute(hidden, teacher, gold))
    chunked = found(chunked_rows(compute, (hidden, teacher, gold), 50, budget))
    for one, other in zip(chunked, at_once):
        torch.testing.assert_close(one, other)


def test_memory_does_not_grow_with_the_vocabulary() -> None:
    """No tensor over the budget, at two sizes; at once it would be rows x vocabulary."""
    for vocabulary in (1000, 4000):
        hidden, teacher, weight, teacher_weight, gold = problem(vocabulary)
        compute = losses(weight, teacher_weight)
        with Largest(but=weight.numel()) as chunked:
            values = chunked_rows(compute, (hidden, teacher, gold), vocabulary, budget=8000)
            (values[0].sum() + values[1].sum()).backward()
        # the transposed output layers are views of 5 x vocabulary
        assert chunked.numel <= max(8000, teacher_weight.numel())
        with Largest(but=weight.numel()) as at_once:
            sum(value.sum() for value in compute(hidden, teacher, gold)).backward()
        assert at_once.numel == 24 * vocabulary


def test_one_row_at_least() -> None:
    """A vocabulary over the budget still works."""
    assert rows_at_once(100, 10) == 1 and rows_at_once(100, 1000) == 10
