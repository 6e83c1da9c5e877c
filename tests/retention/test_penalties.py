"""Penalties: zero at the start, by hand elsewhere, and pulling the right way."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from parlai_cu.retention.ewc import EWC, fisher_information
from parlai_cu.retention.l2sp import L2SP


@pytest.fixture
def model() -> nn.Linear:
    """Two inputs, one output; the bias is frozen."""
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0]]))
        linear.bias.fill_(0.5)
    linear.bias.requires_grad_(False)
    return linear


def move(model: nn.Linear, *to: float) -> None:
    """Set the weight."""
    with torch.no_grad():
        model.weight.copy_(torch.tensor([to]))


FISHER = {"weight": torch.tensor([[4.0, 0.0]])}
KINDS: list[Any] = [lambda m: L2SP(m), lambda m: EWC(m, FISHER)]


@pytest.mark.parametrize("make", KINDS, ids=["l2sp", "ewc"])
def test_zero_at_the_start_and_pulls_back(make: Callable[..., Any], model: nn.Linear) -> None:
    """A step against its gradient comes nearer to the start; frozen parameters have no part."""
    penalty = make(model)
    assert penalty(model).item() == 0
    move(model, 3.0, 2.0)
    value = penalty(model)
    value.backward()
    assert value.item() > 0 and model.weight.grad[0, 0] > 0 and model.bias.grad is None
    with torch.no_grad():
        model.weight -= 0.1 * model.weight.grad
    assert penalty(model) < value


def test_l2sp_by_hand(model: nn.Linear) -> None:
    """Half of 2 squared plus 3 squared."""
    penalty = L2SP(model)
    move(model, 3.0, 5.0)
    assert penalty(model).item() == pytest.approx(6.5)


def test_ewc_by_hand(model: nn.Linear) -> None:
    """Half of 4 x 2 squared; what old data does not depend on is free."""
    penalty = EWC(model, FISHER)
    move(model, 3.0, 100.0)
    assert penalty(model).item() == pytest.approx(8.0)


def test_fisher_is_of_single_examples(model: nn.Linear) -> None:
    """Gradients of opposite examples square, then add up: they do not cancel."""
    inputs = [torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])]
    losses = [lambda x=x: model(x).sum() for x in inputs]
    fisher = fisher_information(model, losses)
    assert fisher["weight"].tolist() == [[1.0, 0.0]] and set(fisher) == {"weight"}


def test_fisher_of_a_known_distribution() -> None:
    """Of a coin's logit it is p (1 - p), when labels come as the model says."""
    logit = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        logit.weight.fill_(1.0)
    p = torch.sigmoid(torch.tensor(1.0)).item()
    torch.manual_seed(0)
    labels = (torch.rand(4000) < p).float()
    one = torch.ones(1, 1)
    bce = nn.functional.binary_cross_entropy_with_logits
    losses = [lambda y=y: bce(logit(one).squeeze(), y) for y in labels]
    fisher = fisher_information(logit, losses)["weight"].item()
    assert fisher == pytest.approx(p * (1 - p), rel=0.08)


def test_fisher_of_other_parameters(model: nn.Linear) -> None:
    """Is refused."""
    with pytest.raises(ValueError, match="of other parameters"):
        EWC(model, {"weight": torch.ones(3)})
