"""Freezing: gradients, dropout, running statistics."""

import torch
from torch import nn

from parlai_cu.selection.freeze import freeze


def model() -> nn.Module:
    """Two blocks with dropout and batch normalisation, and a head."""
    torch.manual_seed(0)

    def block() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))

    return nn.ModuleDict({"low": block(), "high": block(), "head": nn.Linear(4, 2)})


def run(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Forward through all three."""
    return net["head"](net["high"](net["low"](x)))


def test_backward_stops_below_the_lowest_block_that_learns() -> None:
    """No gradient is computed for frozen parameters, and none flows into the frozen block."""
    net = model()
    learning, _ = freeze(net, ["high.0.weight"])
    assert [id(p) for p in learning] == [id(net["high"][0].weight)]
    low = net["low"](torch.randn(3, 4))
    assert not low.requires_grad
    net["head"](net["high"](low)).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None] == ["high.0.weight"]


def test_dropout_and_statistics_follow_the_rule() -> None:
    """A frozen block computes as in evaluation, a learning one as in training."""
    net = model()
    _, frozen = freeze(net, ["high.0.weight"])
    # batch normalisation in the learning block is frozen itself: its statistics must not drift
    assert frozen == ["low", "high.1", "head"]
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.train()
    x = torch.randn(8, 4)
    assert torch.equal(net["low"](x), net["low"](x)), "dropout is active in a frozen block"
    first, second = net["high"](net["low"](x)), net["high"](net["low"](x))
    assert not torch.equal(first, second), "dropout is off in a block that learns"
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_a_selected_buffer_may_change() -> None:
    """Running statistics that were selected go on running."""
    net = model()
    freeze(net, ["high.0.weight", "high.1.running_mean"])
    before = net["high"][1].running_mean.clone()
    net.train()
    run(net, torch.randn(8, 4))
    assert not torch.equal(net["high"][1].running_mean, before)


def test_tied_parameters_learn_as_one() -> None:
    """Either name of a tied tensor selects it; the optimizer gets it once."""
    net = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    net["b"].weight = net["a"].weight
    learning, _ = freeze(net, ["b.weight"])
    assert len(learning) == 1 and learning[0] is net["a"].weight
