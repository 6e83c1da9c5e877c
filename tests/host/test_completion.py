"""What a shell is offered for a line, without any heavy import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.host import completion
from tests.host.test_command_line import HEAVY, made_store  # noqa: F401

ASK = """
import json, os, subprocess, sys
from parlai.core import script
import argcomplete
def offered(line, name):
    os.environ.update(_ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line)),
        _ARGCOMPLETE_IFS="\\n", _ARGCOMPLETE_SUPPRESS_SPACE="1", _ARGCOMPLETE_STDOUT_FILENAME=name)
    stock = argcomplete.CompletionFinder.__call__
    try:
        argcomplete.autocomplete.__class__.__call__ = (
            lambda self, parser, **more: stock(self, parser, exit_method=sys.exit, **more))
        script.superscript_main([])
    except SystemExit:
        pass
    finally:
        argcomplete.autocomplete.__class__.__call__ = stock
    return open(name).read().split("\\n")
found = [offered(line, sys.argv[2]) for line in json.loads(sys.argv[1])]
print(json.dumps([found, [name for name in sys.argv[3].split(",") if name in sys.modules]]))
"""


def test_what_is_offered(tmp_path: Path, made_store: tuple[str, str]) -> None:  # noqa: F811
    """Commands, flags, and values: tasks, agents, versions, channels, names of ours."""
    import json

    store, version = made_store
    lines = {
        "parlai ": {"train_model", "versions", "serve", "vacuum"},
        "parlai tra": {"train_model"},
        "parlai train_model --validation-metric-m": {"--validation-metric-mode"},
        "parlai tm --dynamic-batching f": {"full"},
        "parlai train_model -mf x -t tele": {"telecom"},
        "parlai train_model -m frozen": {"frozen_layer"},
        "parlai train_model -m frozen_layer --tu": {"--tune"},
        "parlai tm --model cu:kb_augmented --kb-g": {"--kb-gate", "--kb-gate-threshold"},
        "parlai train_model --tu": set(),
        "parlai versions pr": {"promote", "prune"},
        f"parlai versions promote --versions {store} ": {version},
        f"parlai versions --versions {store} show v": {version},
        "parlai knowledge_base sta": {"stats"},
        "parlai serve --config": {"--config-path"},
        "parlai no_such_command --": set(),
        "parlai train_model -t 'tele": {"telecom"},
    }
    result = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(list(lines)), "offered", ",".join(HEAVY)],
        cwd=tmp_path,
        env={**os.environ, "COMP_TYPE": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    found, imported = json.loads(result.stdout.splitlines()[-1])
    for (line, expected), offered in zip(lines.items(), found):
        assert expected <= {word.strip("' ") for word in offered}, (line, offered)
    assert imported == []


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_installing(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell's file is written below the home folder; the user is told where."""
    from parlai.core.script import superscript_main

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    superscript_main(["--install-completion"])
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "parlai" in written.read_text()
    assert f"wrote {written}" in capsys.readouterr().out


def test_another_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that is not known is an error that names those that are."""
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    with pytest.raises(UsageError, match="tcsh: expected one of bash, zsh, fish"):
        completion.install()
