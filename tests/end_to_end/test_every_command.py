"""ParlAI's own commands over each of our agents: the base's result, or a line in words."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.versions.store import VersionStore

GENERATOR = "transformer/generator"


@pytest.fixture(scope="module")
def ways(
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[str]]:
    """The same weights, by each of our agents: the flags that name them."""
    folder = tmp_path_factory.mktemp("ways")
    base, candidate = deployed(GENERATOR), str(folder / "candidate" / "model")
    # nothing is learnt
    train(
        model="frozen_layer",
        init_model=base,
        tune="*",
        model_file=candidate,
        optimizer="sgd",
        learningrate=0.0,
        max_train_steps=1,
        skip_generation=True,
    )
    store = VersionStore(str(folder / "store"), create=True, cache=str(folder / "cache"))
    # of a version that was trained without replies
    store.promote(store.add(candidate, mode="import").id, force=True)
    kb = f"sqlite:///{folder / 'facts.db'}"
    SQLiteFacts(kb, writable=True)
    return {
        "base": ["-mf", base],
        "frozen_layer": ["-mf", candidate],
        "deployed": ["-m", "deployed", "--versions", store.path],
        "kb_augmented": ["-m", "kb_augmented", "--init-model", base, "--kb", kb],
    }


OURS = ("frozen_layer", "deployed", "kb_augmented")


def report(script: str, words: list[str]) -> tuple[Any, str]:
    """What a script returns, and what it prints."""
    import importlib

    module = importlib.import_module(f"parlai.scripts.{script}")
    # as ParlAI calls it
    name = next(n for n in vars(module) if n.lower() == script.replace("_", ""))
    with redirect_stdout(io.StringIO()) as out:
        found = getattr(module, name).main(*words, "--loglevel", "critical", "--no-cuda")
    return found, out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize(
    ("script", "more", "names"),
    [
        ("eval_model", ["-bs", "4"], "ppl loss token_acc f1 exs"),
        ("eval_model", ["--skip-generation", "true"], "ppl loss token_acc exs"),
        ("token_stats", ["-n", "8"], "exs min max mean p99"),
    ],
    ids=["eval", "eval without replies", "token_stats"],
)
def test_the_base_s_result(
    script: str, more: list[str], names: str, ours: str, ways: dict[str, list[str]], data: Path
) -> None:
    """Figure by figure."""
    task = ["-t", f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}", "--datapath", str(data)]
    # the candidate was trained without replies, and so is its version
    writes = script.startswith("eval") and "--skip-generation" not in more
    # nor says a tiny model anything by itself
    more = [*more, "--skip-generation", "false", "--beam-min-length", "3"] if writes else more
    expected, _ = report(script, [*ways["base"], *task, *more])
    found, _ = report(script, [*ways[ours], *task, *more])
    for name in names.split():
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("ours", OURS)
def test_replies_are_displayed(ours: str, ways: dict[str, list[str]], data: Path) -> None:
    """The same ones."""
    words = ["-t", f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}", "--datapath", str(data)]
    words += ["-n", "4"]

    def said(way: str) -> list[str]:
        _, out = report(
            "display_model",
            [*ways[way], *words, "--skip-generation", "false", "--beam-min-length", "3"],
        )
        return re.findall(r"model: (.*?)(?:\x1b|\n|$)", out)

    assert said(ours) == said("base") and len(said("base")) == 4


@pytest.mark.slow
def test_a_model_card_of_a_candidate(
    ways: dict[str, list[str]], data: Path, tmp_path: Path
) -> None:
    """Its metrics are evaluated as for any model."""
    words = ["-mf", ways["frozen_layer"][1], "--folder-to-save", str(tmp_path / "card")]
    words += ["-t", "integration_tests", "--mode", "gen:eval", "--datapath", str(data)]
    _, out = report("generate_model_card", words)
    assert "Traceback" not in out, out[-3000:]
    assert (tmp_path / "card" / "eval_results.json").exists()
