"""A tiny model in service, which knows one way to answer and can learn another."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.versions.store import VersionStore
from tests.scripts.updating import VERBS, dialogues


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the model in service knows, and an update that it can learn."""
    folder = tmp_path_factory.mktemp("tasks")
    return {
        "old": dialogues(folder / "old.jsonl", VERBS, lambda v, s: f"i {v} the {s}", "soon"),
        "new": dialogues(folder / "new.jsonl", VERBS, lambda v, s: f"then {s} {v} 42 please"),
    }


@pytest.fixture(scope="session")
def live(
    train: Callable[..., Any], tasks: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A tiny model that was trained on both a little: its dictionary has the words."""
    from tests.conftest import TINY_TRANSFORMER

    path = str(tmp_path_factory.mktemp("live") / "model")
    # ParlAI draws the weights before it applies --seed
    torch.manual_seed(0)
    random.seed(0)
    train(
        model="transformer/generator",
        task=f"{tasks['old']},{tasks['new']}",
        multitask_weights=[9, 1],
        model_file=path,
        max_train_steps=60,
        batchsize=16,
        seed=0,
        **TINY_TRANSFORMER,
    )
    return path


@pytest.fixture
def versions(live: str, tmp_path: Path) -> VersionStore:
    """The model in service, as a version."""
    store = VersionStore(str(tmp_path / "versions"), create=True)
    first = store.add(live, mode="import")
    store.promote(first.id, force=True, why="the first")
    return store
