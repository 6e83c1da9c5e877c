"""Whatever flag or option of a task names a file: one line with both, and what is near."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ParlaiCuError
from tests.agents.served import GENERATOR
from tests.conftest import TINY_TRANSFORMER


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files whose names are near."""
    (tmp_path / "there.txt").write_text("hello\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAINING = [
    (dict(model="transformer/classifier", classes_from_file="ther.txt"), "--classes-from-file"),
    (dict(init_model="ther.txt"), "--init-model"),
    (dict(beam_block_list_filename="ther.txt"), "--beam-block-list-filename"),
    (dict(task="fromfile:parlaiformat", fromfile_datapath="ther.txt"), "--fromfile-datapath"),
    (dict(task="fromfile:parlaiformat:fromfile_datapath=ther.txt"), "fromfile_datapath"),
    (dict(init_opt="ther.txt"), "-o"),
    (dict(final_extra_opt="ther.txt"), "--final-extra-opt"),
]


@pytest.mark.parametrize("given, flag", TRAINING, ids=[flag for _, flag in TRAINING])
def test_in_training(
    here: Path, train: Callable[..., Any], given: dict[str, Any], flag: str
) -> None:
    """Before any work."""
    settings: dict[str, Any] = {"model": GENERATOR, "model_file": str(here / "m"), **given}
    with pytest.raises(ParlaiCuError, match=r"ther\.txt.*nearest in \.: there\.txt") as told:
        train(**TINY_TRANSFORMER, **settings)
    assert flag in str(told.value) and not (here / "m").exists()


TALKING = [
    (dict(dict_file="ther.txt"), "--dict-file"),
    (dict(beam_block_list_filename="ther.txt"), "--beam-block-list-filename"),
    (dict(seed_messages_from_file="ther.txt"), "--seed-messages-from-file"),
]


@pytest.mark.parametrize("given, flag", TALKING, ids=[flag for _, flag in TALKING])
def test_with_a_model(
    here: Path, deployed: Callable[[str], str], data: Path, given: dict[str, Any], flag: str
) -> None:
    """Nothing goes on without what was asked for."""
    from parlai.scripts.self_chat import SelfChat

    with pytest.raises(ParlaiCuError, match=r"ther\.txt.*nearest in \.: there\.txt") as told:
        SelfChat.main(
            model_file=deployed(GENERATOR),
            num_self_chats=1,
            datapath=str(data),
            no_cuda=True,
            loglevel="error",
            **given,
        )
    assert flag in str(told.value)


WRONG = [
    ("jsonfile:jsonfile_datapth=there.txt", "jsonfile_datapth: .* nearest: jsonfile_datapath"),
    ("jsonfile", "-t jsonfile:jsonfile_datapath=FILE"),
    ("fromfile:parlaiformat", "-t fromfile:fromfile_datapath=FILE"),
    ("fromfile:parlaiformat:fromfile_datapath=there.txt", "line 1: found 'hello'; expected text:"),
    ("fromfile:parlaiformat:fromfile_datapath=half.txt", "line 2: found 'not this'"),
    ("fromfile:parlaiformat:fromfile_datapath=latin.txt", "line 1: byte 7 is not UTF-8"),
    ("fromfile:parlaiformat:fromfile_datapath=json.txt", "for JSON lines: -t jsonfile"),
]


@pytest.mark.parametrize("task, told", WRONG, ids=[task for task, _ in WRONG])
def test_of_a_task(here: Path, data: Path, task: str, told: str) -> None:
    """Its options, and lines of another format."""
    from parlai.scripts.display_data import DisplayData

    (here / "half.txt").write_text("text:a\tlabels:b\tepisode_done:True\nnot this\n")
    (here / "latin.txt").write_bytes("text:né".encode("latin-1"))
    (here / "json.txt").write_text('{"dialog": []}\n')
    with pytest.raises(ParlaiCuError, match=told):
        DisplayData.main(task=task, datapath=str(data), loglevel="error")


def test_mutators(here: Path, data: Path) -> None:
    """A name, not a file; the same wrapper's."""
    from parlai.scripts.display_data import DisplayData

    with pytest.raises(ParlaiCuError, match="--mutators flaten.*nearest: flatten"):
        DisplayData.main(
            task="integration_tests", mutators="flaten", datapath=str(data), loglevel="error"
        )
