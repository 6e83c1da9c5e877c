"""What the tests of the agents share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.agents.deployed import service as service_module
from parlai_cu.agents.training_step.step import TrainingStep
from tests.agents.served import GENERATOR, Versions

SMALLER = dict(n_layers=1, ffn_size=16)


@pytest.fixture
def both(data: Path) -> str:
    """``-t OLD,UPDATE``."""
    return ",".join(f"jsonfile:jsonfile_datapath={data / name}.jsonl" for name in ("old", "new"))


@pytest.fixture
def distil(
    deployed: Callable[[str], str], train: Callable[..., Any], both: str, tmp_path: Path
) -> Callable[..., str]:
    """``distil(**options)``: the main command with a tiny teacher; the student's path."""

    def run(**options: Any) -> str:
        settings: dict[str, Any] = dict(
            model="distill_student",
            teacher_model=deployed(GENERATOR),
            model_file=str(tmp_path / "student" / "model"),
            task=both,
            **SMALLER,
        )
        settings.update(options)
        train(**settings)
        return settings["model_file"]

    return run


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ParlAI's log was warned of."""
    import parlai.utils.logging

    told: list[str] = []
    monkeypatch.setattr(parlai.utils.logging, "warning", told.append)
    return told


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each step made of its batch: roles, losses and the mixture."""
    seen: list[dict[str, Any]] = []
    stock = TrainingStep.add_to

    def add_to(self: Any, gold: torch.Tensor) -> torch.Tensor:
        loss = stock(self, gold)
        seen.append(
            dict(
                follows=self.agent._followed(self.batch),
                base=gold.detach().clone(),
                loss=loss.detach().clone(),
                texts=[o["text"] for o in self.batch.observations],
                batch=self.batch,
                scores=self.result.scores.detach().clone(),
                position=self.result.position,
                gold=self.gold,
                agent=self.agent,
            )
        )
        return loss

    monkeypatch.setattr(TrainingStep, "add_to", add_to)
    return seen


@pytest.fixture
def versions(
    tmp_path: Path, deployed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Versions:
    """Two versions, the first of which is live."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Versions(tmp_path, deployed(GENERATOR))
    for seed in (0, 1):
        made.add(seed)
    made.store.promote("v1")
    return made


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody watches the channels; the test calls ``look()``."""
    monkeypatch.setattr(service_module, "_watch", lambda *_: None)
