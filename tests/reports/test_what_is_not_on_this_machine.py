"""An optimizer that the deployed model was trained by, and that there is not here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.agents import base_agent
from tests.agents.served import GENERATOR


@pytest.mark.parametrize(
    "named, taken",
    [("fused_adam", "adam"), ("apex_sgd_of_mine", "sgd"), ("lamb", "adam"), ("sgd", "sgd")],
)
def test_an_optimizer(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    tmp_path: Path,
    named: str,
    taken: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nearest one is taken, and that is said."""
    told: list[str] = []
    monkeypatch.setattr(base_agent.logging, "warning", told.append)
    source = Path(deployed(GENERATOR))
    for each in source.parent.glob("model*"):
        shutil.copyfile(each, tmp_path / each.name)
    opt = json.loads((tmp_path / "model.opt").read_text())
    (tmp_path / "model.opt").write_text(json.dumps({**opt, "optimizer": named}))
    train(
        model="frozen_layer",
        init_model=str(tmp_path / "model"),
        model_file=str(tmp_path / "candidate" / "m"),
        tune="@bias",
        optimizer=None,
        max_train_steps=1,
    )
    assert json.loads((tmp_path / "candidate" / "m.opt").read_text())["optimizer"] == taken
    assert any(f"--optimizer {named}" in line for line in told) == (named != taken)
