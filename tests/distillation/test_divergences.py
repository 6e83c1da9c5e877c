"""Every divergence that --distill-loss names: one battery for all, and numbers worked by hand."""

import importlib
import math
from typing import Any

import pytest
import torch

from parlai_cu import plugin
from parlai_cu.distillation.cosine import Cosine
from parlai_cu.distillation.forward_kl import ForwardKL
from parlai_cu.distillation.jensen_shannon import JensenShannon
from parlai_cu.distillation.reverse_kl import ReverseKL
from parlai_cu.errors import UsageError

P = torch.tensor([[0.5, 0.25, 0.25]])  # teacher
Q = torch.tensor([[0.25, 0.25, 0.5]])  # student


@pytest.fixture(params=plugin.DIVERGENCES)
def divergence(request: Any) -> Any:
    """Each by its name."""
    module, name = plugin.DIVERGENCES[request.param].split(":")
    return getattr(importlib.import_module(module), name)()


def log_probs(rows: int = 4, choices: int = 5, seed: int = 0, **kind: Any) -> torch.Tensor:
    """Random distributions."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, choices, generator=generator, **kind).log_softmax(dim=-1)


# -- the battery -----------------------------------------------------------------------------


def test_one_number_a_row_zero_if_equal_else_positive(divergence: Any) -> None:
    """FloatTensor[rows]; 0 where student and teacher agree, above 0 where not."""
    one, other = log_probs(seed=1), log_probs(seed=2)
    values = divergence(one, other)
    assert values.shape == (4,) and (values > 0).all()
    torch.testing.assert_close(divergence(one, one), torch.zeros(4), atol=1e-6, rtol=0)


def test_wrong_shapes_are_named(divergence: Any) -> None:
    """Both shapes are in the message."""
    with pytest.raises(ValueError, match=r"student \[4, 5\] and teacher \[4, 6\] differ"):
        divergence(log_probs(), log_probs(choices=6))
    with pytest.raises(ValueError, match="expected"):
        divergence(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))


def test_gradients(divergence: Any) -> None:
    """They are those of finite differences, in float64."""
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    teacher = log_probs(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: divergence(x.log_softmax(-1), teacher), (logits,))


def test_a_step_against_the_gradient_comes_nearer(divergence: Any) -> None:
    """It pulls the right way."""
    logits, teacher = log_probs(seed=1).requires_grad_(), log_probs(seed=2)
    before = divergence(logits.log_softmax(-1), teacher).sum()
    before.backward()
    after = divergence((logits - 0.1 * logits.grad).log_softmax(-1), teacher).sum()
    assert after < before


def test_no_rows(divergence: Any) -> None:
    """A batch without any row is no error."""
    assert divergence(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


# -- by hand ---------------------------------------------------------------------------------


def test_forward_kl_by_hand() -> None:
    """.5 ln(.5/.25) + 0 + .25 ln(.25/.5) = .25 ln 2."""
    assert ForwardKL()(Q.log(), P.log()).item() == pytest.approx(0.25 * math.log(2))


def test_reverse_kl_by_hand() -> None:
    """A student of .8/.2 and a teacher of .5/.5: .8 ln 1.6 + .2 ln .4."""
    student, teacher = torch.tensor([[0.8, 0.2]]), torch.tensor([[0.5, 0.5]])
    expected = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    assert ReverseKL()(student.log(), teacher.log()).item() == pytest.approx(expected)
    forward = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert ForwardKL()(student.log(), teacher.log()).item() == pytest.approx(forward)


def test_jensen_shannon_by_hand() -> None:
    """With beta .5 and the mixture (.375, .25, .375): twice half of .5 ln(4/3) + .25 ln(2/3)."""
    expected = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3)
    assert JensenShannon()(Q.log(), P.log()).item() == pytest.approx(expected)


def test_jensen_shannon_goes_to_the_others() -> None:
    """Divided by beta it nears the forward KL as beta nears 0, and the reverse at the other end."""
    one, other = log_probs(seed=1, dtype=torch.float64), log_probs(seed=2, dtype=torch.float64)
    forward = JensenShannon(1e-6)(one, other) / 1e-6
    torch.testing.assert_close(forward, ForwardKL()(one, other), rtol=1e-4, atol=0)
    reverse = JensenShannon(1 - 1e-6)(one, other) / 1e-6
    torch.testing.assert_close(reverse, ReverseKL()(one, other), rtol=1e-4, atol=0)


@pytest.mark.parametrize("beta", [0.0, 1.0, -1.0, 2.0])
def test_jensen_shannon_refuses_other_betas(beta: float) -> None:
    """The limits have names of their own."""
    with pytest.raises(UsageError, match=f"--distill-beta {beta}: expected between 0 and 1"):
        JensenShannon(beta)


def test_cosine_by_hand() -> None:
    """(1, 0, -1) and (1, 1, -2) are centred already: 1 - 3 / sqrt(2 x 6)."""
    student, teacher = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[1.0, 1.0, -2.0]])
    expected = 1 - 3 / math.sqrt(12)
    assert Cosine()(student, teacher).item() == pytest.approx(expected, abs=1e-6)
    # neither shift nor scale of a ranker's scores means anything
    assert Cosine()(5 * student + 3, teacher - 7).item() == pytest.approx(expected, abs=1e-6)
