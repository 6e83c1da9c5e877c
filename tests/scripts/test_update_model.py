"""`parlai update_model`: from data to a promoted version, or a refusal."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu import files
from parlai_cu.errors import DataError, UsageError, VersionsError
from parlai_cu.update.step_cache import RESULT, StepCache
from parlai_cu.versions.store import VersionStore
from tests.scripts.updating import VERBS, dialogues, update


@pytest.mark.slow
def test_an_update_that_helps_is_promoted(
    versions: VersionStore, tasks: dict[str, str], capsys: pytest.CaptureFixture
) -> None:
    """Diagnosed, trained, gated, reported and live; done again, nothing is done twice."""
    before = versions.channel()
    options: dict[str, Any] = dict(
        retain_task=tasks["old"],
        max_loss="ppl=9",
        mode="frozen_layer",
        promote=True,
        loglevel="info",
    )
    found = update(versions, tasks["new"], **options)
    assert found["verdict"]["decision"] == "accept" and found["promoted"]
    now = versions.get("live")
    assert (now.id, now.parent, now.mode) == (found["version"], before, "frozen_layer")
    assert now.verdict is not None and now.verdict.accepted
    assert now.data["examples"] == 73 and now.seed == 0
    printed = capsys.readouterr().out
    assert "$ parlai train_model -m frozen_layer" in printed and "ACCEPT" in printed
    assert "validation at step 30" in printed and "best ppl so far" in printed
    folder = Path(re.search(r"report: (.*)report.html", printed).group(1))  # type: ignore
    page = (folder / "report.html").read_text()
    # one file that needs no other
    assert not re.search(r"<(script|link|img)|https?://|src=", page)
    assert found["version"] in page and "Accepted" in page and "<polyline" in page
    assert 0 < len(found["replies"]) <= 20
    # what users wrote is in the report, the examples and the log: they are their owner's alone
    held = [*Path(f"{versions.path}.updates").rglob("*"), *folder.rglob("*")]
    texts = [path for path in held if path.suffix in (".json", ".jsonl", ".html", ".log")]
    assert len(texts) > 5
    assert [path for path in (folder, *texts) if path.stat().st_mode & 0o077] == []
    assert all(Path(path).stat().st_mode & 0o077 == 0 for path in (versions.path, held[0].parent))
    changed = [row["changed"] for row in found["replies"]]
    assert changed == sorted(changed, reverse=True)
    assert json.loads((folder / "report.json").read_text())["verdict"]["decision"] == "accept"


@pytest.mark.slow
def test_a_refused_candidate_is_kept_and_never_live(
    versions: VersionStore, tasks: dict[str, str]
) -> None:
    """Its verdict is on record; going on by the same command trains nothing and adds nothing."""
    before = versions.channel()
    options: dict[str, Any] = dict(
        retain_task=tasks["old"],
        mode="distill_student",
        min_gain="ppl=0.9999",
        training="-tstep 4 -vstep 4",
    )
    found = update(versions, tasks["new"], **options)
    assert found["verdict"]["decision"] == "refuse"
    assert "the update is not learnt" in found["verdict"]["reasons"][0]
    assert versions.channel() == before and not found["promoted"]
    kept = versions.get(found["version"])
    assert kept.verdict is not None and kept.verdict.decision == "refuse"
    with pytest.raises(SystemExit) as stopped:
        update(versions, tasks["new"], promote=True, **options)
    assert stopped.value.code == 1 and versions.channel() == before
    assert len(versions.list()) == 2


@pytest.mark.slow
def test_what_the_dictionary_lacks_is_learnt(
    versions: VersionStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """New words are added and said; of what was learnt no more is kept than the old skill bears."""
    task = dialogues(tmp_path / "words.jsonl", VERBS, lambda v, s: f"zyxomatic {s} {v}")
    for when in ("soon", "now", "then"):
        dialogues(tmp_path / when, VERBS, lambda v, s: f"i {v} the {s}", when)
    # enough of it to validate by
    old = "".join((tmp_path / name).read_text() for name in ("soon", "now", "then"))
    (tmp_path / "old.jsonl").write_text(old)
    options: dict[str, Any] = dict(
        retain_task=f"jsonfile:jsonfile_datapath={tmp_path / 'old.jsonl'}", mode="frozen_layer"
    )
    found = update(versions, task, max_loss="ppl=99", **options)
    assert found["diagnosis"]["unwritable"] == 1.0 and found["training"][0]["part"] == 1.0
    printed = capsys.readouterr().out
    assert (
        "1 pieces that the dictionary lacks are added" in printed
        and ",embeddings.weight" in printed
    )
    assert any("zyxomatic" in row["after"] for row in found["replies"])
    states = [
        torch.load(versions.model_file(name), weights_only=False)["model"]["embeddings.weight"]
        for name in ("v1", found["version"])
    ]
    assert len(states[1]) == len(states[0]) + 1
    found = update(versions, task, max_loss="ppl=-0.9", **options, out=str(tmp_path / "out"))
    assert found["training"][0]["part"] == 0.5
    assert "75% of what was learnt, on validation data" in capsys.readouterr().out


@pytest.mark.slow
def test_facts_go_to_the_knowledge_base(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path
) -> None:
    """They are in the base in service only once the candidate is live; its snapshot is named."""
    options: dict[str, Any] = dict(
        retain_task=tasks["old"],
        mode="kb_augmented",
        max_loss="f1=0.9",
        min_gain="f1=-0.9",
        training="",
    )
    facts = tmp_path / "versions.facts.db"
    found = update(versions, tasks["new"], **options)
    assert not facts.exists()
    assert versions.get(found["version"]).kb_snapshot
    names = {row["metric"] for row in found["verdict"]["checks"] if "metric" in row}
    assert names == {"f1"}
    assert found["verdict"]["decision"] == "accept", found["verdict"]["reasons"]
    found = update(versions, tasks["new"], promote=True, **options)
    assert found["promoted"] and facts.exists()
    opt = json.loads(Path(versions.model_file("live") + ".opt").read_text())
    assert opt["kb"] == f"sqlite:///{facts}"
    # the next update is of the weights below, and the knowledge base stays
    tuned = update(versions, tasks["old"], mode="frozen_layer", training="-tstep 2 -vstep 2")
    assert tuned["verdict"]["decision"] != "accept"  # without --retain-task
    after = json.loads(Path(versions.model_file(tuned["version"]) + ".opt").read_text())
    assert (after["model"], after["kb"]) == (opt["model"], opt["kb"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent, task, metric",
    [
        ("transformer/classifier", "integration_tests:classifier", "accuracy"),
        ("transformer/polyencoder", "integration_tests:candidate", "accuracy"),
    ],
)
def test_models_that_choose_their_replies(
    agent: str, task: str, metric: str, deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """Classifiers and rankers are updated and gated as well, by the metric that suits them."""
    store = VersionStore(str(tmp_path / "versions"), create=True)
    store.promote(store.add(deployed(agent), mode="import").id, force=True)
    found = update(store, task, mode="frozen_layer", training="-tstep 2 -vme 8", gate_examples=40)
    (gain,) = [row for row in found["verdict"]["checks"] if row["kind"] == "update"]
    assert gain["name"] == f"{task} {metric}" and gain["examples"] > 0
    assert found["verdict"]["decision"] != "accept"  # two steps teach nothing


@pytest.mark.slow
def test_classes_that_the_model_lacks_are_learnt(
    deployed: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A classifier is given them, as a generator is given pieces of words."""
    lines = [
        "\t".join(
            [f"text:{text} {i}", f"labels:{label}", "label_candidates:x", "episode_done:True"]
        )
        for i in range(40)
        for text, label in (("hello there", "greeting"), ("one one", "one"))
    ]
    path = tmp_path / "new.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    store = VersionStore(str(tmp_path / "versions"), create=True)
    store.promote(store.add(deployed("transformer/classifier"), mode="import").id, force=True)
    found = update(
        store,
        str(path),
        mode="frozen_layer",
        retain_task="integration_tests:classifier",
        training="-tstep 2 -vme 8",
        gate_examples=40,
    )
    assert "does not have are added to it: greeting" in capsys.readouterr().out
    opt = json.loads(Path(store.model_file(found["version"]) + ".opt").read_text())
    assert opt["classes"] == ["one", "zero", "greeting"]


@pytest.mark.slow
def test_an_interrupted_run_goes_on(
    versions: VersionStore, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured before Ctrl-C is not measured again, and training is the stock loop's."""
    from parlai_cu.update.steps import training
    from parlai_cu.update.steps.evaluation import EvaluatedModel

    measured: list[str] = []
    stock = EvaluatedModel._answer

    def answer(self: Any, *args: Any) -> Any:
        measured.append(self.model_file)
        return stock(self, *args)

    def interrupted(*words: str) -> None:
        raise SystemExit(130)

    monkeypatch.setattr(EvaluatedModel, "_answer", answer)
    options = dict(retain_task=tasks["old"], mode="frozen_layer", training="-tstep 2 -vstep 2")
    with monkeypatch.context() as patch:
        patch.setattr(training.TrainModel, "main", interrupted)
        with pytest.raises(SystemExit, match="130"):
            update(versions, tasks["new"], **options)
    assert len(measured) == 4 and len(versions.list()) == 1
    found = update(versions, tasks["new"], **options)
    # update, retained, and the two sets that test whether answers follow from questions
    assert ["/training-" in path for path in measured[4:]] == [True] * 4
    assert found["version"] and len(versions.list()) == 2


QUICK = "-tstep 2 -vstep 2"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the steps that were done, rather than remembered."""
    found: list[str] = []
    stock = StepCache.get

    def get(self: StepCache, step: Any, inputs: Any, compute: Any) -> Any:
        def counted(folder: str) -> Any:
            value = compute(folder)
            found.append(Path(folder).name)
            return value

        return stock(self, step, inputs, counted)

    monkeypatch.setattr(StepCache, "get", get)
    return found


def kinds(done: list[str]) -> list[str]:
    """Of the steps that were done; empties the list."""
    names = [name.rsplit("-", 1)[0] for name in done]
    done.clear()
    return names


@pytest.mark.slow
def test_what_was_done_is_remembered_by_what_went_in(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path, done: list[str]
) -> None:
    """Nothing changed: nothing is done. A limit: the verdict. A line more: the training."""
    file = tmp_path / "log.jsonl"
    task = dialogues(file, VERBS, lambda v, s: f"then {s} {v} 42 please")
    options: dict[str, Any] = dict(mode="frozen_layer", training=QUICK, gate_examples=20)
    first = update(versions, task, **options)
    assert {"diagnosis", "answers", "training", "verdict"} <= set(kinds(done))
    again = update(versions, task, **options)
    assert kinds(done) == [] and again["version"] == first["version"]
    assert again["verdict"] == first["verdict"]
    limited = update(versions, task, min_gain="ppl=0.0001", **options)
    assert kinds(done) == ["verdict"] and limited["version"] != first["version"]
    assert limited["verdict"]["checks"][0]["limit"] < first["verdict"]["checks"][0]["limit"]
    # elsewhere the report alone
    update(versions, task, out=str(tmp_path / "out"), **options)
    assert kinds(done) == []
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".html", ".log"}
    count = len(versions.list())
    # the same command; its file has grown
    more = tmp_path / "more.jsonl"
    dialogues(more, ["lend"], lambda v, s: f"then {s} {v} 43 please")
    file.write_text(file.read_text() + more.read_text().splitlines()[0] + "\n")
    grown = update(versions, task, **options)
    assert {"training", "verdict"} <= set(kinds(done)) and len(versions.list()) == count + 1
    held = versions.get(grown["version"]).data
    assert held["hash"] != versions.get(first["version"]).data["hash"]
    assert grown["training"][0]["command"] != first["training"][0]["command"]


@pytest.mark.slow
def test_another_users_data_behind_the_same_path(
    versions: VersionStore, tmp_path: Path, done: list[str]
) -> None:
    """As many lines, as long: it is another update, and the first one's is still there."""
    options: dict[str, Any] = dict(mode="frozen_layer", training=QUICK, gate_examples=20)
    path = tmp_path / "new.jsonl"
    task = dialogues(path, VERBS, lambda v, s: f"then {s} {v} 42 please")
    mine = update(versions, task, **options)
    kinds(done)
    dialogues(path, VERBS, lambda v, s: f"then {s} {v} 43 please")
    yours = update(versions, task, **options)
    assert "training" in kinds(done) and yours["version"] != mine["version"]
    assert yours["data"][0]["content"] != mine["data"][0]["content"]
    dialogues(path, VERBS, lambda v, s: f"then {s} {v} 42 please")
    assert update(versions, task, **options)["version"] == mine["version"]
    assert kinds(done) == []


@pytest.mark.slow
def test_interrupted_anywhere_it_goes_on(
    versions: VersionStore, tasks: dict[str, str], monkeypatch: pytest.MonkeyPatch, done: list[str]
) -> None:
    """Stopped after each of its steps in turn; none is done twice, and the verdict is the same."""
    stock = files.write_text
    stops = [True]

    def write_text(path: str, text: str) -> None:
        stock(path, text)
        if path.endswith(RESULT) and stops:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_text", write_text)
    options: dict[str, Any] = dict(
        retain_task=tasks["old"], mode="frozen_layer", training=QUICK, gate_examples=20
    )
    rounds = 0
    while stops:
        count = len(done)
        with pytest.raises(SystemExit, match="130"):
            update(versions, tasks["new"], **options)
        rounds += 1
        assert len(done) == count + 1
        if done[-1].startswith("verdict"):
            stops.clear()
    assert rounds > 5 and len(versions.list()) == 1
    found = update(versions, tasks["new"], **options)
    assert len(done) == len(set(done)) and found["version"] in {v.id for v in versions.list()}


@pytest.mark.slow
def test_two_updates_at_once(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One runs from beginning to end while the other trains: each has its own candidate."""
    from parlai_cu.update.steps import training

    options: dict[str, Any] = dict(mode="frozen_layer", training=QUICK, retain_task=tasks["old"])
    path = tmp_path / "new.jsonl"
    task = dialogues(path, VERBS, lambda v, s: f"so {s} {v} 44 please")
    stock = training.TrainModel.main
    others: list[Any] = []

    def main(*words: str) -> Any:
        if not others:
            others.append(None)
            # the same command of somebody else, whose file is another one
            dialogues(path, VERBS, lambda v, s: f"so {s} {v} 45 please")
            others.append(update(versions, task, **options))
        return stock(*words)

    monkeypatch.setattr(training.TrainModel, "main", main)
    one = update(versions, task, **options)
    other = others[1]
    ids = {one["version"], other["version"]}
    assert len(ids) == 2 and ids < {version.id for version in versions.list()}
    for found, value in ((one, "44"), (other, "45")):
        assert all(value in row["label"] for row in found["replies"] if row["task"] == path.name)
        assert versions.get(found["version"]).data["hash"] == found["data"][0]["content"]
    # both are for v1: once one is live the other has been overtaken
    versions.promote(one["version"], force=True)
    with pytest.raises(VersionsError, match="meanwhile|expected|live"):
        versions.promote(other["version"], force=True, expected=one["live"])


def test_ctrl_c_outside_of_training_is_one_line(
    versions: VersionStore,
    tasks: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """While both models are measured, too: no traceback, the status of a program stopped so."""
    from parlai_cu.update.steps.evaluation import EvaluatedModel

    def stopped(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EvaluatedModel, "measure", stopped)
    with pytest.raises(SystemExit, match="130"):
        update(versions, tasks["new"], mode="frozen_layer")
    assert capsys.readouterr().err.splitlines()[-1].startswith("parlai_cu: stopped. The same")


def test_a_leak_is_refused_before_any_work(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path
) -> None:
    """Test data of a retained task in the update: which, and how many."""
    for split, verbs in (("train", VERBS[:2]), ("valid", VERBS[2:3]), ("test", VERBS[3:4])):
        path = tmp_path / f"kept_{split}.jsonl"
        dialogues(path, verbs, lambda v, s: f"then i will {v} the {s} for you")
    kept = f"jsonfile:jsonfile_datapath={tmp_path}/kept:jsonfile_datatype_extension=true"
    leaking = f"jsonfile:jsonfile_datapath={tmp_path}/kept_test.jsonl"
    with pytest.raises(DataError, match="training examples are test data of --retain-task"):
        update(versions, leaking, retain_task=kept)
    assert len(versions.list()) == 1


def test_an_unknown_metric_is_named_before_the_training(
    versions: VersionStore, tasks: dict[str, str], capsys: pytest.CaptureFixture
) -> None:
    """With the nearest there is."""
    with pytest.raises(UsageError, match="--min-gain pppl: .* nearest: ppl"):
        update(versions, tasks["new"], mode="frozen_layer", min_gain="pppl=0.1")
    assert "$ parlai train_model" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, error, text",
    [
        (dict(task="jsonfile:jsonfile_datapath=/none.jsonl"), DataError, "/none.jsonl"),
        (dict(mode="frozen_layers"), UsageError, "nearest: frozen_layer"),
        (dict(confidence=1.5), UsageError, "--confidence 1.5: expected between"),
        (dict(gate="nowhere:check"), UsageError, "--gate nowhere:check"),
        (dict(versions="/none/at/all"), VersionsError, "/none/at/all"),
        (dict(channel="canary"), UsageError, "the channel canary serves nothing yet"),
    ],
)
def test_bad_input(
    options: dict[str, Any],
    error: type,
    text: str,
    versions: VersionStore,
    tasks: dict[str, str],
) -> None:
    """Each is an error that names the flag, and no version is made."""
    with pytest.raises(error, match=text):
        update(versions, **{"task": tasks["new"], **options})
    assert len(versions.list()) == 1


def test_empty_data(versions: VersionStore, tmp_path: Path) -> None:
    """A file without examples."""
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="empty.jsonl"):
        update(versions, f"jsonfile:jsonfile_datapath={tmp_path}/empty.jsonl")


def test_a_directory_of_something_else(tasks: dict[str, str], tmp_path: Path) -> None:
    """Foreign files are not taken for versions."""
    (tmp_path / "store.json").write_text('{"what": "a shop"}')

    class Foreign:
        path = str(tmp_path)

    with pytest.raises(VersionsError):
        update(Foreign(), tasks["new"])  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_file_is_an_update(
    versions: VersionStore, tasks: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A table and conversations as they are; what is wrong with them is said before training."""
    rows = [f"{verb} {noun},then {noun} {verb}\n" for verb in VERBS for noun in ("door", "car")]
    path = tmp_path / "put right, so far.csv"
    # two answers to one question
    fees = [f"what is the fee,it costs {pounds} pounds\n" for pounds in (5, 7)]
    path.write_text("Question,Right answer\n" + "".join([*rows, *fees]))
    old = tasks["old"].removeprefix("jsonfile:jsonfile_datapath=")
    found = update(versions, str(path), retain_task=old, dry_run=True, loglevel="info")
    printed = capsys.readouterr().out
    assert re.search(r"data: \d+ \w+, such as put right, so far.csv, conversation", printed)
    assert found["verdict"]["decision"] == "not enough data" and found["version"] is None
