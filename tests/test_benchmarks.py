"""Figures in the docs come from the files that the benchmarks wrote."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_table_in_the_docs_is_of_the_results() -> None:
    """docs/frozen_layer.md holds the table that the script makes of its results file."""
    script = ROOT / "benchmarks" / "frozen_layer_sgd.py"
    spec = importlib.util.spec_from_file_location("frozen_layer_sgd", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = json.loads((ROOT / "benchmarks" / "results" / "frozen_layer_sgd.json").read_text())
    page = (ROOT / "docs" / "frozen_layer.md").read_text()
    assert module.table(result).strip() in page
    assert len({row["selection"] for row in result["rows"]}) >= 6
    assert len({row["update"] for row in result["rows"]}) == 3
    assert all(row["seeds"] == 2 for row in result["rows"])
