"""parlai_cu/chat_service/manager.py: models as config.yml names them."""

import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from parlai_cu.knowledge.opening import open_knowledge_base
from parlai_cu.types import Fact


def test_flags_that_are_not_named_have_their_defaults(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few flags and a data path: all others are as on the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["test"])
    from parlai_cu.chat_service.manager import _load

    base = open_knowledge_base("sqlite:///facts.db", writable=True)
    base.add([Fact("Parking is free.", id="parking")])
    base.close()
    opt: Any = {
        "model": "kb_augmented",
        "init_model": deployed("transformer/generator"),
        "kb": "sqlite:///facts.db",
        "kb_gate": "always",
        "datapath": str(tmp_path),
    }
    agent = _load(opt, threads=1)
    assert agent.opt["kb_integrate"] == "answer" and agent.opt["beam_size"] == 1
    agent.observe({"text": "how much is parking?", "episode_done": False})
    assert agent.act()["text"] == "Parking is free."
