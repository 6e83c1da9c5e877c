"""Hidden states, attention, what a student starts from."""

import pytest
import torch

from parlai_cu.distillation.attention import attention_loss
from parlai_cu.distillation.hidden_states import HiddenStateLoss, evenly_spaced, matched_layers
from parlai_cu.distillation.student_init import copy_layers, spread_layers


def test_hidden_states_by_hand() -> None:
    """Errors of 1 and 3 on two tokens, the third is padding: (1 + 9) / 2."""
    student, teacher = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)
    teacher[0, 0], teacher[0, 1], teacher[0, 2] = 1.0, 3.0, float("inf")
    mask = torch.tensor([[True, True, False]])
    assert HiddenStateLoss([(2, 2)])(student, teacher, mask).item() == pytest.approx(5.0)


def test_projections_where_widths_differ() -> None:
    """One for each pair of widths, learnt; none for equal ones."""
    loss = HiddenStateLoss([(2, 4), (2, 4), (3, 3)])
    assert [tuple(p.shape) for p in loss.parameters()] == [(4, 2)]
    mask = torch.ones(1, 3, dtype=torch.bool)
    value = loss(torch.randn(1, 3, 2), torch.randn(1, 3, 4), mask)
    value.backward()
    assert next(loss.parameters()).grad.abs().sum() > 0


def test_hidden_states_gradients_and_nothing_but_padding() -> None:
    """Finite differences agree; an empty mask gives 0."""
    loss = HiddenStateLoss([(3, 3)])
    student = torch.randn(2, 2, 3, requires_grad=True)
    teacher, mask = torch.randn(2, 2, 3), torch.tensor([[True, False], [True, True]])
    loss(student, teacher, mask).backward()
    expected = 2 * (student - teacher) / 9 * mask.unsqueeze(-1)
    torch.testing.assert_close(student.grad, expected.detach())
    assert loss(student, teacher, torch.zeros_like(mask)).item() == 0


def test_hidden_states_of_other_lengths() -> None:
    """All three shapes are named."""
    with pytest.raises(ValueError, match=r"\[1, 3, 2\].*\[1, 4, 2\].*mask \[1, 3\]"):
        HiddenStateLoss([])(torch.zeros(1, 3, 2), torch.zeros(1, 4, 2), torch.ones(1, 3).bool())


def test_attention_by_hand() -> None:
    """(1, 0) against (.5, .5): .25 + .25; the second query is padding."""
    student = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    teacher = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])
    mask = torch.tensor([[True, False]])
    assert attention_loss(student, teacher, mask).item() == pytest.approx(0.5)
    assert attention_loss(student, teacher, torch.zeros_like(mask)).item() == 0


def test_attention_with_other_heads() -> None:
    """Means over heads are compared; other sizes are refused."""
    student = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # two heads, even on the whole
    teacher = torch.tensor([[[[0.5, 0.5]]]])
    mask = torch.tensor([[True]])
    assert attention_loss(student, teacher, mask).item() == 0
    with pytest.raises(ValueError, match="differ in heads only"):
        attention_loss(student, torch.zeros(1, 1, 1, 3), mask)


def test_which_layers_are_matched() -> None:
    """The last of equally many; stacks that one lacks are left out."""
    assert evenly_spaced(1, 3) == [2]
    assert evenly_spaced(3, 12) == [3, 7, 11]
    assert evenly_spaced(4, 2) == [0, 0, 0, 1]
    pairs = matched_layers({"encoder.layers": 1, "x": 2}, {"encoder.layers": 2, "y": 1})
    assert pairs == [("encoder.layers", 0, 1)]


def test_which_layers_are_copied() -> None:
    """Spread from the first to the last."""
    assert spread_layers(1, 6) == [0]
    assert spread_layers(2, 6) == [0, 5]
    assert spread_layers(3, 12) == [0, 6, 11]
    assert spread_layers(3, 3) == [0, 1, 2]
    assert spread_layers(4, 2) == [0, 0, 1, 1]


def test_student_starts_as_its_teacher() -> None:
    """Numbered layers by their map, others by name; what does not fit stays."""
    teacher = {f"decoder.layers.{i}.norm.weight": torch.full((2,), float(i)) for i in range(3)}
    teacher.update({"embeddings.weight": torch.ones(4, 2), "head.weight": torch.ones(5, 2)})
    student = {f"decoder.layers.{i}.norm.weight": torch.full((2,), -1.0) for i in range(2)}
    student.update({"embeddings.weight": torch.zeros(4, 2), "head.weight": torch.zeros(7, 2)})
    state, copied = copy_layers(student, teacher)
    assert state["decoder.layers.0.norm.weight"].tolist() == [0, 0]
    assert state["decoder.layers.1.norm.weight"].tolist() == [2, 2]
    assert state["embeddings.weight"].sum() == 8
    assert state["head.weight"].sum() == 0
    assert "head.weight" not in copied and len(copied) == 3
    state["embeddings.weight"].zero_()
    assert teacher["embeddings.weight"].sum() == 8, "the teacher's own memory was handed out"


def test_narrower_feed_forward_takes_the_most_active_units() -> None:
    """Rows in, bias and columns out of the same units."""
    teacher = {
        "ffn.lin1.weight": torch.tensor([[1.0, 1.0], [9.0, 9.0], [5.0, 5.0]]),
        "ffn.lin1.bias": torch.tensor([1.0, 2.0, 3.0]),
        "ffn.lin2.weight": torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]),
    }
    student = {
        "ffn.lin1.weight": torch.zeros(2, 2),
        "ffn.lin1.bias": torch.zeros(2),
        "ffn.lin2.weight": torch.zeros(2, 2),
    }
    state, copied = copy_layers(student, teacher)
    assert sorted(copied) == sorted(student)
    assert state["ffn.lin1.weight"].tolist() == [[9, 9], [5, 5]]
    assert state["ffn.lin1.bias"].tolist() == [2, 3]
