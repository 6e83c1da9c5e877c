"""parlai_cu/host/data_errors.py: bad and empty data files end in one clear line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parlai_cu.host.data_errors  # noqa: F401  (the repair is there before ParlAI is)
from parlai_cu.errors import DataError

GOOD = json.dumps({"dialog": [[{"id": "user", "text": "hi"}, {"id": "bot", "text": "ho"}]]})

BAD = {
    "truncated": ('{"dialog": [[{"id"', "line 3: not JSON (Expecting ':' delimiter at column 19)"),
    "other key": ('{"dialogue": []}', "line 3: found the keys ['dialogue'], no \"dialog\""),
    "list": ("[1]", 'line 3: found a list, no "dialog"'),
    "no rounds": ('{"dialog": {}}', 'line 3: "dialog" is an object, not a list'),
    "flat": ('{"dialog": [{"id": "a"}]}', 'line 3: "dialog"[0] is an object, not a list of turns'),
    "string": ('{"dialog": [["a"]]}', 'line 3: "dialog"[0][0] is a string, not a turn'),
    "no text": (
        '{"dialog": [[{"who": "a", "says": "b"}]]}',
        "line 3: \"dialog\"[0][0] has no \"text\" (keys ['says', 'who'])",
    ),
    "null": ('{"dialog": [[{"text": null}]]}', '"dialog"[0][0] has no "text" ("text" is null)'),
}


def read(path: Path) -> list[Any]:
    """All conversations of a file, by ParlAI's reader."""
    from parlai.utils.conversations import Conversations

    return list(Conversations(str(path)))


@pytest.mark.parametrize("name", BAD)
def test_names_file_and_line(name: str, tmp_path: Path) -> None:
    """The error names the file, the line, what was found and what was expected."""
    line, found = BAD[name]
    path = tmp_path / "data.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3")
    assert found in message
    assert 'expected one conversation per line: {"dialog":' in message
    assert "\n" not in message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file in another encoding is an error that names the line and the byte."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"caf\xe9"}\n')
    with pytest.raises(DataError, match=r"data.jsonl, line 2: byte 6 is not UTF-8 \(0xe9\)"):
        read(path)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is an error that names it."""
    with pytest.raises(DataError, match="nowhere.jsonl: there is no such file"):
        read(tmp_path / "nowhere.jsonl")


def test_harmless_lines(tmp_path: Path) -> None:
    """Blank lines, a byte order mark and Unicode line separators do no harm."""
    odd = GOOD.replace("hi", "one\u2028two\x85three")
    path = tmp_path / "data.jsonl"
    path.write_text(f"\ufeff{GOOD}\r\n\n  \n{odd}\n\n", encoding="utf-8")
    first, second = read(path)
    assert [turn.text for turn in first.turns] == ["hi", "ho"]
    assert second.turns[0].text == "one\u2028two\x85three"


@pytest.mark.parametrize("content", ["", "\n\n", '{"dialog": []}\n'])
@pytest.mark.parametrize("datatype", ["train", "train:ordered", "train:stream"])
def test_training_on_nothing(content: str, datatype: str, tmp_path: Path) -> None:
    """Drawing from an empty training set names task, file and datatype; it never loops."""
    teacher = make_teacher(tmp_path / "empty.jsonl", content, datatype)
    with pytest.raises(DataError) as caught:
        teacher.act()
    path = tmp_path / "empty.jsonl"
    assert str(caught.value).startswith(
        f"the task jsonfile (file {path}) has no examples for datatype {datatype}"
    )


def test_empty_fold_is_no_error_by_itself(tmp_path: Path) -> None:
    """A validation fold without examples ends at once, as in stock ParlAI."""
    teacher = make_teacher(tmp_path / "empty.jsonl", "", "valid")
    assert teacher.num_examples() == 0
    teacher.act()
    assert teacher.epoch_done()


def make_teacher(path: Path, content: str, datatype: str) -> Any:
    """ParlAI's jsonfile teacher on a file with this content."""
    from parlai.core.agents import create_agent
    from parlai.core.params import ParlaiParser
    from parlai.core.teachers import create_task_agent_from_taskname

    assert create_agent  # parlai.core.agents must be imported before the teachers
    path.write_text(content)
    parser = ParlaiParser(True, False)
    arguments = ["-t", "jsonfile", "--jsonfile-datapath", str(path), "-dt", datatype]
    (teacher,) = create_task_agent_from_taskname(parser.parse_args(arguments))
    return teacher


def test_evaluation_of_nothing(tmp_path: Path) -> None:
    """`parlai eval_model` on an empty file is an error, not an empty report."""
    from parlai.scripts.eval_model import EvalModel

    path = tmp_path / "empty.jsonl"
    path.write_text("")
    with pytest.raises(DataError, match=r"task jsonfile \(file .*empty.jsonl\) has no examples"):
        EvalModel.main(model="repeat_query", task="jsonfile", jsonfile_datapath=str(path))


def test_one_line_on_the_terminal(python: Callable[..., Any], tmp_path: Path) -> None:
    """The command ends with status 1 and one line, without a traceback."""
    (tmp_path / "data.jsonl").write_text(f"{GOOD}\nnonsense\n")
    code = (
        "import sys\nfrom parlai.core.script import superscript_main\n"
        "superscript_main(['display_data', '-t', 'jsonfile', '-jfdp', 'data.jsonl'])"
    )
    result = python(code)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("parlai_cu: data.jsonl, line 2: not JSON"), result.stderr
    assert "Traceback" not in result.stderr
    stock = python(code, without=["data_errors"])
    assert "json.decoder.JSONDecodeError" in stock.stderr
