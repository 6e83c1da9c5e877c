"""parlai score_parameters: table, files, and what it says when something is wrong."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ModelFileError, UsageError

GENERATOR = "transformer/generator"


@pytest.fixture
def score(
    deployed: Callable[[str], str], data: Path, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """``score(**options)``: the command on a tiny generator; returns what scores.json holds."""

    def run(**options: Any) -> dict[str, Any]:
        from parlai_cu.scripts.score_parameters import ScoreParameters

        settings: dict[str, Any] = dict(
            model_file=deployed(GENERATOR),
            task=f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}",
            retain_task=f"jsonfile:jsonfile_datapath={data / 'old.jsonl'}",
            datapath=str(data),
            num_examples=6,
            out=str(tmp_path / "scores"),
            no_cuda=True,
            loglevel="error",
        )
        settings.update(options)
        ScoreParameters.main(**{k: v for k, v in settings.items() if v is not None})
        return json.loads((Path(settings["out"]) / "scores.json").read_text())

    return run


def test_table_and_files(
    score: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A ranked table, a --tune line that fits, JSON, two pictures, one HTML file with both."""
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: parlai-cu[plots]")
    found = score(fraction=0.3)
    out = capsys.readouterr().out
    assert "--tune '" + found["proposal"]["tune"] + "'" in out
    assert 0 < found["proposal"]["share"] <= 0.3
    assert "decoder.layers.1" in out and "conflict" in out
    groups = found["groups"]
    assert sum(g["numel"] for g in groups) == sum(t["numel"] for t in found["tensors"])
    assert {g["kind"] for g in groups} == {"attention", "ffn", "norm", "embeddings"}
    for name in ("heat_map.png", "ranking.png"):
        assert (tmp_path / "scores" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "scores" / "scores.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and page.count("<tr") > len(groups)
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page needs another file"


def test_a_seed_decides(score: Callable[..., dict[str, Any]]) -> None:
    """The same seed gives the same file; another one draws other examples."""
    one = score(seed=3)
    assert score(seed=3) == one
    assert score(seed=4)["tensors"] != one["tensors"]


def test_without_old_data_or_matplotlib(
    score: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Scores of the update alone; the rest is written and the pictures are said to be missing."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = score(retain_task=None, scores="snr,rgn")
    assert "conflict" not in found["tensors"][0] and found["ranked_by"] == "snr"
    assert found["retained_draws"] == 0
    names = sorted(path.name for path in (tmp_path / "scores").iterdir())
    assert names == ["scores.html", "scores.json"]


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"scores": "rgn,fischer"}, UsageError, "--scores fischer: .* nearest: fisher"),
        ({"scores": "conflict", "retain_task": None}, UsageError, "name it by --retain-task"),
        ({"num_examples": 1}, UsageError, "--num-examples 1: expected 2 or more"),
        ({"fraction": 2.0}, UsageError, "a fraction above 0, at most 1"),
        ({"task": None}, UsageError, "needs --task"),
        (
            {"model_file": "nowhere/model", "no_cuda": None},
            ModelFileError,
            "no model file at nowhere/model",
        ),
    ],
)
def test_refusals(
    options: dict[str, Any],
    error: type,
    message: str,
    score: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Before the model is loaded, and nothing is written."""
    with pytest.raises(error, match=message):
        score(**options)
    assert not (tmp_path / "scores").exists()
