"""A few corrections are an update; and what went live becomes what must not be lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.scripts.versions import VersionsScript
from parlai_cu.versions.store import VersionStore
from tests.scripts.updating import update

# of what the tiny model says otherwise, in two wordings each
CORRECTED = ["open door", "call taxi", "book table", "pay bill", "move chair", "sell ring"]


def corrections(path: Path, count: int, answer: str = "then {} 42 please") -> str:
    """A file of corrections, each asked in two ways."""
    with open(path, "w") as f:
        for asked in CORRECTED[:count]:
            said = answer.format(" ".join(reversed(asked.split())))
            for when in ("now", "today")[: 2 if count > 1 else 1]:
                turns = [{"id": "u", "text": f"{asked} {when}"}, {"id": "s", "text": said}]
                f.write(json.dumps({"dialog": [turns]}) + "\n")
    return f"jsonfile:jsonfile_datapath={path}"


def learnt(versions: VersionStore, task: str, **options: Any) -> dict[str, Any]:
    """An update until it is learnt, by the command's own flags but for the rate."""
    settings: dict[str, Any] = dict(
        mode="frozen_layer", training="-lr 0.02", max_loss="ppl=0.5", gate_examples=60
    )
    return update(versions, task, **{**settings, **options})


def checks(found: dict[str, Any]) -> dict[str, str]:
    """Name -> result of each check."""
    return {row["name"]: row["result"] for row in found["verdict"]["checks"]}


@pytest.mark.slow
def test_a_few_corrections_go_live_and_are_not_lost_later(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """They are learnt, asked again in other words, and the next update is judged by them."""
    task = corrections(tmp_path / "weekly.jsonl", 6)
    found = learnt(versions, task, retain_task=tasks["old"], promote=True)
    assert found["verdict"]["decision"] == "accept" and found["promoted"]
    made = checks(found)
    assert made["reliability"] == "pass" and made["locality: near neighbours"] == "pass"
    assert made["generality: with other words around it"] == "pass"
    assert "generality: asked in another way" in made and "old.jsonl ppl" in made
    assert found["data"][0]["train"] == 12
    capsys.readouterr()
    suite = VersionsScript.main("suite", "--versions", versions.path)
    assert [part.name for part in suite] == [tasks["old"], task]
    assert "weekly.jsonl" in capsys.readouterr().out
    # a week later: neither is named, both judge
    other = corrections(tmp_path / "other.jsonl", 1, "soon {} 43 please")
    later = learnt(versions, other)
    assert [row["name"] for row in later["data"]] == [other, "suite"]
    assert "suite ppl" in checks(later) and "what is kept" not in checks(later)
    # what went live goes again where it is rolled back
    versions.rollback()
    assert [part.name for part in VersionsScript.main("suite", "--versions", versions.path)] == [
        tasks["old"]
    ]


@pytest.mark.slow
def test_one_correction(versions: VersionStore, tasks: dict[str, str], tmp_path: Path) -> None:
    """Decided as well, by that one; and one that is not learnt is refused."""
    task = corrections(tmp_path / "one.jsonl", 1)
    found = learnt(versions, task, retain_task=tasks["old"])
    assert found["verdict"]["decision"] != "not enough data"
    assert checks(found)["reliability"] == "pass"
    assert "generality: asked in another way" not in checks(found)
    found = learnt(
        versions, task, retain_task=tasks["old"], training="-lr 0.000001 -tstep 4 -vstep 2"
    )
    assert checks(found)["reliability"] == "fail" and found["verdict"]["decision"] == "refuse"


@pytest.mark.slow
def test_corrected_facts_are_asked_for_in_another_way(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path
) -> None:
    """Those in a knowledge base too: one of half the wordings answers the other half."""
    task = corrections(tmp_path / "facts.jsonl", 4)
    found = learnt(
        versions,
        task,
        mode="kb_augmented",
        retain_task=tasks["old"],
        training="",
        max_loss="f1=0.9",
        min_gain="f1=-0.9",
    )
    rows = {row["name"]: row for row in found["verdict"]["checks"]}
    assert rows["generality: asked in another way"]["count"] == 8
    assert "of each one's wordings" in rows["generality: asked in another way"]["reason"]


@pytest.mark.slow
def test_training_ends_when_it_is_learnt(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Not after a fixed number of steps; what is done is shown, ParlAI's lines are in a file."""
    task = corrections(tmp_path / "few.jsonl", 2)
    out = tmp_path / "out"
    found = learnt(versions, task, retain_task=tasks["old"], loglevel="info", out=str(out))
    steps = [row["step"] for row in found["training"][0]["valid"]]
    assert steps and max(steps) < 300 and found["training"][0]["valid"][-1]["token_em"] >= 0.9
    printed = capsys.readouterr().out
    assert "are right word for word, learnt at 90%" in printed
    assert f"log:    {out}/parlai.log" in printed
    assert "task solved" in (out / "parlai.log").read_text()


def test_parlai_is_quiet(
    versions: VersionStore,
    tasks: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its INFO lines are in the file alone, which an error names as well."""
    import parlai.utils.logging as logging
    from parlai.scripts.train_model import TrainModel

    from parlai_cu.scripts.update_model import UpdateModel

    def broken(*words: str) -> None:
        logging.info("a line of ParlAI")
        logging.warning("a warning")
        raise OSError("the disk is gone")

    shown: list[str] = []
    monkeypatch.setattr(
        logging.logger.streamHandler, "emit", lambda record: shown.append(record.getMessage())
    )
    monkeypatch.setattr(TrainModel, "main", broken)
    task = corrections(tmp_path / "few.jsonl", 2)
    words = ["--versions", versions.path, "-t", task, "--mode", "frozen_layer", "--no-cuda"]
    with pytest.raises(OSError, match="the disk is gone"):
        UpdateModel.main(*words)
    printed = capsys.readouterr().out
    assert shown == ["a warning"]
    path = Path(printed.rsplit("log:    ", 1)[1].strip())
    assert "a line of ParlAI" in path.read_text() and "creating task" in path.read_text()
