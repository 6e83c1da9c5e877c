"""An error of ours that stands where ParlAI raises another is caught by who catches that one."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from parlai.core.agents import create_agent
from parlai.core.build_data import modelzoo_path
from parlai.core.loader import load_agent_module, load_teacher_module
from parlai.core.opt import Opt
from parlai.core.worlds import create_task
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
    ],
)
def test_names(call: Callable[[], object], ours: type[Exception], stock: type[Exception]) -> None:
    """Names of agents, tasks and models: ParlAI's kind of error beside ours."""
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
