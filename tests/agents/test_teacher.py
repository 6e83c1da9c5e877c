"""The teacher: what loading it does to the run that asks for it."""

import random
from collections.abc import Callable

import torch
from parlai.core.opt import Opt

from parlai_cu.agents.teacher import Teacher


def test_loading_draws_no_random_numbers(deployed: Callable[[str], str]) -> None:
    """A student must not depend on whether its teacher was in memory already."""
    teacher = Teacher(deployed("transformer/generator"), Opt(no_cuda=True))
    before = torch.get_rng_state(), random.getstate()
    model = teacher._load().model
    assert next(model.parameters()).requires_grad is False
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
