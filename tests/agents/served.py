"""A versions directory of tiny models, and conversations with -m deployed, for its tests."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from parlai_cu.agents.deployed.deployed import DeployedAgent
from parlai_cu.types import Verdict
from parlai_cu.versions.store import VersionStore

GENERATOR = "transformer/generator"
PATIENCE = 60.0  # s, for what happens in the background
# tiny models would say nothing at all
ELOQUENT = {"no_cuda": True, "beam_min_length": 3}


class Versions:
    """A store of a tiny deployed model and of others like it."""

    def __init__(self, folder: Path, model_file: str) -> None:
        self.folder, self.model_file = folder, model_file
        self.store = VersionStore(str(folder / "store"), create=True)

    def add(self, seed: int, spoil: Callable[[dict[str, Any], dict[str, Any]], None] = None) -> str:  # type: ignore[assignment]
        """The model with other weights; ``spoil`` may change weights and settings."""
        target = self.folder / f"model{seed}" / "model"
        target.parent.mkdir()
        states = torch.load(self.model_file, weights_only=True)
        opt = json.loads(Path(self.model_file + ".opt").read_text())
        draw = torch.Generator().manual_seed(seed)
        for weights in states["model"].values():
            if weights.is_floating_point():
                weights += torch.randn(weights.shape, generator=draw)
        if spoil:
            spoil(states, opt)
        torch.save(states, target)
        Path(f"{target}.opt").write_text(json.dumps(opt))
        shutil.copyfile(self.model_file + ".dict", f"{target}.dict")
        return self.keep(str(target))

    def keep(self, model_file: str) -> str:
        """Add a model, as the gate would have accepted it."""
        return self.store.add(model_file, mode="frozen_layer", verdict=Verdict("accept")).id


def serve(versions: Versions, **flags: Any) -> DeployedAgent:
    """An agent as ``interactive`` makes it."""
    from parlai.core.agents import create_agent
    from parlai.core.params import ParlaiParser

    parser = ParlaiParser(True, True)
    parser.set_defaults(interactive_mode=True, task="interactive")
    flags = {"model": "deployed", "versions": versions.store.path, **ELOQUENT, **flags}
    opt = parser.parse_kwargs(**flags)
    agent: DeployedAgent = create_agent(opt, requireModelExists=True)
    return agent


def plain(versions: Versions, version: str) -> Any:
    """The same version, as ``-mf`` loads it."""
    from parlai.core.agents import create_agent_from_model_file

    model_file = versions.store.model_file(version)
    return create_agent_from_model_file(model_file, {**ELOQUENT, "interactive_mode": True})


def say(agent: Any, text: str, **fields: Any) -> Any:
    """A turn: the reply's act."""
    agent.observe({"id": "user", "text": text, "episode_done": False, **fields})
    return agent.act()


def until(happened: Callable[[], Any]) -> None:
    """Wait for what a thread does."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def heard(agent: Any) -> list[str]:
    """All that a conversation's model remembers."""
    return list(agent.history.history_strings)
