"""Figures in the docs come from the files that the benchmarks wrote."""

import argparse
import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A benchmark's script, and its results file."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    results = next((BENCHMARKS / "results").rglob(f"{name}.json"))
    return importlib.import_module(name), json.loads(results.read_text())


def test_every_table_stands_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script makes of its results file, every function of it that says a table."""
    pages = "".join(page.read_text() for page in PAGES)
    shown = {
        (place["script"], place["function"] or "table")
        for place in quotes(monkeypatch).TABLE.finditer(pages)
    }
    made = {
        (path.stem, function)
        for path in (BENCHMARKS / "results").rglob("*.json")
        if path.stem != "frozen_speed_avx512"  # an earlier run, of another processor
        for function in re.findall(
            r"^def (?!_)(\w*table|measured)\(", (BENCHMARKS / f"{path.stem}.py").read_text(), re.M
        )
    }
    assert made - shown == set()


def quotes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """benchmarks/quotes.py."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("quotes")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_figures_are_of_the_results(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python benchmarks/quotes.py` would change nothing; what looks like a quote is one."""
    module = quotes(monkeypatch)
    found = list(module.quotes(page))
    assert [is_said for is_said, _ in found] == [ought_to_be for _, ought_to_be in found]
    assert len(found) == len(module.MARK.findall(page.read_text()))


# shares and numbers with decimals that nobody measured: settings, versions, what was chosen or is
# shown in a session on the page
SETTINGS = {
    "README.md": ["2.0", "1.7.2"],
    "chat_page.md": ["127.0.0.1"],
    "choosing_a_mode.md": ["0.1"],
    "deployed.md": ["5 %"],
    "compatibility.md": ["3.9", "3.10", "3.11", "3.13", "3.14"],
    "distill_student.md": ["0.5"],
    "faq.md": ["5 %"],
    "frozen_layer.md": ["63 %", "95 %"],
    "kb_augmented.md": ["0.3", "0.5", "0.8", "0.95", "1.5"],
    "migrating.md": ["127.0.0.1"],
    "retention.md": ["5 %", "95 %"],
    "selection.md": ["0.75", "70 %", "90 %"],
    "serving.md": ["2.4", "127.0.0.1"],
    "tutorial.md": ["2.6", "1.4", "0.6", "95 %", "5 %"],
    "update_model.md": ["1 %", "2 %", "5 %", "1.5", "1.2", "0.95", "0.05", "0.02", "0.03", "0.01"],
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_are_quoted_not_typed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share or a number with decimals is a quote, or one of the settings."""
    module = quotes(monkeypatch)
    prose = module.TABLE.sub("", module.QUOTE.sub("", page.read_text()))
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|Python 3[^,)]*", "", prose, flags=re.DOTALL)
    typed = re.findall(r"\d*(?:\.\d+)+|\d+ ?%", prose)
    assert set(typed) - set(SETTINGS.get(page.name, [])) == set()


def test_a_figure_that_changed_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many digits as before; a row by its name; shares as percent; a wrong path is an error."""
    module = quotes(monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    rows = [{"name": "a", "x": 12345.678}, {"name": "b", "x": -0.256}]
    (tmp_path / "some.json").write_text(json.dumps({"rows": rows}))
    a, b = "<!--some rows/name=a/x-->", "<!--some rows/name=b/x-->"
    text = f"1.0{a} 1,000{a} 3 %{b}"
    wanted = f"12345.7{a} 12,346{a} 26 %{b}"
    assert module.QUOTE.sub(module.written, text) == wanted
    with pytest.raises(LookupError):
        module.value("some", "rows/name=c/x")


@pytest.mark.parametrize(
    "wanted, number",
    [
        ("rows/0/x", 4),
        ("rows/name=b/seed=1/x", 8),
        ("of/r=8", 5),
        ("mean rows/name=b/x", 7),
        ("min rows/*/x", 4),
        ("max of/*", 5),
        ("rows/name=a/x / of/r=8", 0.8),
        ("rows/name=a/x / of/r=8 - 1", -0.2),
        ("mean rows/*/x - rows/name=a/x / 2", 1),
        ("rows/name=b/x", None),
        ("rows/name=c/x", None),
        ("mean rows/name=c/x", None),
        ("of/x=8", None),
    ],
)
def test_the_way_to_a_figure(
    wanted: str, number: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows by one or two values, keys with an equals sign, aggregates, quotients, differences."""
    module = quotes(monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    rows = [{"name": "a", "x": 4}, *({"name": "b", "seed": i, "x": 6 + 2 * i} for i in (0, 1))]
    (tmp_path / "some.json").write_text(json.dumps({"rows": rows, "of": {"r=8": 5}}))
    if number is None:
        with pytest.raises(LookupError):
            module.value("some", wanted)
    else:
        assert module.value("some", wanted) == pytest.approx(number)


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
    """Every choice that was asked for, with three seeds, on all updates."""
    module, result = load("selection", monkeypatch)
    for update in ("update_1", "update_2", "update_3", "telecom:new_plans"):
        rows = {row["choice"]: row for row in module.compared(result["runs"], update)}
        assert set(module.CHOICES) == set(rows)
        assert all(row["seeds"] >= 3 for row in rows.values())
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


def test_official_scores_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One right with one of two snippets, one taken wrongly, one missed; a reply counts as F1."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    scoring = importlib.import_module("dstc11_scores")
    monkeypatch.setattr(scoring, "generation", lambda said, references: {"bleu": float(len(said))})
    gold = [
        scoring.Said(True, {"a", "b"}, "x"),
        scoring.Said(False, set(), ""),
        scoring.Said(True, {"c"}, "y"),
        scoring.Said(False, set(), ""),
    ]
    system = [
        scoring.Said(True, {"a"}, "x"),
        scoring.Said(True, {"d"}, "z"),
        scoring.Said(False, set(), ""),
        scoring.Said(False, set(), ""),
    ]
    found = scoring.scores(gold, system)
    assert found["detection_p"] == found["detection_r"] == found["detection_f1"] == 0.5
    assert (found["selection_p"], found["selection_r"]) == (1 / 2, 1 / 3)
    assert found["selection_f1"] == pytest.approx(0.4) and found["selection_em"] == 0
    assert found["bleu"] == 0.5
    assert scoring.scores(gold, gold)["selection_em"] == 1


def test_all_that_was_measured_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says what the file says: no turn lost or in another's conversation, memory flat."""
    module, result = load("chat_service", monkeypatch)
    if "hour" not in result:
        pytest.skip("the file is of the script before it measured an hour")
    ours = [row for row in result["rows"] if row["service"] == "ours"]
    assert [row["users"] for row in ours] == list(module.USERS)
    for each in (*ours, result["promotions"], result["soak"], result["hour"]):
        assert each["answered"] == each["turns"] and each["wrong"] == 0
    assert result["promotions"]["promotions"] >= 100
    for name in ("soak", "hour"):
        points = result[name]["points"]
        assert points[-1]["mb"] < points[len(points) // 2]["mb"] * 1.03
        assert points[-1]["fds"] <= points[0]["fds"]


SCRIPTS = [
    path.name
    for path in sorted(BENCHMARKS.glob("*.py"))
    if "ArgumentParser" in path.read_text() and path.stem != "run_all"  # not what they share
]


def test_every_benchmark_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """In full, and in short but for those that have no short form."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    all_of_them = importlib.import_module("run_all").BENCHMARKS
    assert sorted(all_of_them) == SCRIPTS
    long = {name for name, (_, short) in all_of_them.items() if short is None}
    assert long == {"dstc11.py", "avalanche_check.py"}


@pytest.mark.parametrize("short", [False, True])
def test_the_flags_that_are_given_exist(short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each script's own parser takes them; nothing is run."""
    parse = argparse.ArgumentParser.parse_args

    class Parsed(Exception):
        """The flags are right."""

    def parse_and_stop(parser: argparse.ArgumentParser) -> None:
        parse(parser)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    for script, flags in importlib.import_module("run_all").BENCHMARKS.items():
        if script == "avalanche_check.py" or flags[short] is None:  # that needs Avalanche
            continue
        module = importlib.import_module(Path(script).stem)
        monkeypatch.setattr(sys, "argv", [script, *shlex.split(flags[short])])
        with pytest.raises(Parsed):
            module.main()


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_writes_where_it_was_measured(script: str) -> None:
    """It writes JSON with harness.about(), with its seeds where it is given any."""
    text = (BENCHMARKS / script).read_text()
    assert "about(" in text and ("json.dumps" in text or "publish(" in text)
    if 'add_argument("--seed' in text:
        assert re.search(r"about\([^)]", text)


@pytest.mark.parametrize(
    "path", sorted((BENCHMARKS / "results").rglob("*.json")), ids=lambda path: path.stem
)
def test_every_result_says_where_it_was_measured(path: Path) -> None:
    """Commit, versions, device and seeds; "not recorded" is said where it was not."""
    about = json.loads(path.read_text())["about"]
    assert all(about[key] for key in ("commit", "python", "torch", "numpy", "device", "date"))
    assert isinstance(about["seeds"], list)


def test_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit, versions, device and seeds."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    harness = importlib.import_module("harness")
    about = harness.about(range(2))
    assert {"commit", "python", "torch", "numpy", "device", "cores", "date"} <= set(about)
    assert about["seeds"] == [0, 1] and about["device"]
