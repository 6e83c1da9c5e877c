"""Wherever a model talks to people it speaks, whatever it was trained for (agents/speaking.py)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ModelFileError, ParlaiCuError
from parlai_cu.types import Turn
from tests.agents.served import ELOQUENT
from tests.conftest import CANDIDATES, TINY_TRANSFORMER


@pytest.fixture(scope="module")
def silent(
    train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """``silent(kind)``: the path of a model trained without replies."""
    made: dict[str, str] = {}
    kinds: dict[str, dict[str, Any]] = {
        "generator": dict(
            model="transformer/generator",
            skip_generation=True,
            validation_metric="ppl",
            max_train_steps=40,
        ),
        "ranker of its batch": dict(
            model="transformer/biencoder", candidates="batch", eval_candidates="batch"
        ),
        "ranker of inline candidates": dict(model="transformer/polyencoder", **CANDIDATES),
    }

    def get(kind: str) -> str:
        if kind not in made:
            made[kind] = str(tmp_path_factory.mktemp("silent") / "model")
            train(model_file=made[kind], **{**TINY_TRANSFORMER, **kinds[kind]})
        return made[kind]

    return get


KINDS = ("generator", "ranker of its batch", "ranker of inline candidates")
# a tiny generator would end at once
LOUD = {**ELOQUENT, "beam_min_length": 3}


def first_reply(agent: Any) -> Any:
    """What it says to a greeting."""
    agent.observe({"text": "hello there", "episode_done": False})
    return agent.act().get("text")


def loud(kind: str) -> dict[str, Any]:
    """Flags that the kind has."""
    return LOUD if kind == "generator" else {"no_cuda": True}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_config_yml(silent: Callable[[str], str], kind: str, data: Path) -> None:
    """``model_file:`` is enough."""
    from parlai_cu.chat_service.manager import _load
    from parlai_cu.chat_service.yaml_settings import model_options

    opt = model_options("bot", {"model_file": silent(kind), **loud(kind)}, str(data))
    assert first_reply(_load(opt, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_deployed_in_a_service(
    silent: Callable[[str], str],
    kind: str,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``model: deployed`` in config.yml, where nothing says that it is interactive."""
    from parlai_cu.chat_service.manager import _load
    from parlai_cu.chat_service.yaml_settings import model_options
    from parlai_cu.versions.store import VersionStore

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = VersionStore(str(tmp_path / "store"), create=True)
    store.promote(store.add(silent(kind), mode="import").id, force=True)
    given = {"model": "deployed", "versions": store.path, **loud(kind)}
    agent = _load(model_options("bot", given, str(data)), 1)
    try:
        assert first_reply(agent)
    finally:
        agent.shutdown()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_as_knowledge(
    silent: Callable[[str], str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--kb agent:M`` answers."""
    from parlai_cu.agents.kb_augmented import domain_model
    from parlai_cu.agents.kb_augmented.domain_model import DomainModel

    stock = domain_model.speaking.overrides
    monkeypatch.setattr(
        domain_model.speaking, "overrides", lambda given=None: {**stock(given), **loud(kind)}
    )
    found = DomainModel(f"agent:{silent(kind)}").query(Turn("hello there"))
    assert found and found[0].text


@pytest.mark.parametrize("kind", KINDS)
def test_parlai_interactive(silent: Callable[[str], str], kind: str) -> None:
    """The stock command; a ranker's candidates are its task's, whatever that is called."""
    from parlai.core.agents import create_agent_from_model_file

    agent = create_agent_from_model_file(silent(kind), {"interactive_mode": True, **loud(kind)})
    assert first_reply(agent)


def test_one_that_was_silenced_is_refused_before_it_serves(
    silent: Callable[[str], str], data: Path, tmp_path: Path
) -> None:
    """The user's own ``interactive_mode: false`` wins, and is told."""
    from tests.chat_service import config, service

    models = {
        "bot": {
            "model_file": silent("generator"),
            "override": {"interactive_mode": False, "skip_generation": True, "no_cuda": True},
        }
    }
    with pytest.raises(ModelFileError, match="models: bot.*replied with None.*skip-generation"):
        service(tmp_path, config(), models, datapath=str(data))


def test_a_ranker_with_nothing_to_choose_from(
    silent: Callable[[str], str], tmp_path: Path, data: Path
) -> None:
    """Its task is not on this machine: the flag that helps is named."""
    import json
    import shutil

    from parlai.core.agents import create_agent_from_model_file

    source = Path(silent("ranker of its batch"))
    for each in source.parent.glob("model*"):
        if "cands" not in each.name:
            shutil.copyfile(each, tmp_path / each.name)
    opt = json.loads((tmp_path / "model.opt").read_text())
    opt["task"] = "jsonfile"
    opt["jsonfile_datapath"] = str(tmp_path / "gone.jsonl")
    (tmp_path / "model.opt").write_text(json.dumps(opt))
    with pytest.raises(ParlaiCuError, match="--fixed-candidates-path FILE, one reply a line"):
        create_agent_from_model_file(str(tmp_path / "model"), {"interactive_mode": True})
