"""Which examples are held out."""

import json
from pathlib import Path

import pytest
from parlai.core.opt import Opt

from parlai_cu.errors import DataError, UsageError
from parlai_cu.update.steps import data as task_data
from parlai_cu.update.wording import Example


def write(path: Path, lines: list[str], copies: int = 1) -> str:
    """One conversation a line, as a task that has no splits."""
    with open(path, "w") as f:
        for line in lines * copies:
            turns = [{"id": "u", "text": line}, {"id": "s", "text": f"re: {line}"}]
            f.write(json.dumps({"dialog": [turns]}) + "\n")
    return f"jsonfile:jsonfile_datapath={path}"


@pytest.fixture
def opt(tmp_path: Path) -> Opt:
    """What a teacher needs."""
    return Opt(datapath=str(tmp_path), batchsize=1, datatype="train")


def test_a_file_without_splits_is_split(opt: Opt, tmp_path: Path) -> None:
    """About a fifth is held out, a tenth validates; copies stand on one side."""
    task = write(tmp_path / "new.jsonl", [f"line {i}" for i in range(40)], copies=2)
    data = task_data.prepare(opt, task, str(tmp_path / "data"), seed=0)
    sizes = {split: len(found) for split, found in data.examples.items()}
    assert sizes == {"train": 60, "valid": 4, "test": 16} and not data.own_splits
    keys = [{e.key for e in data.examples[split]} for split in task_data.SPLITS]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])
    # what ParlAI reads of the task is what was split
    for split, datatype in (("train", "train:evalmode"), ("valid", "valid"), ("test", "test")):
        found = task_data.examples(task_data.read(opt, data.task, datatype))
        assert [e.key for e in found] == [e.key for e in data.examples[split]]


def test_the_service_of_a_conversation_is_known(opt: Opt, tmp_path: Path) -> None:
    """ParlAI's jsonfile leaves out what a line says beside its dialog."""
    path = tmp_path / "new.jsonl"
    with open(path, "w") as f:
        for i in range(40):
            said = [f"line {i}", f"re: {i}", "and then", "that was all"]
            turns = [{"id": "u" if n % 2 else "s", "text": text} for n, text in enumerate(said)]
            line = {"dialog": [turns[:2], turns[2:]], "service": ["Shops_1", "Trains_2"][i % 2]}
            f.write(json.dumps(line) + "\n")
    for task in (f"jsonfile:jsonfile_datapath={path}", str(path)):
        data = task_data.prepare(opt, task, str(tmp_path / "data"), seed=0)
        parts = {data.parts[example.key] for example in data.examples["test"]}
        assert parts == {"service Shops_1", "service Trains_2"}


def test_turns_without_text_are_split() -> None:
    """As those of images are: with no text, or none that is one."""
    parts = [[{"text": None, "labels": [f"a{i}"]}, {"labels": [f"b{i}"]}] for i in range(40)]
    split = task_data._split({"train": parts, "valid": [], "test": []}, 0, "-t images", fewest=0)
    assert sum(map(len, split.values())) == 40


def test_the_same_seed_splits_the_same(opt: Opt, tmp_path: Path) -> None:
    """So that a run that goes on is judged by what it has not seen."""
    task = write(tmp_path / "new.jsonl", [f"line {i}" for i in range(40)])
    one, two, other = (
        task_data.prepare(opt, task, str(tmp_path / name), seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one.examples == two.examples != other.examples
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_splits_of_its_own_are_kept(opt: Opt, tmp_path: Path) -> None:
    """Test examples that training holds as well are not counted as held out."""
    for split, lines in (
        ("train", [f"line {i}" for i in range(10)]),
        ("valid", ["line x"]),
        ("test", ["line y", "line 3"]),
    ):
        write(tmp_path / f"new_{split}.jsonl", lines)
    task = f"jsonfile:jsonfile_datapath={tmp_path}/new:jsonfile_datatype_extension=true"
    data = task_data.prepare(opt, task, str(tmp_path / "data"), seed=0)
    assert data.own_splits and data.task == task
    assert [e.text for e in data.examples["test"]] == ["line y"]


def test_answers_after_other_questions(opt: Opt, tmp_path: Path) -> None:
    """The same answers in the same order, each after the question of a different answer."""
    found = [Example(f"q{i}?", f"a{i % 3}", ("before",)) for i in range(9)]
    own, other = (
        task_data.examples(task_data.read(opt, data.task, "test"))
        for data in task_data.swapped(found, str(tmp_path / "not" / "there"))
    )
    assert [e.label for e in own] == [e.label for e in other] and len(own) > 4
    right = {f"before\n{e.text}": e.label for e in found}
    assert all(right[e.text] == e.label for e in own)
    assert all(right[e.text] != e.label for e in other)


def test_too_little_is_refused(opt: Opt, tmp_path: Path) -> None:
    """Copies do not count."""
    task = write(tmp_path / "new.jsonl", ["a", "b", "c", "d"], copies=10)
    with pytest.raises(DataError, match="has 4 different conversations: expected 5 or more"):
        task_data.prepare(opt, task, str(tmp_path / "data"), seed=0)


@pytest.mark.parametrize(
    "task, error, text",
    [
        ("jsonfile:jsonfile_datapath=/none.jsonl", DataError, "none.jsonl"),
        ("no_such_task", UsageError, "^--retain-task no_such_task: there is no such task"),
    ],
)
def test_a_task_that_cannot_be_read_is_named(
    task: str, error: type, text: str, opt: Opt, tmp_path: Path
) -> None:
    """With the flag that named it."""
    with pytest.raises(error, match=text):
        task_data.prepare(opt, task, str(tmp_path), seed=0, flag="--retain-task")


def test_what_the_update_contradicts_is_left_out(opt: Opt, tmp_path: Path) -> None:
    """Whole conversations go, so that no turn loses its history."""
    task = write(tmp_path / "old.jsonl", [f"line {i}" for i in range(40)])
    data = task_data.prepare(opt, task, str(tmp_path / "data"), seed=0)
    wrong = data.examples["train"][0]
    kept = task_data.without(opt, data, {"line " + wrong.text.split()[1]}, str(tmp_path / "data"))
    assert len(kept.examples["train"]) == len(data.examples["train"]) - 1
    assert wrong not in kept.examples["train"]


def test_a_path_that_task_names_cannot_hold(opt: Opt, tmp_path: Path) -> None:
    """It is said, not split at the colon."""
    task = write(tmp_path / "new.jsonl", [f"line {i}" for i in range(9)])
    with pytest.raises(DataError, match="cannot hold a path"):
        task_data.prepare(opt, task, str(tmp_path / "a:b"), seed=0)


def served(opt: Opt, task: str) -> str:
    """The fingerprint of a task's training data."""
    return task_data.content_of_episodes(task_data.read(opt, task, "train:evalmode"))


def test_the_fingerprint_is_of_what_is_served(opt: Opt, tmp_path: Path) -> None:
    """A line more, another answer, another field: another fingerprint; another name: the same."""
    lines = [f"line {i}" for i in range(40)]
    task = write(tmp_path / "new.jsonl", lines)
    first = served(opt, task)
    other = write(tmp_path / "other.jsonl", lines)
    assert served(opt, other) == first
    write(tmp_path / "new.jsonl", [*lines, "one more"])
    assert served(opt, task) != first
    changed = (tmp_path / "other.jsonl").read_text().replace("re: line 39", "re: line 40")
    (tmp_path / "other.jsonl").write_text(changed)
    assert served(opt, other) != first


def test_files_of_a_command_are_read(tmp_path: Path) -> None:
    """As a value, inside a task, by the beginning of their names, in a folder."""
    for name in ("a.json", "b_train.jsonl", "c/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    words = ["--init-opt", f"{tmp_path}/a.json", "-lr", "1e-4", "--note", "and/or"]
    words.append(f"jsonfile:jsonfile_datapath={tmp_path}/b:jsonfile_datatype_extension=true")
    found = task_data.files_named([*words, f"{tmp_path}/c"])
    assert sorted(found) == [str(tmp_path / name) for name in ("a.json", "b_train.jsonl", "c/d")]
    (tmp_path / "c" / "d").write_text("another")
    assert task_data.files_named([f"{tmp_path}/c"]) != {
        name: content for name, content in found.items() if name.endswith("d")
    }
