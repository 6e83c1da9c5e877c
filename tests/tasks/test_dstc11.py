"""``-t dstc11``: the original files, the official metrics computed by hand, clear errors."""

import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parlai_cu.errors import DataError
from parlai_cu.tasks.dstc11 import agents
from parlai_cu.tasks.dstc11.logs import read

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "dstc11"
KNOWLEDGE = {
    "hotel": {
        "7": {
            "name": "OAK INN",
            "reviews": {"0": {"sentences": {"0": "Quiet rooms.", "1": "Slow lifts."}}},
            "faqs": {"3": {"question": "Is there parking?", "answer": "Yes."}},
        },
        "8": {"name": "ELM INN", "reviews": {}, "faqs": {"0": {"question": "Q?", "answer": "A."}}},
    }
}
GOLD = {"domain": "hotel", "entity_id": 7, "doc_type": "review", "doc_id": 0, "sent_id": 0}
FAQ = {"domain": "hotel", "entity_id": 7, "doc_type": "faq", "doc_id": 3}
QUIET, PARKING = "OAK INN: Quiet rooms.", "OAK INN: Is there parking? Yes."


def write_corpus(path: Path) -> Path:
    """The files of a corpus of three instances, two of which seek knowledge."""
    path.mkdir(exist_ok=True)
    (path / "knowledge.json").write_text(json.dumps(KNOWLEDGE))
    logs = [
        [{"speaker": "U", "text": "Is the Oak Inn, or the Elm Inn, quiet?"}],
        [
            {"speaker": "U", "text": "Book it."},
            {"speaker": "S", "text": "Done."},
            {"speaker": "U", "text": "Can I park?"},
        ],
        [{"speaker": "U", "text": "Hello."}],
    ]
    labels = [
        {"target": True, "knowledge": [GOLD], "response": "It is quiet."},
        {"target": True, "knowledge": [GOLD, FAQ], "response": "You can."},
        {"target": False},
    ]
    for split in ("train", "val", "test"):
        (path / split).mkdir()
        (path / split / "logs.json").write_text(json.dumps(logs))
        (path / split / "labels.json").write_text(json.dumps(labels))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Such a folder."""
    return write_corpus(tmp_path)


def evaluate(folder: Path, task: str, **options: Any) -> dict[str, float]:
    """``parlai eval_model`` on the validation split."""
    from parlai.scripts.eval_model import EvalModel

    report = EvalModel.main(
        task=task,
        dstc11_path=str(folder),
        datatype="valid",
        datapath=str(folder),
        metrics="all",
        **options,
    )
    return {name: float(value) for name, value in report.items()}


def fixed(reply: str) -> dict[str, str]:
    """An agent that always replies the same."""
    return dict(model="fixed_response", fixed_response=reply)


def test_instances(folder: Path) -> None:
    """History, gold snippets and the entities that they are about."""
    (first, second, third), knowledge = read(str(folder), "valid")
    assert first.knowledge == [QUIET] and first.entities == ["OAK INN"]
    assert second.knowledge == [QUIET, PARKING] and len(second.history) == 3
    assert not third.target and not third.knowledge
    assert knowledge.named(first.history[0][1]) == ["ELM INN", "OAK INN"]


def test_detection(folder: Path) -> None:
    """Always yes: two of three are right, and none is missed."""
    report = evaluate(folder, "dstc11:detection", **fixed("yes"))
    assert report["exs"] == 3
    assert report["detection_p"] == pytest.approx(2 / 3)
    assert report["detection_r"] == 1
    assert report["detection_f1"] == pytest.approx(0.8)
    never = evaluate(folder, "dstc11:detection", **fixed("no"))
    assert never["detection_f1"] == 0


def test_selection(folder: Path) -> None:
    """One snippet, right both times: two of three gold ones, one set complete."""
    report = evaluate(folder, "dstc11:selection", **fixed(QUIET))
    assert report["exs"] == 2
    assert report["selection_p"] == 1
    assert report["selection_r"] == pytest.approx(2 / 3)
    assert report["selection_em"] == 0.5
    both = evaluate(folder, "dstc11:selection", **fixed(f"{QUIET}\n{PARKING}"))
    assert both["selection_p"] == 0.75 and both["selection_r"] == 1


def test_selection_by_a_ranker(folder: Path) -> None:
    """A stock ranker gets ParlAI's hits@1 and hits@5 among the snippets of named entities."""
    report = evaluate(folder, "dstc11:selection", model="ir_baseline")
    assert 0 <= report["hits@1"] <= report["hits@5"] == 1


def test_response(folder: Path) -> None:
    """Only turns that seek knowledge; BLEU and ROUGE are ParlAI's."""
    report = evaluate(folder, "dstc11", model="repeat_label")
    assert report["exs"] == 2 and report["f1"] == 1 and "bleu-4" in report


def test_meteor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured where its data is; without, by words and stems under another name."""
    agents._has_wordnet.cache_clear()
    monkeypatch.setattr(agents, "wordnet", SimpleNamespace(ensure_loaded=_missing))
    report = evaluate(folder, "dstc11", model="repeat_label")
    expected = (1 - 0.5 / 4**3 + 1 - 0.5 / 3**3) / 2
    assert "meteor" not in report and report["meteor_no_synonyms"] == pytest.approx(expected)
    agents._has_wordnet.cache_clear()
    monkeypatch.setattr(agents, "wordnet", SimpleNamespace(ensure_loaded=lambda: None))
    no_synonyms = SimpleNamespace(synsets=lambda word: [])
    without_data = functools.partial(agents.meteor_score, wordnet=no_synonyms)
    monkeypatch.setattr(agents, "meteor_score", without_data)
    # all words match: the penalty for one chunk of n words is 0.5 / n^3
    report = evaluate(folder, "dstc11", model="repeat_label")
    assert report["meteor"] == pytest.approx(expected)
    agents._has_wordnet.cache_clear()


def _missing() -> None:
    raise LookupError("wordnet")


def test_ordinary_dialogues(folder: Path) -> None:
    """Each exchange before the last turn, once, without labels of the track."""
    data = list(agents.DialoguesTeacher.setup_data(None, str(folder / "train")))  # type: ignore
    assert data == [({"text": "Book it.", "labels": ["Done."]}, True)]
    teacher = agents.EarlierTeacher.__new__(agents.EarlierTeacher)
    (example, begins), *more = teacher.setup_data(str(folder / "train"))
    assert begins and not more and (example["text"], example["labels"]) == ("Book it.", ["no"])


@pytest.mark.parametrize("name", ["knowledge.json", "val/logs.json", "val/labels.json"])
def test_missing_file(folder: Path, name: str) -> None:
    """One line: which file, what to fetch, where to put it."""
    (folder / name).unlink()
    with pytest.raises(
        DataError, match="is missing: fetch .*alexa/dstc11.*--dstc11-path"
    ) as caught:
        read(str(folder), "valid")
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files(folder: Path) -> None:
    """Not JSON, another length, a reference to nothing: each is said."""
    labels = folder / "val" / "labels.json"
    whole = json.loads(labels.read_text())
    labels.write_text("{")
    with pytest.raises(DataError, match="labels.json is not JSON"):
        read(str(folder), "valid")
    labels.write_text(json.dumps(whole[:2]))
    with pytest.raises(DataError, match="logs.json has 3 instances and labels.json 2"):
        read(str(folder), "valid")
    whole[1]["knowledge"][0]["doc_id"] = 99
    labels.write_text(json.dumps(whole))
    with pytest.raises(DataError, match="instance 1 is not in the format"):
        read(str(folder), "valid")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the corpora beside the project")
def test_on_the_real_corpus() -> None:
    """As many instances as the corpus' description gives; every reference resolves."""
    instances, _ = read(str(SHARED), "valid")
    assert len(instances) == 811
    assert sum(instance.target for instance in instances) == 411
    assert all(instance.knowledge for instance in instances if instance.target)
