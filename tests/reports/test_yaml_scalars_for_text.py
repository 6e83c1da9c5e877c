"""Where text is meant, what YAML reads otherwise than it is written is refused before "Ready"."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from parlai_cu.chat_service import flags, worlds, yaml_settings
from parlai_cu.errors import UsageError
from tests.agents.served import GENERATOR
from tests.chat_service import config, service

SERVICE = [
    ("password: 0777", "password: what was found is a number to YAML, expected a text"),
    ("admin_token: 51.1", "admin_token: what was found is a number"),
    ("admin_token: 12_34", "admin_token: what was found is a number"),
    ("address: 127.0", "address: 127.0 is a number to YAML"),
    ("tls_cert: off", "tls_cert: False is true or false to YAML"),
    ("allow_host: 2024-01-02", "allow_host: .*2024.* is date to YAML"),
    ("proxy_header: no", "proxy_header: False is true or false"),
    ("allow_origin: [1, 2]", "allow_origin: .* is list to YAML"),
]


@pytest.mark.parametrize("written, told", SERVICE)
def test_of_the_service(written: str, told: str) -> None:
    """Secrets are not shown."""
    with pytest.raises(UsageError, match=told) as error:
        yaml_settings.check(yaml.safe_load(written), flags.service_parser(), "config.yml: opt")
    assert not any(secret in str(error.value) for secret in ("511", "51.1", "1234"))


CHAT = [
    ("title: 2024", "title: found 2024, expected text"),
    ("greeting: no", "greeting: found False, expected no boolean"),
    ("farewell: 1:30", "farewell: found 90, expected text"),
    ("quick_replies: [yes, no]", "quick_replies: found .* expected a list of texts"),
    ("feedback: [a]", "feedback: found .* expected text"),
]


@pytest.mark.parametrize("written, told", CHAT)
def test_of_the_chat(written: str, told: str) -> None:
    """What users would read."""
    with pytest.raises(UsageError, match=told):
        worlds.check_settings({"chat": yaml.safe_load(written)})


MODEL = [
    ("beam_block_list_filename: 0123", "beam_block_list_filename: 83 is a number to YAML"),
    ("inference: on", "inference: True is true or false to YAML"),
    ("fixed_candidates_path: 1.5", "fixed_candidates_path"),
]


@pytest.mark.parametrize("written, told", MODEL)
def test_of_a_model(deployed: Callable[[str], str], written: str, told: str, data: Path) -> None:
    """As a flag would have it."""
    agent = "transformer/biencoder" if "candidates" in written else GENERATOR
    given = {"model_file": deployed(agent), **yaml.safe_load(written)}
    with pytest.raises(UsageError, match=f"config.yml: models: bot.*{told}"):
        yaml_settings.model_options("bot", given, str(data))


def test_before_it_says_that_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model is loaded for it."""
    from parlai_cu.chat_service import manager

    monkeypatch.setattr(manager, "_load", None)
    written: dict[str, Any] = {**config(), "opt": {"password": 83}}
    with pytest.raises(UsageError, match="password"):
        service(tmp_path, written, {"bot": {"model_file": "m"}})
    assert "Ready" not in capsys.readouterr().out
