"""Agents with habits of their own in training: their own loss, and what was asked for beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.agents_of_others.habits import PLACE
from tests.conftest import TINY_TRANSFORMER, states

MODEL = ["PositionBias", "PositionMean", "Copying"]
LOSS = [
    *["OwnCrossEntropy", "OwnBackward", "OwnBackwardThenUpdate", "AuxiliaryHead"],
    *["Unlikelihood", "ThreeArguments", "PartOfRows"],
]


@pytest.fixture(scope="session")
def base(
    train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """``base(habit)``: the path of a tiny deployed model of that agent, trained once."""
    made: dict[str, str] = {}

    def get(habit: str) -> str:
        if habit not in made:
            path = str(tmp_path_factory.mktemp(habit) / "model")
            train(model=f"{PLACE}:{habit}", model_file=path, **TINY_TRANSFORMER)
            made[habit] = path
        return made[habit]

    return get


@pytest.fixture
def tune(train: Callable[..., Any], base: Callable[[str], str], tmp_path: Path) -> Any:
    """``tune(habit, name, **options)``: frozen_layer over it; the weights that come out."""

    def run(habit: str, name: str, **options: Any) -> dict[str, torch.Tensor]:
        path = str(tmp_path / name / "model")
        settings: dict[str, Any] = dict(tune="decoder", optimizer="sgd", learningrate=0.1)
        train(
            model="frozen_layer",
            init_model=base(habit),
            model_file=path,
            **{**settings, **options},
        )
        return states(path)["model"]

    return run


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Between two sets of weights."""
    return sum((one[n].float() - other[n].float()).pow(2).sum().item() for n in one) ** 0.5


@pytest.mark.parametrize("habit", [*MODEL, *LOSS])
def test_the_loss_is_the_bases_own(
    habit: str, tune: Callable[..., Any], base: Callable[[str], str], train: Any, tmp_path: Path
) -> None:
    """All parameters learning, the candidate is the one that the base itself would train."""
    path = str(tmp_path / "stock" / "model")
    options: dict[str, Any] = dict(optimizer="sgd", learningrate=0.1, seed=3)
    train(
        model=f"{PLACE}:{habit}",
        init_model=base(habit),
        dict_file=base(habit) + ".dict",
        model_file=path,
        **TINY_TRANSFORMER,
        **options,
    )
    ours, stock = tune(habit, "ours", tune="*", **options), states(path)["model"]
    for name in stock:
        torch.testing.assert_close(ours[name], stock[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("penalty", ["lwf", "l2sp"])
@pytest.mark.parametrize("habit", [*MODEL, *LOSS])
def test_penalties_happen(penalty: str, habit: str, tune: Callable[..., Any], base: Any) -> None:
    """A strong penalty keeps the candidate near the deployed model, whoever calls backward."""
    weight = {"lwf": 20.0, "l2sp": 5.0}[penalty]
    start = states(base(habit))["model"]
    options: dict[str, Any] = dict(max_train_steps=10)
    free = distance(tune(habit, "free", **options), start)
    held = distance(tune(habit, "held", penalty=penalty, penalty_weight=weight, **options), start)
    assert held < 0.97 * free
