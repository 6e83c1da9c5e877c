"""Scores: by hand on a linear model, additive, deterministic, whatever the number of draws."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from parlai_cu.errors import DivergedError
from parlai_cu.selection.gradients import gradient_moments
from parlai_cu.selection.scores import SCORES, GradientSums, score_parameters


class Tied(nn.Module):
    """An embedding that is the output layer too, a block in between, a fixed position code."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(5, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.norm = nn.LayerNorm(4)
        self.dropout = nn.Dropout(0.5)
        self.positions = nn.Parameter(torch.zeros(4), requires_grad=False)
        self.output = nn.Linear(4, 5, bias=False)
        self.output.weight = self.embeddings.weight

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Logits of the words that follow."""
        x = self.embeddings(words) + self.positions
        for layer in self.layers:
            x = self.dropout(torch.tanh(layer(x)))
        return self.output(self.norm(x))


def losses(model: nn.Module, words: list[int]) -> list[Callable[[], torch.Tensor]]:
    """Each word is to be followed by the next higher one."""

    def loss(word: int) -> torch.Tensor:
        logits = model(torch.tensor([word]))
        return nn.functional.cross_entropy(logits, torch.tensor([(word + 1) % 5]))

    return [lambda word=word: loss(word) for word in words]


@pytest.fixture
def model() -> Tied:
    """The same one every time."""
    torch.manual_seed(0)
    return Tied()


def one_weight() -> nn.Linear:
    """y = 2 x, without bias."""
    linear = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        linear.weight.fill_(2.0)
    return linear


def test_by_hand() -> None:
    """The gradients 1 and 3 of the update, 2 and -4 of the old data, at the weight 2."""
    linear = one_weight()

    def slope(value: float) -> Callable[[], torch.Tensor]:
        return lambda: linear(torch.tensor([[value]])).sum()

    scores = score_parameters(linear, [slope(1.0), slope(3.0)], [slope(2.0), slope(-4.0)])
    (found,) = scores.as_dict()["tensors"]
    assert found["name"] == "weight" and found["numel"] == 1
    assert found["rgn"] == pytest.approx(2 / 2)
    assert found["snr"] == pytest.approx(4 / 1)
    assert found["fisher"] == pytest.approx((1 + 9) / 2)
    assert found["conflict"] == pytest.approx(1.0)
    assert found["cosine"] == pytest.approx(-1.0)
    assert (scores.draws, scores.retained_draws) == (2, 2)


def test_conflict_by_hand() -> None:
    """The update needs the first weight most, old skill the second: 3 x 1 + 1 x 2 over norms."""
    linear = nn.Linear(2, 1, bias=False)

    def slope(*values: float) -> Callable[[], torch.Tensor]:
        return lambda: linear(torch.tensor([values])).sum()

    scores = score_parameters(linear, [slope(3.0, -1.0)], [slope(1.0, 2.0), slope(1.0, -2.0)])
    expected = (3 * 1 + 1 * 2) / math.sqrt((9 + 1) * (1 + 4))
    assert scores.as_dict()["tensors"][0]["conflict"] == pytest.approx(expected)


def test_groups_are_the_tensors_laid_end_to_end(model: Tied) -> None:
    """A group's score is that of one long tensor, not a mean of scores."""
    scores = score_parameters(model, losses(model, [0, 1, 2]))
    moments = gradient_moments(model, losses(model, [0, 1, 2]))
    names = ("layers.0.weight", "layers.0.bias")
    gradient = torch.cat([moments.mean(name).flatten() for name in names])
    weight = torch.cat([model.get_parameter(name).detach().flatten() for name in names])
    expected = float(gradient.norm() / weight.norm())
    assert SCORES["rgn"][0](scores.groups()["layers.0", "other"]) == pytest.approx(expected)


def test_tied_and_fixed_tensors(model: Tied) -> None:
    """A tied tensor is scored once, under its first name; what never trains is not scored."""
    scores = score_parameters(model, losses(model, [0, 1]))
    names = [t.tensor.name for t in scores.tensors]
    assert names.count("embeddings.weight") == 1 and "output.weight" not in names
    assert "positions" not in names
    kinds = {t.tensor.name: t.kind for t in scores.tensors}
    assert kinds["embeddings.weight"] == "embeddings" and kinds["norm.bias"] == "norm"


def test_frozen_parameters_are_left_out(model: Tied) -> None:
    """What has no gradient has no score."""
    model.layers[0].requires_grad_(False)
    scores = score_parameters(model, losses(model, [0, 1]))
    assert {t.block for t in scores.tensors} == {"layers.1", "norm", "embeddings"}


def test_the_model_is_as_it_was(model: Tied) -> None:
    """No weight, gradient or mode changes; dropout has no part, so scores repeat."""
    model.layers[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = score_parameters(model, losses(model, [0, 1, 2, 3]))
    assert first == score_parameters(model, losses(model, [0, 1, 2, 3]))
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training and model.layers[0].training and not model.layers[1].training


def test_memory_does_not_grow_with_the_examples(model: Tied) -> None:
    """Losses are asked for one at a time and their gradients are not kept."""
    alive: list[int] = []

    def draws() -> object:
        for loss in losses(model, [0, 1, 2, 3] * 3):
            alive.append(1)
            yield lambda loss=loss: loss()
            alive.pop()
            assert not alive

    moments = gradient_moments(model, draws())  # type: ignore[arg-type]
    held = sum(t.numel() for t in (*moments._sums.values(), *moments._squares.values()))
    assert held == 2 * sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_progress_counts_both_tasks(model: Tied) -> None:
    """One call a draw, the old data's after the update's."""
    seen: list[int] = []
    score_parameters(model, losses(model, [0, 1]), losses(model, [2, 3, 4]), seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_a_word_that_does_not_occur_is_no_noise(model: Tied) -> None:
    """Elements without any gradient count as zero, not as a division by zero."""
    for found in score_parameters(model, losses(model, [0, 0])).as_dict()["tensors"]:
        assert all(math.isfinite(found[name]) for name in ("rgn", "snr", "fisher"))


def test_refusals(model: Tied) -> None:
    """No example at all; a loss that is not a number."""
    with pytest.raises(ValueError, match="no example"):
        score_parameters(model, [])
    with pytest.raises(DivergedError, match="the loss of example 1 is nan"):
        score_parameters(model, [lambda: model.norm.weight.sum() * float("nan")])


def test_sums_add_up() -> None:
    """Field by field."""
    assert GradientSums(1, weight=2.0) + GradientSums(3, weight=4.0) == GradientSums(4, weight=6.0)
