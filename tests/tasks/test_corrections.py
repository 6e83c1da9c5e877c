"""`-t corrections`, and the review by `parlai versions review`."""

from pathlib import Path
from typing import Any

import pytest
from parlai.core.opt import Opt
from parlai.core.teachers import create_task_agent_from_taskname

from parlai_cu.errors import DataError, UsageError
from tests.corrections.test_review import log, record


def served(path: str, flags: str = "", datatype: str = "train:evalmode") -> list[Any]:
    """What the teacher serves."""
    opt = Opt(task=f"corrections:path={path}{flags}", datatype=datatype, batchsize=1)
    (teacher,) = create_task_agent_from_taskname(opt)
    return [teacher.act() for _ in range(teacher.num_examples())]


def versions(**options: Any) -> Any:
    """`parlai versions review`."""
    from parlai_cu.scripts.versions import VersionsScript

    parser = VersionsScript.setup_args()
    words = ["review"]
    for name, value in options.items():
        words += [f"--{name}", value]
    return VersionsScript._run_from_parser_and_opt(parser.parse_args(words), parser)


def test_reviewed_corrections_are_served(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Nothing before the review; then what was accepted, in three splits."""
    path = log(tmp_path / "chat.jsonl", [record(i) for i in range(60)])
    with pytest.raises(DataError, match="no accepted correction, 60 wait for a decision"):
        served(path)
    versions(chatlog=path)
    assert "right is: answer 59" in capsys.readouterr().out
    assert len(versions(chatlog=path, accept="all")) == 60
    parts = [served(path, datatype=split) for split in ("train:evalmode", "valid", "test")]
    assert sum(map(len, parts)) == 60 and all(parts)
    act = parts[0][0]
    assert act["text"].startswith("hello\nhi\nquestion") and act["episode_done"]
    assert act["eval_labels"][0].startswith("answer")


def test_pending_ones_on_request(tmp_path: Path) -> None:
    """By a flag of the task."""
    path = log(tmp_path / "chat.jsonl", [record(i) for i in range(60)])
    assert served(path, ":pending=true")


@pytest.mark.parametrize(
    "options, text",
    [
        (dict(), "no service's feedback was found; expected --chatlog PATH"),
        (dict(text="x"), "--text is the answer of one correction: --accept ID"),
        (dict(accept="all", text="x"), "--text is the answer of one accepted correction"),
        (dict(reject="c1", text="x"), "--text is the answer of one accepted correction"),
    ],
)
def test_review_flags(
    options: Any, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named."""
    path = log(tmp_path / "chat.jsonl", [record(1)])
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)  # feedback is looked for here
    with pytest.raises(UsageError, match=text):
        versions(**({"chatlog": path} if options else {}), **options)


def test_the_path_is_needed() -> None:
    """-t corrections alone."""
    with pytest.raises(UsageError, match="corrections:path="):
        create_task_agent_from_taskname(Opt(task="corrections", datatype="train", batchsize=1))
