"""Figures in the docs come from the files that the benchmarks wrote."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Tuple

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Tuple[Any, Any]:
    """A benchmark's script, and its results file."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "name, page",
    [
        ("frozen_layer_sgd", "frozen_layer"),
        ("frozen_speed", "frozen_layer"),
        ("distill_student", "distill_student"),
        ("knowledge_tables", "kb_augmented"),
        ("knowledge_merged", "kb_augmented"),
        ("continual", "retention"),
        ("chat_service", "serving"),
        ("selection", "selection"),
        ("update_model", "update_model"),
    ],
)
def test_the_table_in_the_docs_is_of_the_results(
    name: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page holds the table that the script makes of its results file."""
    module, result = load(name, monkeypatch)
    assert module.table(result).strip() in (ROOT / "docs" / f"{page}.md").read_text()


def test_selections_are_compared_on_all_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six selections or more, three updates, two seeds."""
    _, result = load("frozen_layer_sgd", monkeypatch)
    assert len({row["selection"] for row in result["rows"]}) >= 6
    assert len({row["update"] for row in result["rows"]}) == 3
    assert all(row["seeds"] == 2 for row in result["rows"])


def test_students_are_compared_with_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two corpora, plain training and anti_scaling beside ours with two seeds, three sizes."""
    module, result = load("distill_student", monkeypatch)
    for corpus in module.CORPORA:
        rows = {row["name"]: row for row in result["rows"] if row["corpus"] == corpus}
        assert set(module.METHODS) <= set(rows)
        assert all(rows[name]["seeds"] == 2 for name in module.METHODS)
        assert len(set(module.CORPORA[corpus]["sizes"]) & set(rows)) == 3


def test_selections_are_compared_at_equal_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every choice that was asked for, the main ones with three seeds, on two corpora."""
    module, result = load("selection", monkeypatch)
    rows = {row["choice"]: row for row in module.compared(result, "update_1")}
    assert set(module.CHOICES) == set(rows)
    main = ("all", "auto:rgn:0.75", "random 0.75", "last block", "LoRA r=8")
    assert all(rows[name]["seeds"] >= 3 for name in main)
    assert {run["update"] for run in result["runs"]} >= {"update_1", "telecom:new_plans"}
    assert rows["all"]["ratio@0.9"] == (1.0, 0.0)


def test_forgetting_at_equal_gain_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two runs on the line; nothing where a choice never gains that much."""
    module, _ = load("selection", monkeypatch)
    points = [(4.0, 0.5), (2.0, 0.1)]
    assert module.forgotten_at(points, 1.0) == pytest.approx(0.05)
    assert module.forgotten_at(points, 3.0) == pytest.approx(0.3)
    assert module.forgotten_at(points, 5.0) is None


def test_harmful_updates_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What helps is promoted, what harms is not, and the harm is refused, not just doubted."""
    _, result = load("update_model", monkeypatch)
    rows = {row["update"]: row for row in result["verdicts"]}
    assert rows["corrections"]["decision"] == "accept" and rows["corrections"]["promoted"]
    for name in ("labels shuffled", "tiny and narrow, trained hard"):
        assert rows[name]["decision"] == "refuse" and not rows[name]["promoted"]
    assert all(row["chosen"] == row["right"] for row in result["choice"] if row["built_on"])
