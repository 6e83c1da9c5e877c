"""How a candidate is defended against forgetting."""

from types import SimpleNamespace
from typing import Any

import pytest
from parlai.core.opt import Opt

from parlai_cu.update.choice import TUNE
from parlai_cu.update.steps import training


@pytest.mark.parametrize("small", [True, False])
def test_a_small_update_is_not_held_by_the_replies_that_it_puts_right(small: bool) -> None:
    """Without old data the live model's own words on the update's questions are replayed, but
    where the update is corrections of just these."""
    plan: Any = SimpleNamespace(
        has_soft_labels=True,
        old=[],
        generates=True,
        update=SimpleNamespace(small=small),
        choice=SimpleNamespace(mode=TUNE),
    )
    words = training._defence(plan, 0.5)
    assert ("--replay-from-model" in words) is not small and "--penalty" in words


def test_mutators_of_the_command_are_passed_on() -> None:
    """To the runs that it starts; without any nothing is."""
    opt = Opt(datapath="data", loglevel="info", mutators="flatten+last_turn")
    assert "--mutators flatten+last_turn" in " ".join(training.run_options(opt))
    assert "--mutators" not in training.run_options(Opt(datapath="data"))
