"""--tune auto: chosen by gradients before training, on record, the same when resumed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents import scoring
from parlai_cu.agents.frozen_layer import FrozenLayerAgent
from parlai_cu.errors import PatternError, UsageError
from tests.conftest import BASES, ctrl_c, states

GENERATOR = "transformer/generator"


@pytest.fixture
def tune(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> Callable[..., str]:
    """``tune(**options)``: a short run with --tune auto; returns the candidate's path."""

    def run(**options: Any) -> str:
        settings: dict[str, Any] = dict(
            model="frozen_layer",
            init_model=deployed(GENERATOR),
            model_file=str(tmp_path / "candidate" / "model"),
            tune="auto:rgn:0.2",
            jsonfile_datapath=str(data / "new.jsonl"),
            seed=1,
        )
        settings.update(options)
        train(**settings)
        return settings["model_file"]

    return run


@pytest.fixture
def old_data(data: Path) -> str:
    """The task of the old data."""
    return f"jsonfile:jsonfile_datapath={data / 'old.jsonl'}"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight examples are enough for a tiny model."""
    monkeypatch.setattr(scoring, "NUM_EXAMPLES", 8)


@pytest.mark.usefixtures("few")
def test_what_was_chosen_learns_and_is_on_record(
    tune: Callable[..., str], deployed: Callable[[str], str]
) -> None:
    """The record and a file have the choice and all scores; only what was chosen moves."""
    candidate = tune()
    record = states(candidate)["frozen_layer"]
    auto = record["auto"]
    assert auto["asked"] == "auto:rgn:0.2" and 0 < auto["share"] <= 0.2
    assert len(auto["scores"]["tensors"]) > 20 and auto["scores"]["draws"] == 8
    assert json.loads(Path(candidate + ".scores.json").read_text()) == auto
    assert record["chosen_by"] == f"--tune '{auto['tune']}'"
    old, new = states(deployed(GENERATOR))["model"], states(candidate)["model"]
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved and moved <= set(record["selected"])
    scored = auto["scores"]["tensors"]
    learning = sum(t["numel"] for t in scored if t["name"] in record["selected"])
    assert learning / sum(t["numel"] for t in scored) == pytest.approx(auto["share"])


@pytest.mark.usefixtures("few")
def test_conflict_looks_at_the_replayed_data(tune: Callable[..., str], old_data: str) -> None:
    """With --replay-task the old data has a part; it is not scored as update."""
    auto = states(tune(tune="auto:conflict:0.3", replay_task=old_data))["frozen_layer"]["auto"]
    assert auto["scores"]["retained_draws"] == 8
    assert all("conflict" in tensor for tensor in auto["scores"]["tensors"])


@pytest.mark.usefixtures("few")
def test_freeze_and_other_patterns_hold(tune: Callable[..., str]) -> None:
    """--freeze is never chosen; patterns beside auto learn as well."""
    record = states(tune(tune="auto:0.1,encoder.layers[0].norm1", freeze="@embeddings,@ffn"))
    selected = record["frozen_layer"]["selected"]
    assert "encoder.layers.0.norm1.weight" in selected
    assert not any("ffn" in name or "embeddings.weight" in name for name in selected)


@pytest.mark.usefixtures("few")
def test_scoring_draws_no_random_numbers(tune: Callable[..., str], tmp_path: Path) -> None:
    """A run with auto is the run with the line that it chose."""
    one = tune(tune="auto:0.3", dropout=0.2)
    line = states(one)["frozen_layer"]["auto"]["tune"]
    other = tune(tune=line, dropout=0.2, model_file=str(tmp_path / "other" / "model"))
    first, second = states(one)["model"], states(other)["model"]
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("few")
def test_resuming_never_scores_again(
    tune: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded choice is used; another --tune is refused."""
    ctrl_c(monkeypatch, FrozenLayerAgent, at=2)
    with pytest.raises(SystemExit):
        tune()

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(scoring, "score_agent", never)
    with pytest.raises(UsageError, match="begun with --tune auto:rgn:0.2 and cannot go on with"):
        tune(tune="auto:rgn:0.5")
    auto = states(tune())["frozen_layer"]["auto"]
    assert auto["asked"] == "auto:rgn:0.2" and auto["scores"]["draws"] == 8


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"tune": "auto:rng"}, PatternError, "nearest: rgn"),
        ({"tune": "auto:conflict"}, UsageError, "old data; name it by --replay-task"),
        ({"tune": "atuo"}, PatternError, "nearest: auto"),
    ],
)
def test_refusals(
    options: dict[str, Any], error: type, message: str, tune: Callable[..., str]
) -> None:
    """Each mistake is refused before anything is scored."""
    with pytest.raises(error, match=message):
        tune(**options)


@pytest.mark.slow
@pytest.mark.parametrize("agent", BASES)
def test_any_base_is_scored(agent: str, deployed: Callable[[str], str], data: Path) -> None:
    """Generators, rankers, classifiers, users' own: every score is there, and repeats."""
    loaded = create_agent_from_model_file(deployed(agent), {"no_cuda": True, "datatype": "valid"})
    task = BASES[agent].get("task") or f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}"
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    first, second = (scoring.score_agent(loaded, loaded.opt, task, task, 16) for _ in range(2))
    assert first == second and first.tensors
    assert all(torch.equal(before[n], t) for n, t in loaded.model.state_dict().items())
    moved = [t for t in first.tensors if t.sums.gradient > 0]
    assert moved, "no gradient reached a parameter"
    # the same examples: they go the same way
    assert first.as_dict()["model"]["cosine"] == pytest.approx(1.0)


@pytest.mark.slow
def test_two_processes(deployed: Callable[[str], str], data: Path, tmp_path: Path) -> None:
    """With two gloo processes both train what the first one chose."""
    candidate = str(tmp_path / "model")
    command = [sys.executable, "-m", "parlai", "multiprocessing_train", "--no-cuda"]
    command += ["--distributed-world-size", "2", "-m", "frozen_layer", "--tune", "auto:0.3"]
    command += ["--init-model", deployed(GENERATOR), "-t", "jsonfile", "-bs", "4", "-eps", "1"]
    command += ["--jsonfile-datapath", str(data / "new.jsonl"), "-mf", candidate]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    record = states(candidate)["frozen_layer"]
    assert record["auto"]["asked"] == "auto:0.3" and record["auto"]["share"] <= 0.3
