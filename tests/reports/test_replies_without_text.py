"""An empty message has no answer, and ends no conversation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import create_agent
from parlai.core.params import ParlaiParser

from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.versions.store import VersionStore
from tests.agents.served import GENERATOR

EMPTY: list[dict[str, Any]] = [{"text": ""}, {"text": None}, {}]
BASES = (GENERATOR, "transformer/biencoder", "transformer/classifier", "seq2seq")


def interactive(**flags: Any) -> Any:
    """An agent as ``parlai interactive`` makes it."""
    parser = ParlaiParser(True, True)
    parser.set_defaults(interactive_mode=True, task="interactive")
    return create_agent(parser.parse_kwargs(no_cuda=True, loglevel="error", **flags))


def check(agent: Any) -> None:
    """It says nothing to nothing, and something to something, also in the same conversation."""
    for empty in EMPTY:
        agent.observe({"id": "human", "episode_done": False, **empty})
        assert agent.act()["text"] == ""
        agent.observe({"id": "human", "episode_done": False, "text": "hello there"})
        assert isinstance(agent.act()["text"], str)
        agent.reset()


@pytest.mark.parametrize("base", BASES)
def test_a_model(deployed: Callable[[str], str], data: Path, base: str) -> None:
    """Generators, rankers, classifiers."""
    check(interactive(model_file=deployed(base), datapath=str(data)))


@pytest.mark.parametrize("base", BASES[:3])
def test_a_deployed_one(
    deployed: Callable[[str], str],
    data: Path,
    base: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``-m deployed``."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = VersionStore(str(tmp_path / "store"), create=True)
    store.promote(store.add(deployed(base), mode="import").id, force=True)
    agent = interactive(model="deployed", versions=store.path, datapath=str(data))
    try:
        check(agent)
    finally:
        agent.shutdown()


@pytest.mark.parametrize("gate", ["always", "never"])
def test_with_knowledge(
    deployed: Callable[[str], str], data: Path, gate: str, tmp_path: Path
) -> None:
    """``-m kb_augmented``."""
    uri = f"sqlite:///{tmp_path}/facts.db"
    open_knowledge_base(uri, writable=True).close()
    flags = {"init_model": deployed(GENERATOR), "kb": uri, "kb_gate": gate}
    check(interactive(model="kb_augmented", datapath=str(data), **flags))
