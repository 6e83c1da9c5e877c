"""The guard: bit-identity of what is frozen."""

import pytest
import torch
from torch import nn

from parlai_cu.errors import FrozenBreachError
from parlai_cu.selection.guard import FrozenGuard, digest


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 2),
        torch.tensor(1.5),
        torch.zeros(0),
        torch.randn(4).half(),
        torch.randn(4).bfloat16(),
        torch.tensor([True, False]),
        torch.randn(4, 4).t(),
    ],
    ids=["matrix", "scalar", "empty", "fp16", "bf16", "bool", "transposed"],
)
def test_digest_of_every_kind_of_tensor(tensor: torch.Tensor) -> None:
    """Equal tensors have equal digests, whatever their type and layout; shape and type count."""
    assert digest(tensor) == digest(tensor.clone().contiguous())
    assert digest(tensor) != digest(tensor.reshape(1, *tensor.shape))
    assert digest(tensor) != digest(tensor.double())


def test_negative_zero_is_a_change() -> None:
    """Identity is of bits, not of values."""
    assert digest(torch.tensor([0.0])) != digest(torch.tensor([-0.0]))


def test_a_changed_frozen_tensor_is_named() -> None:
    """verify passes on an untouched model and names what changed in another."""
    net = nn.Linear(3, 2)
    guard = FrozenGuard(net, ["weight"])
    with torch.no_grad():
        net.bias.add_(1)
    guard.verify(net.state_dict())
    with torch.no_grad():
        net.weight[0, 0] += 1e-6
    with pytest.raises(FrozenBreachError, match="1 frozen tensor.s. changed in training: weight"):
        guard.verify(net.state_dict())


def test_half_precision_training_keeps_the_bits_of_the_file() -> None:
    """Under fp16 the saved frozen tensors are the deployed model's, not their rounding."""
    net = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})
    net["b"].weight = net["a"].weight
    original = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.half()
    guard = FrozenGuard(net, ["a.weight"], original)
    state = net.state_dict()
    guard.verify(state)
    guard.restore(state, {"a.weight": ["b.weight"]})
    assert torch.equal(state["a.weight"], original["a.weight"])
    assert torch.equal(state["b.weight"], original["a.weight"])
    assert state["a.bias"].dtype == torch.float16
