"""Whatever a configuration says is in force, or is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from parlai_cu.chat_service.config import read
from parlai_cu.chat_service.yaml_settings import model_options
from parlai_cu.errors import UsageError
from tests.agents.served import GENERATOR
from tests.chat_service import config, service


def loaded(given: dict[str, Any], data: Path) -> Any:
    """The agent that config.yml means."""
    from parlai_cu.chat_service.manager import _load

    return _load(model_options("bot", given, str(data)), 1)


@pytest.mark.parametrize(
    "name, value",
    [("beam_size", 3), ("beam_block_ngram", 2), ("beam_block_list_filename", "blocked.txt")],
)
@pytest.mark.parametrize("at", ["beside", "override", "overrides"])
def test_a_setting_of_a_model_counts_wherever_it_stands(
    deployed: Callable[[str], str], data: Path, tmp_path: Path, name: str, value: Any, at: str
) -> None:
    """Beside ``model_file:`` and under ``override:`` alike, over what the .opt says."""
    (tmp_path / "blocked.txt").write_text("hello\n")
    value = str(tmp_path / value) if isinstance(value, str) else value
    given: dict[str, Any] = {"model_file": deployed(GENERATOR), "no_cuda": True}
    given.update({name: value} if at == "beside" else {at: {name: value}})
    assert loaded(given, data).opt[name] == value


def test_the_same_of_deployed(
    deployed: Callable[[str], str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands beside ``model: deployed`` reaches the version's model."""
    from parlai_cu.versions.store import VersionStore

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = VersionStore(str(tmp_path / "store"), create=True)
    store.promote(store.add(deployed(GENERATOR), mode="import").id, force=True)
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("hello\n")
    given = {
        **{"model": "deployed", "versions": store.path, "no_cuda": True},
        **{"inference": "beam", "beam_size": 2, "beam_block_list_filename": str(blocked)},
    }
    agent = loaded(given, data)
    try:
        inner = agent.service.residents[agent.version].agent
        assert inner.opt["beam_size"] == inner.beam_size == 2
        assert list(inner.beam_block_list.items())
    finally:
        agent.shutdown()


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"beam_sise": 3}, "beam_sise: .* has no such setting; nearest: beam_size"),
        ({"override": {"skip_generatoin": True}}, "nearest: skip_generation"),
        ({"beam_size": "many"}, "beam_size: found the text 'many', expected a number"),
        ({"beam_block_list_filename": 83}, "expected a text: put it in quotes"),
        ({"inference": "beem"}, "inference: 'beem'; expected one of .*beam"),
        ({"override": [1, 2]}, "override: expected settings"),
    ],
)
def test_what_no_model_reads_is_refused(
    deployed: Callable[[str], str], data: Path, wrong: dict[str, Any], told: str
) -> None:
    """A misspelt name, a value of another kind."""
    with pytest.raises(UsageError, match=f"config.yml: models: bot.*{told}"):
        model_options("bot", {"model_file": deployed(GENERATOR), **wrong}, str(data))


def test_yaml_takes_some_numbers_for_texts(deployed: Callable[[str], str], data: Path) -> None:
    """``1e-5`` is a text to YAML, and a number to the flag."""
    given = yaml.safe_load("{learningrate: 1e-5, beam_size: '4', skip_generation: 'false'}")
    opt = model_options("bot", {"model_file": deployed(GENERATOR), **given}, str(data))
    assert opt["learningrate"] == 1e-5 and opt["beam_size"] == 4
    assert opt["skip_generation"] is False


@pytest.mark.parametrize(
    "change, told",
    [
        ({"pasword": "secret"}, "pasword: nothing reads it"),
        ({"password": "a secret of mine"}, "password: nothing reads it at the top"),
        ({"max_worker": 3}, "max_worker: there is no such setting; nearest: max_workers"),
        ({"tasks": {"default": {"task_world": "W", "onbord_world": "O"}}}, "onboard_world"),
        ({"additional_args": {"load_modle": False}}, "additional_args: load_modle: .*load_model"),
        ({"opt": {"chat": {"title": "x"}}}, "opt: chat: parlai.* does not read it"),
        (
            {"world_module": "parlai_cu.chat_service.worlds", "opt": {"max_txt": 3}},
            "opt: max_txt: there is no such setting; nearest: max_text",
        ),
        ({"update": {"every": 5}}, "update: nothing reads it"),
        (
            {"world_module": "parlai_cu.chat_service.worlds", "opt": {"colour": "red"}},
            "opt: colour: nothing reads it",
        ),
    ],
)
def test_a_misplaced_setting_of_the_service(
    tmp_path: Path, change: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing reads it, it is refused, or told where it could be anything."""
    from parlai.core.opt import Opt

    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump({**config(), **change}))
    if told.endswith("nothing reads it"):
        read(Opt(), str(path))
        assert told in capsys.readouterr().err
    else:
        with pytest.raises(UsageError, match=told):
            read(Opt(), str(path))


@pytest.mark.parametrize(
    "opt, told",
    [
        ({"max_conversation": 3}, "no such setting; nearest: max_conversations"),
        ({"tls_cert": 12}, "tls_cert: 12 is a number to YAML, expected a text"),
        ({"behind_proxy": "perhaps"}, "behind_proxy: found the text"),
        ({"max_batch": True}, "max_batch: True is true or false to YAML, expected a number"),
    ],
)
def test_settings_of_the_service_itself(tmp_path: Path, opt: dict[str, Any], told: str) -> None:
    """``opt:`` of config.yml is held against the flags of ``parlai serve``."""
    with pytest.raises(UsageError, match=told):
        service(tmp_path, {**config(), "opt": opt})


def test_settings_of_the_service_that_need_others() -> None:
    """They would say nothing alone."""
    from parlai_cu.chat_service import flags, worlds

    with pytest.raises(UsageError, match="--proxies 2: nothing reads it without --behind-proxy"):
        flags.settings({"proxies": 2})
    with pytest.raises(UsageError, match="longest: 9000 characters do not arrive: max_text is 50"):
        worlds.check_settings({"chat": {"longest": 9000}, "max_text": 50})
