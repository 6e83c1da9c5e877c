"""Low-rank factors: hand-computed numbers, merging, shared and transposed layers."""

import pytest
import torch
from torch import nn

from parlai_cu.errors import UsageError
from parlai_cu.selection import lora
from parlai_cu.selection.catalogue import TensorInfo, list_tensors


class Conv1D(nn.Module):
    """transformers' transposed linear layer: ``x W + b`` with W ``[in, out]``."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in]`` -> ``[..., out]``."""
        return x @ self.weight + self.bias


def weights(net: nn.Module) -> list[TensorInfo]:
    """All tensors of a model, as selected."""
    return list_tensors(net)


def test_by_hand() -> None:
    """y = W x + (alpha / rank) B A x, with numbers small enough to check."""
    net = nn.Sequential(nn.Linear(2, 1, bias=False))
    adapted = lora.inject(net, weights(net), rank=1, alpha=3.0, seed=0)
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
        net[0].lora.A.copy_(torch.tensor([[1.0, -1.0]]))
        net[0].lora.B.copy_(torch.tensor([[2.0]]))
    # W x = 1*4 + 2*5 = 14;  A x = 4 - 5 = -1;  B A x = -2;  times 3/1 = -6
    assert net(torch.tensor([4.0, 5.0])).item() == 8.0
    state = net.state_dict()
    kept = lora.merge(net, state, adapted)
    assert state["0.weight"].tolist() == [[1 + 6, 2 - 6]]
    assert list(state) == ["0.weight"]
    assert kept["originals"]["0.weight"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("layer", [nn.Linear(3, 5), Conv1D(5, 3)], ids=["Linear", "Conv1D"])
def test_merged_computes_the_same(layer: nn.Module) -> None:
    """The merged weight gives the adapted layer's output; at first nothing changes."""
    net = nn.Sequential(layer)
    x = torch.randn(2, 4, 3)
    plain = net(x)
    adapted = lora.inject(net, weights(net), rank=2, alpha=4.0, seed=0)
    assert torch.equal(net(x), plain)
    with torch.no_grad():
        layer.lora.B.normal_()
    expected = net(x)
    assert not torch.allclose(expected, plain)
    state = net.state_dict()
    kept = lora.merge(net, state, adapted)
    fresh = nn.Sequential(type(layer)(3, 5) if isinstance(layer, nn.Linear) else Conv1D(5, 3))
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(x), expected)
    # and back: what was kept goes on where it stopped
    lora.restore_originals(fresh, kept["originals"])
    lora.inject(fresh, weights(fresh), rank=2, alpha=4.0, seed=1)
    lora.load_factors(fresh, kept["factors"])
    assert torch.equal(fresh(x), expected)


def test_a_layer_with_two_names_gets_one_pair() -> None:
    """A module used under two names is adapted once and merged under both."""
    shared = nn.Linear(2, 2)
    net = nn.ModuleDict({"query": shared, "key": shared})
    adapted = lora.inject(net, weights(net), rank=1, alpha=1.0, seed=0)
    assert [t.name for t in adapted] == ["query.weight"]
    with torch.no_grad():
        shared.lora.B.fill_(1.0)
    state = net.state_dict()
    lora.merge(net, state, adapted)
    assert set(state) == {"query.weight", "query.bias", "key.weight", "key.bias"}
    assert torch.equal(state["query.weight"], state["key.weight"])
    assert not torch.equal(state["query.weight"], shared.weight)


def test_a_weight_that_two_layers_share_is_passed_over() -> None:
    """Merging into a tied weight would change the other layer too."""
    net = nn.ModuleDict({"embedding": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    net["head"].weight = net["embedding"].weight
    with pytest.raises(UsageError, match="none of the selected tensors is the weight of a linear"):
        lora.inject(net, weights(net), rank=1, alpha=1.0, seed=0)
