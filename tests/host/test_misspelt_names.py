"""What ParlAI says of misspelt names and flags: one line, with what comes nearest."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.loader import load_agent_module, load_teacher_module

from parlai_cu.errors import DataError, ModelFileError, UsageError


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("frozen_layers", "frozen_layer"),
        ("deployd", "deployed"),
        ("transfomer/generator", "transformer/generator"),
        ("no_module_of_mine:MyAgent", ""),
        ("transformer/generater", "transformer/generator"),
    ],
)
def test_agents(name: str, nearest: str) -> None:
    """-m, of ours and of ParlAI's."""
    near = f"; nearest: .*{nearest}" if nearest else ""
    with pytest.raises(UsageError, match=f"^-m {name}: .*no such agent .*{near}"):
        load_agent_module(name)


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("telekom", "telecom"),
        ("telecom:corections", "telecom:corrections"),
        ("telecom:new_plan:note=3", "telecom:new_plans"),
        ("jsonfil:jsonfile_datapath=new.jsonl", "jsonfile"),
        ("integration_tests:clasifier", "integration_tests:classifier"),
    ],
)
def test_tasks(name: str, nearest: str) -> None:
    """-t, of ours and of ParlAI's, with options behind it."""
    typed = name.split(":note")[0].split(":jsonfile_")[0]
    with pytest.raises(UsageError, match=f"^-t {typed}: .*no such task; nearest: {nearest}"):
        load_teacher_module(name)


def test_what_an_agent_lacks_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are right, of modules whose own imports fail."""
    (tmp_path / "lacking_a_module.py").write_text("import not_installed_anywhere")
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "a_name.py").write_text("import json; json.no_such_function")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load_agent_module("lacking_a_module:MyAgent")
    with pytest.raises(AttributeError, match="no_such_function"):
        load_teacher_module("lacking.a_name:MyTeacher")


def test_model_files(tmp_path: Path, deployed: Callable[[str], str]) -> None:
    """-mf of a model that is not there, and of a folder."""
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt

    model = deployed("transformer/generator")
    wrong = Opt(model_file=model[:-2] + "le", datapath=str(tmp_path))
    with pytest.raises(ModelFileError, match="-mf .*modle: there is no such .*nearest in .*model"):
        create_agent(wrong, requireModelExists=True)
    wrong["model_file"] = str(Path(model).parent)
    with pytest.raises(ModelFileError, match="that is a folder; in it: .*model"):
        create_agent(wrong)
    wrong["model_file"] = "zoo:telekom/base"
    with pytest.raises(ModelFileError, match="the zoo has no such model; nearest: zoo:telecom/"):
        create_agent(wrong)


def test_a_folder_for_a_data_file(tmp_path: Path) -> None:
    """-t jsonfile of a folder."""
    from parlai.scripts.display_data import DisplayData

    (tmp_path / "new.jsonl").write_text("")
    with pytest.raises(DataError, match=r"there is no such file \(that is a folder; in it: new"):
        DisplayData.main(task="jsonfile", jsonfile_datapath=str(tmp_path))


@pytest.mark.parametrize(
    "line, told",
    [
        ("interactive", "no model; expected -mf MODEL or -m AGENT"),
        ("display_data", "no task; expected -t TASK"),
        ("train_model -m transformer/generator -t telecom", "no model file; expected -mf PATH"),
    ],
)
def test_what_is_not_said(line: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without -m, -t or -mf."""
    from parlai.core.script import superscript_main

    monkeypatch.setattr(sys, "argv", ["parlai", *line.split()])
    with pytest.raises(UsageError, match=told):
        superscript_main()


@pytest.mark.parametrize(
    "line, told",
    [
        ("version list", "invalid choice: 'version'; nearest: versions"),
        ("update-model", "invalid choice: 'update-model'; nearest: update_model"),
        ("doctor --jsn", "unrecognized arguments: --jsn; nearest: "),
        (
            "train_model -m frozen_layer --init-model zoo:telecom/base --tunes @ffn",
            "unrecognized arguments: --tunes @ffn; nearest: --tune",
        ),
        (
            "versions list --version service",
            "unrecognized arguments: --version; nearest: --versions",
        ),
        ("versions list --keep many", "argument --keep: invalid int value: 'many'"),
    ],
)
def test_commands_and_flags(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines instead of the whole help; the status is argparse's."""
    from parlai.core.script import superscript_main

    monkeypatch.setattr(sys, "argv", ["parlai", *line.split()])
    with pytest.raises(SystemExit) as left:
        superscript_main()
    printed: Any = capsys.readouterr()
    assert left.value.code == 2 and printed.out == ""
    assert told in printed.err and len(printed.err.splitlines()) == 2
