"""parlai_cu/scripts/serve.py: what is wrong with a configuration is said before it listens."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.scripts.serve import Serve
from tests.chat_service import config


def run(folder: Path, written: Any, **flags: Any) -> None:
    """The command, with this in its configuration file."""
    path = folder / "config.yml"
    path.write_text(written if isinstance(written, str) else json.dumps(written))
    Serve.main(config_path=str(path), **{"port": 0, **flags})


@pytest.mark.parametrize(
    "written, words",
    [
        (": : :", "it is not YAML"),
        ("- a", "expected world_module, overworld"),
        ("{}", "Did not specify world module; expected world_module"),
        ({**config(), "tasks": {}}, "task not in config file"),
        (config(overworld="MessengerOverwold"), "no such world; nearest: MessengerOverworld"),
        (
            config(tasks={"default": {"task_world": "MessengerBotChatTaskWorl"}}),
            "task_world of default is 'MessengerBotChatTaskWorl'",
        ),
        (
            config(tasks={"a": {"task_world": "MessengerBotChatTaskWorld", "backup_task": "b"}}),
            "backup_task of a is 'b'; its tasks are a",
        ),
        (
            {**config(), "opt": {"max_text": "many"}},
            "opt: max_text: found the text 'many', expected a number",
        ),
        ({**config(), "opt": {"max_queue": -1}}, "--max-queue -1: expected a number from 0 up"),
    ],
)
def test_configurations(tmp_path: Path, written: Any, words: str) -> None:
    """Each error names the file's entry, and what was expected."""
    with pytest.raises(UsageError) as error:
        run(tmp_path, written)
    assert words in str(error.value)


def test_no_configuration(tmp_path: Path) -> None:
    """The flag, or the file, is missing."""
    with pytest.raises(UsageError, match="needs --config-path"):
        Serve.main(port=0)
    with pytest.raises(UsageError, match="there is no such file"):
        Serve.main(config_path=str(tmp_path / "nothing.yml"))


@pytest.mark.parametrize("port", [80000, -1])
def test_ports(tmp_path: Path, port: int) -> None:
    """What is no port is not taken modulo 65536."""
    with pytest.raises(UsageError, match=f"--port {port}: expected a number from 0 to 65535"):
        run(tmp_path, config(), port=port)


def test_flags_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given on the command line; then the file; secrets also from the environment."""
    from parlai_cu.chat_service import flags
    from parlai_cu.chat_service.manager import ServiceManager

    made = []
    monkeypatch.setattr(ServiceManager, "start_task", lambda self: made.append(self))
    monkeypatch.setenv("PARLAI_CU_PASSWORD", "from outside")
    written = {**config(), "opt": {"max_text": 10, "max_batch": 3, "max_queue": 4}}
    run(tmp_path, written, max_text=20)
    (manager,) = made
    limits = manager.gateway.limits
    assert (limits.max_text, limits.max_queue, manager.batcher.max_batch) == (20, 4, 3)
    assert limits.max_conversations == 100 and manager.gateway.password == "from outside"
    assert flags.value({}, "address") == "127.0.0.1"


def test_help_tells_the_defaults() -> None:
    """Every limit with its default."""
    import re

    from parlai_cu.serving.limits import ServiceLimits

    text = " ".join(Serve.setup_args().format_help().split())
    for name, value in vars(ServiceLimits()).items():
        flag = f"--{name.replace('_', '-')}"
        assert flag in text
        if name != "max_conversations":
            assert re.search(rf"{flag} .*?default: {value}\)", text), name
