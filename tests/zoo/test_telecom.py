"""``zoo:telecom/...``: shipped models load with stock ParlAI, verified, and hold their figures."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ModelFileError
from parlai_cu.zoo import shipped

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "zoo" / "telecom"
MODELS = ("base", "intent", "retriever")
TASKS = {"base": "telecom", "intent": "telecom:intent", "retriever": "telecom"}
# half a point: other library versions round otherwise
TOLERANCE = 0.005


def results(model: str) -> dict[str, Any]:
    """What zoo/train.py measured."""
    return dict(json.loads((ZOO / model / "results.json").read_text()))


@pytest.fixture(scope="module")
def datapath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty ParlAI data path."""
    return str(tmp_path_factory.mktemp("datapath"))


@pytest.mark.parametrize("model", MODELS)
def test_stock_evaluation_gives_the_figures_of_the_card(model: str, datapath: str) -> None:
    """``parlai eval_model -mf zoo:telecom/MODEL`` on a fresh data path."""
    from parlai.scripts.eval_model import EvalModel

    report = EvalModel.main(
        model_file=f"zoo:telecom/{model}",
        task=TASKS[model],
        datatype="test",
        datapath=datapath,
        batchsize=64,
        **({"skip_generation": False} if model == "base" else {}),
    )
    for name, value in results(model)["test"].items():
        assert float(report[name]) == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), name


@pytest.mark.parametrize("model", MODELS)
def test_card_has_what_was_measured(model: str) -> None:
    """The card quotes results.json, and the sections of ParlAI's model cards are there."""
    card = (ZOO / model / "model_card.md").read_text()
    for name, value in results(model)["test"].items():
        assert f"| {name} | {value:.4g} |" in card
    for section in ("Model Details", "Model Usage", "Intended Use", "Limitations"):
        assert f"## {section}\n" in card
    assert "## Datasets Used\n" in card and "## Evaluation Results\n" in card
    samples = results(model)["samples"]
    assert len(samples) == (0 if model == "retriever" else 10)
    assert all(f"| {s['customer']} | {s['model']} | {s['expected']} |" in card for s in samples)


def test_the_base_is_small_and_useful() -> None:
    """At most 6 MB, and most answers state the right facts on questions worded anew."""
    assert sum((ZOO / "base" / name).stat().st_size for name in ("model", "model.dict")) < 6e6
    assert results("base")["test"]["fact_acc"] > 0.5


def test_nothing_in_the_options_says_where_it_was_trained() -> None:
    """No path of the machine it was trained on."""
    for model in MODELS:
        options = json.loads((ZOO / model / "model.opt").read_text())
        assert not [key for key, value in options.items() if str(value).startswith("/")]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped folder, found instead of the real one."""
    shutil.copytree(ZOO, tmp_path / "zoo" / "telecom")
    monkeypatch.setattr(shipped, "PLACES", (tmp_path / "zoo",))
    return tmp_path / "zoo" / "telecom"


def test_a_damaged_file_is_refused(copy: Path, tmp_path: Path) -> None:
    """One flipped bit in the shipped weights: named, and nothing is loaded."""
    content = bytearray((copy / "base" / "model").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "base" / "model").write_bytes(bytes(content))
    with pytest.raises(ModelFileError, match="base/model is damaged: its SHA-256 is"):
        shipped.install("telecom", str(tmp_path))
    assert not (tmp_path / "models" / "telecom" / "base").exists()


def test_a_changed_copy_is_put_aside(tmp_path: Path) -> None:
    """What a user trained in place is kept; the shipped model is back."""
    shipped.install("telecom", str(tmp_path))
    copied = tmp_path / "models" / "telecom" / "base"
    original = copied.read_bytes()
    copied.write_bytes(b"trained further")
    shipped.install("telecom", str(tmp_path))
    assert copied.read_bytes() == original
    assert copied.with_name("base.changed").read_bytes() == b"trained further"


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the files: where they were looked for."""
    monkeypatch.setattr(shipped, "PLACES", (tmp_path,))
    with pytest.raises(ModelFileError, match="zoo:telecom are not there"):
        shipped.install("telecom", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_recipes_run(model: str, tmp_path: Path) -> None:
    """The command of the card, cut to a few steps, ends in a model and its card."""
    import subprocess

    command = [sys.executable, str(ROOT / "zoo" / "train.py"), f"telecom/{model}"]
    command += ["--steps", "4", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "## Evaluation Results" in (tmp_path / "out" / "model_card.md").read_text()
    assert (tmp_path / "out" / "model").is_file()
