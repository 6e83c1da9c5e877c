"""``--kb-integrate fuse``: the mixed distribution, worked by hand."""

import math

import pytest
import torch

from parlai_cu.knowledge.integrators.fuse import Places, before, fused, shares
from parlai_cu.types import Evidence


def places(*, unknown: int = 0) -> Places:
    """A fact of two tokens, 1 and 2; the model, of three words, expects 0 and then 2."""
    tokens = torch.tensor([1, 2])
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return Places(expected, before(tokens), tokens, torch.ones(2), unknown)


def test_before() -> None:
    """The last token first, -1 before the beginning."""
    found = before(torch.tensor([5, 6, 7, 8])).tolist()
    assert found == [[-1, -1, -1], [5, -1, -1], [6, 5, -1], [7, 6, 5]]


def test_by_hand() -> None:
    """
    At the start of a reply the first place is alike by 1.8, the second by .447.

    The roots of .64 * 1 and .2 * 1 are how alike the expectations are; nothing stands before the
    first place, as in the reply, but 1 before the second. The attention is the softmax over a
    temperature of .1.
    """
    model = torch.tensor([[0.64, 0.16, 0.20]])
    alike = [0.8 + 1.0, math.sqrt(0.2) + 0.0]
    first = 1 / (1 + math.exp((alike[1] - alike[0]) / 0.1))
    mixed = fused(model.log(), torch.zeros(1, 0).long(), places(), 0.5).exp()
    expected = [0.32, 0.08 + 0.5 * first, 0.10 + 0.5 * (1 - first)]
    assert mixed[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert mixed.sum().item() == pytest.approx(1)


def test_what_is_far_from_all_facts_is_the_models() -> None:
    """The weight is as much as the nearest place is alike: here .1 (the root of .01)."""
    model = torch.tensor([[0.01, 0.98, 0.01]])
    written = torch.tensor([[9, 9, 9]])
    mixed = fused(model.log(), written, places(), 0.5).exp()
    assert mixed[0, 1].item() == pytest.approx(0.95 * 0.98 + 0.05 * 0.5, abs=1e-6)


def test_copying_goes_on_where_it_was() -> None:
    """After the fact's first token its second is the nearest, whatever the model expects."""
    model = torch.tensor([[0.9, 0.05, 0.05]]).repeat(2, 1)
    mixed = fused(model.log(), torch.tensor([[1], [0]]), places(), 0.8).exp()
    # of two hypotheses the one that wrote 1 goes on with 2, the other does not
    assert mixed[0].argmax() == 2 and mixed[1].argmax() != 2


def test_a_token_without_a_word() -> None:
    """Numbers from the vocabulary on can be copied, and nothing else gives them a chance."""
    tokens = torch.tensor([3])
    fact = Places(torch.tensor([[0.0, 0.0, 1.0]]), before(tokens), tokens, torch.ones(1), 1)
    model = torch.tensor([[0.0, 0.0, 1.0]])
    mixed = fused(model.log(), torch.zeros(1, 0).long(), fact, 0.75).exp()
    assert mixed[0].tolist() == pytest.approx([0, 0, 0.25, 0.75], abs=1e-6)


def test_weight_nothing_is_the_model_alone() -> None:
    """And what may not come (a forced prefix) does not."""
    model = torch.tensor([[0.5, 0.25, 0.25]])
    alone = fused(model.log(), torch.zeros(1, 0).long(), places(), 0.0)
    assert torch.allclose(alone.exp(), model)
    forced = torch.tensor([[0.0, -1e20, -1e20]])
    assert fused(forced, torch.zeros(1, 0).long(), places(), 0.9)[0, 1:].max() < -1e19


def test_shares() -> None:
    """By the fourth power of the score; alike where nothing is scored."""

    def fact(score: float) -> Evidence:
        return Evidence("f", "a fact", score, "s", "1")

    assert shares([fact(0.2), fact(0.1)]) == pytest.approx([16 / 17, 1 / 17])
    assert shares([fact(0.0), fact(0.0)]) == [0.5, 0.5]
