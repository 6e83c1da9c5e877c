"""An error of ours that stands where ParlAI raises another is caught by who catches that one."""

import copy
import importlib.util
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import pytest
from parlai.core.agents import create_agent
from parlai.core.build_data import modelzoo_path
from parlai.core.loader import load_agent_module, load_teacher_module
from parlai.core.mutators import Mutator
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.worlds import create_task
from parlai.scripts import train_model
from parlai.scripts.display_data import DisplayData
from parlai.scripts.display_model import DisplayModel
from parlai.scripts.train_model import TrainLoop
from parlai.utils.conversations import Conversations

from parlai_cu.errors import DataError, ModelFileError, UsageError, in_place_of


@pytest.mark.parametrize(
    ("line", "stock"),
    [
        (b'{"dialog": [[{"id": "a"}, {"id": "b", "text": "x"}]]}', AttributeError),
        (b'{"dialog": [[{"id": "a", "text": 3}]]}', TypeError),
        (b'{"dialog":', json.JSONDecodeError),
        (b'{"a": 1}', KeyError),
        (b"[1]", AttributeError),
        (b'{"dialog": "x"}', TypeError),
        (b'{"dialog": [1]}', TypeError),
        (b'{"dialog": [["a"]]}', TypeError),
        (b'{"dialog": [[{"id": "a", "text": "\xff"}]]}', UnicodeDecodeError),
    ],
)
def test_lines_of_conversations(line: bytes, stock: type[Exception], tmp_path: Path) -> None:
    """Of each broken line, what ParlAI raises for it, and a message that names the line."""
    path = tmp_path / "broken.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(stock, match="broken.jsonl, line 1") as caught:
        list(Conversations(str(path)))
    assert isinstance(caught.value, DataError)


@pytest.mark.parametrize(
    ("call", "ours", "stock"),
    [
        (lambda: list(Conversations("nowhere.jsonl")), DataError, RuntimeError),
        (lambda: load_agent_module("frozen_layers"), UsageError, ModuleNotFoundError),
        (lambda: load_agent_module("repeat_label:Nope"), UsageError, ImportError),
        (lambda: load_teacher_module("telekom"), UsageError, ModuleNotFoundError),
        (lambda: load_teacher_module("telecom:nope"), UsageError, AttributeError),
        (lambda: load_teacher_module("./nowhere.csv"), UsageError, TypeError),
        (lambda: modelzoo_path("data", "zoo:fake/model"), ModelFileError, ImportError),
        (lambda: modelzoo_path("data", "zoo:fakemodel"), ModelFileError, ImportError),
        (lambda: create_agent(Opt()), UsageError, RuntimeError),
        (lambda: create_agent(Opt(model_file="nowhere"), True), ModelFileError, RuntimeError),
        (lambda: create_agent(Opt(model_file="/")), ModelFileError, RuntimeError),
        (lambda: create_task(Opt(), []), UsageError, RuntimeError),
        (lambda: TrainLoop(Opt()), UsageError, RuntimeError),
        (lambda: TrainLoop(Opt(model_file="m", wandb_log=True)), UsageError, ImportError),
        (lambda: Opt.load_init("gen/menna"), UsageError, FileNotFoundError),
        (lambda: Mutator.load_mutator_types("nope"), UsageError, KeyError),
        (lambda: Opt.load("broken.opt"), ModelFileError, UnpicklingError),
    ],
)
def test_names(
    call: Callable[[], object],
    ours: type[Exception],
    stock: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names of agents, tasks, models and files: ParlAI's kind of error beside ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    (tmp_path / "broken.opt").write_bytes(b"\xff\xfe no pickle either")
    with pytest.raises(stock) as caught:
        call()
    assert isinstance(caught.value, ours)


def test_what_is_left_of_the_other_kind() -> None:
    """Its message is ours, unquoted; what the other error carries is carried on."""
    stock = ModuleNotFoundError("No module named 'x'", name="x")
    both = in_place_of(stock, UsageError("-m x: no such agent"))
    assert isinstance(both, ModuleNotFoundError) and both.name == "x"
    assert str(in_place_of(KeyError, DataError("no 'dialog'"))) == "no 'dialog'"
    also_key = in_place_of(KeyError, both)
    assert also_key is not both and isinstance(also_key, (KeyError, ModuleNotFoundError))
    # of an error of ours, what counts is the kind of ParlAI's that it stands for, if any
    assert in_place_of(DataError, both) is both and in_place_of(UsageError, both) is both
    again = in_place_of(both, DataError("-t x: no such task"))
    assert type(again).__bases__ == (DataError, ModuleNotFoundError)
    assert isinstance(again, ModuleNotFoundError) and again.name == "x"
    sent = pickle.loads(pickle.dumps(both))
    assert type(sent) is UsageError and str(copy.copy(sent)) == "-m x: no such agent"


# ParlAI's own unit tests are in its repository and not in the wheel that is installed. Four of them
# stand for what its callers rely on; each is here as a test of our own.


def test_a_training_without_a_file_is_a_runtime_error(tmp_path: Path) -> None:
    """As a caller that makes a loop from parsed flags: neither -mf nor --dict-file (test_dict)."""
    parser = train_model.setup_args()
    parser.set_params(task="integration_tests", model="seq2seq", datapath=str(tmp_path))
    with pytest.raises(RuntimeError, match="expected -mf PATH"):
        TrainLoop(parser.parse_args([]))


@pytest.mark.parametrize("model", ["zoo:unittests/fake", "zoo:fakemodel"])
def test_a_model_that_the_zoo_lacks_is_an_import_error(model: str, tmp_path: Path) -> None:
    """Through a whole command (test_loader)."""
    with pytest.raises(ImportError, match="the zoo has no such model"):
        DisplayModel.main(model_file=model, task="integration_tests", datapath=str(tmp_path))


def test_a_turn_without_text_is_an_attribute_error(tmp_path: Path) -> None:
    """Of a teacher that reads conversations (test_teachers)."""
    path = tmp_path / "silent.jsonl"
    path.write_text('{"dialog": [[{"id": "user"}, {"id": "bot", "text": "x"}]]}\n')
    with pytest.raises(AttributeError, match="silent.jsonl, line 1"):
        DisplayData.main(task="jsonfile", jsonfile_datapath=str(path), datatype="train:stream")


@pytest.mark.parametrize("flags, topk", [([], 40), (["--topk", "7"], 7)])
def test_presets_are_found_beside_any_setuptools(
    flags: list[str], topk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pkg_resources or our stand-in for it; the command line counts more (test_params)."""
    # ParlAI's wheel has none of its presets, so one of a user's own package
    folder = tmp_path / "parlai_internal" / "opt_presets" / "gen"
    folder.mkdir(parents=True)
    (tmp_path / "parlai_internal" / "__init__.py").touch()
    (folder / "mine.opt").write_text('{"beam_size": 20, "topk": 40}')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "parlai_internal", raising=False)
    parser = ParlaiParser(True, False)
    parser.add_argument("-m", "--model")
    opt = parser.parse_args(["--model", "transformer/generator", "-o", "gen/mine", *flags])
    assert (opt["beam_size"], opt["topk"]) == (20, topk)
    monkeypatch.delitem(sys.modules, "parlai_internal", raising=False)
