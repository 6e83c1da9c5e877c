"""A lone surrogate, as broken exports have it, ends no command and no run in the middle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import DataError, KnowledgeError
from tests.conftest import TINY_TRANSFORMER

BROKEN = "hello \ud83d there"


@pytest.fixture
def task(tmp_path: Path) -> str:
    """Conversations with half a character on both sides."""
    with open(tmp_path / "chats.jsonl", "w") as f:
        for i in range(6):
            turns = [{"id": "user", "text": f"{BROKEN} {i}"}, {"id": "bot", "text": f"\udc00 {i}"}]
            f.write(json.dumps({"dialog": [turns]}) + "\n")
    return f"jsonfile:jsonfile_datapath={tmp_path}/chats.jsonl"


@pytest.mark.parametrize("datatype", ["train", "train:stream"])
def test_a_model_and_its_dictionary(
    train: Callable[..., Any], task: str, tmp_path: Path, datatype: str
) -> None:
    """ParlAI's own training, whose dictionary holds every word."""
    path = str(tmp_path / "m")
    settings = {**TINY_TRANSFORMER, "max_train_steps": 2, "dict_file": None}
    train(model="transformer/generator", model_file=path, task=task, datatype=datatype, **settings)
    assert "\ufffd" in Path(f"{path}.dict").read_text(encoding="utf-8")


def test_it_is_shown(task: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """display_data."""
    from parlai.scripts.display_data import DisplayData

    DisplayData.main(task=task, num_examples=2, datapath=str(data))
    assert "hello \ufffd there" in capsys.readouterr().out


def test_it_is_read_critically_and_written(task: str, tmp_path: Path) -> None:
    """parlai data: the report, as a page, as JSON; the clean file is read again."""
    from parlai_cu.data.base import ReadOptions
    from parlai_cu.data.reading import read_path
    from parlai_cu.scripts.data import InspectData

    words = [str(tmp_path / "chats.jsonl"), "--fix", str(tmp_path / "clean.jsonl")]
    for kind in ("html", "json"):
        words += [f"--{kind}", str(tmp_path / f"out.{kind}")]
    InspectData.main(*words)
    assert json.loads((tmp_path / "out.json").read_text())
    (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "\\ud83d" in (tmp_path / "clean.jsonl").read_text(encoding="utf-8")
    assert read_path(str(tmp_path / "clean.jsonl"), ReadOptions())


@pytest.mark.parametrize("action", ["add", "update", "get", "remove"])
def test_a_fact(tmp_path: Path, action: str) -> None:
    """It is refused in words, or not there."""
    from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript

    (tmp_path / "f.csv").write_text("id,text\nwifi,Wifi is free.\n")
    uri = f"sqlite:///{tmp_path}/facts.db"
    KnowledgeBaseScript.main("import", "--kb", uri, "--file", str(tmp_path / "f.csv"))
    words = ["--text", BROKEN] if action in ("add", "update") else []
    with pytest.raises((KnowledgeError, DataError), match="half a character cannot be stored"):
        KnowledgeBaseScript.main(action, "--kb", uri, "--id", "\udcff", *words)
