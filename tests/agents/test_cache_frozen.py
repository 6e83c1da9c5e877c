"""--cache-frozen: the frozen prefix runs once an example, and the training is the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.agents.frozen_layer import FrozenLayerAgent, cached_prefix
from parlai_cu.agents.frozen_layer.cached_prefix import CachedPrefix
from parlai_cu.errors import DataError, UsageError
from tests.conftest import BASES, ctrl_c, states

GENERATOR = "transformer/generator"
# base -> what learns, what is kept then
KEPT: dict[str, tuple[str, list[str]]] = {
    GENERATOR: ("decoder.layers[-1]", ["encoder", "decoder"]),
    "tests.agents.my_agent:MyAgent": ("decoder.layers[-1]", ["encoder", "decoder"]),
    "seq2seq": ("decoder.rnn", ["encoder"]),
    "transformer/polyencoder": ("encoder_ctxt.layers[-1],code*", ["encoder_ctxt", "encoder_cand"]),
    "transformer/biencoder": ("context_encoder.layers[-1]", ["context_encoder"]),
    "transformer/crossencoder": ("encoder.layers[-1]", ["encoder"]),
    "transformer/classifier": ("@head", ["transformer"]),
}


@pytest.fixture
def prefixes(monkeypatch: pytest.MonkeyPatch) -> list[CachedPrefix | None]:
    """The caches of the agents made in a test, in order."""
    made: list[CachedPrefix | None] = []
    stock = cached_prefix.attach

    def attach(*args: Any) -> CachedPrefix | None:
        made.append(stock(*args))
        return made[-1]

    monkeypatch.setattr(cached_prefix, "attach", attach)
    return made


@pytest.fixture
def tune(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> Callable[..., str]:
    """``tune(name, **options)``: a candidate of that name; 10 updates, each logged."""

    def run(name: str, agent: str = GENERATOR, **options: Any) -> str:
        settings = {k: v for k, v in BASES[agent].items() if k in ("task", "candidates")}
        settings.update(
            model="frozen_layer",
            init_model=deployed(agent),
            model_file=str(tmp_path / name / "model"),
            tune=KEPT[agent][0] if agent in KEPT else None,
            jsonfile_datapath=str(data / "new.jsonl"),
            max_train_steps=10,
            log_every_n_steps=1,
            seed=5,
            # Adam makes whole steps of the noise in gradients that are nothing
            optimizer="sgd",
            learningrate=0.1,
        )
        settings.update(options)
        train(**settings)
        return str(settings["model_file"])

    return run


def losses(model_file: str) -> list[float]:
    """Of each update."""
    stats = json.loads(Path(model_file + ".trainstats").read_text())
    return [r.get("loss", r.get("mean_loss")) for r in stats["train_reports"]]


def assert_same(one: str, other: str) -> None:
    """The same losses and weights, but for the order in which floats were added."""
    assert losses(one) == pytest.approx(losses(other), rel=1e-5)
    first, second = states(one)["model"], states(other)["model"]
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("agent", KEPT)
def test_training_is_the_same(
    agent: str, tune: Callable[..., str], tmp_path: Path, prefixes: list[Any]
) -> None:
    """Over every base that has a frozen prefix: by the cache, and without."""
    plain = tune("plain", agent)
    cached = tune("cached", agent, cache_frozen=str(tmp_path / "cache"))
    # the first without cache, then the run and the best model loaded at its end
    prefix = prefixes[-2]
    assert set(prefix._memos) == set(KEPT[agent][1])
    assert {name: memo.found > 0 for name, memo in prefix._memos.items()} == {
        name: True for name in KEPT[agent][1]
    }, [(m.found, m.computed) for m in prefix._memos.values()]
    assert_same(plain, cached)


def test_dropout_of_what_learns_stays(tune: Callable[..., str], tmp_path: Path) -> None:
    """Exactly: only the encoder is kept, and dropout falls as it would without a cache."""
    plain = tune("plain", dropout=0.3)
    cached = tune("cached", dropout=0.3, cache_frozen=str(tmp_path / "cache"))
    assert_same(plain, cached)
    assert losses(plain) != pytest.approx(losses(tune("none")), rel=1e-2)


def test_not_exactly_on_request(
    tune: Callable[..., str], tmp_path: Path, prefixes: list[Any]
) -> None:
    """With the dropout below them off, frozen layers are kept too; the bound decides nothing."""
    folder = str(tmp_path / "cache")
    exact = tune("exact", dropout=0.3, cache_frozen=folder)
    assert list(prefixes[0]._memos) == ["encoder"]
    options = dict(dropout=0.3, cache_frozen=folder, cache_frozen_exact=False)
    more = tune("more", **options)
    assert list(prefixes[2]._memos) == ["encoder", "decoder"]
    # found from the first run on, encoders not being different
    assert prefixes[2]._memos["encoder"].computed == 0
    assert losses(exact) != pytest.approx(losses(more), rel=1e-3)
    options["cache_frozen"] = str(tmp_path / "small")
    assert_same(more, tune("small", **options, cache_frozen_size=5e-6))
    assert prefixes[4].cache.full and prefixes[4].found < prefixes[2].found


def test_the_cache_serves_later_runs(
    tune: Callable[..., str], tmp_path: Path, prefixes: list[Any]
) -> None:
    """Another run on the same model and data computes nothing; on another model, everything."""
    folder = str(tmp_path / "cache")
    first = tune("first", cache_frozen=folder, seed=5)
    tune("second", cache_frozen=folder, seed=5, learningrate=1e-3)
    # beside the 80 of the run, those by which the cache was proven
    assert prefixes[2].computed == 0 and prefixes[2].found > 80
    other = tune("other", tune="encoder.layers[0]", init_model=first)
    tune("third", cache_frozen=folder, init_model=other)
    assert prefixes[-2].computed == prefixes[0].computed


def test_auto_goes_when_the_run_is_done(
    tune: Callable[..., str], tmp_path: Path, prefixes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the candidate; it stays when the run is interrupted, for going on."""
    ctrl_c(monkeypatch, FrozenLayerAgent, at=8)
    with pytest.raises(SystemExit):
        tune("one", cache_frozen="auto")
    assert (tmp_path / "one" / "model.activations").is_dir()
    tune("one", cache_frozen="auto")
    assert prefixes[1].computed < prefixes[0].computed
    assert not (tmp_path / "one" / "model.activations").exists()


@pytest.mark.parametrize(
    "options, why",
    [
        ({"num_epochs": 1}, "each example is seen once"),
        ({"tune": "encoder.layers[0]"}, "encoder: its first layer learns"),
    ],
)
def test_auto_where_it_would_not_pay(
    options: dict[str, Any],
    why: str,
    tune: Callable[..., str],
    prefixes: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is kept, and the log says why."""
    said: list[str] = []
    monkeypatch.setattr(cached_prefix.logging, "info", said.append)
    tune("one", cache_frozen="auto", **options)
    assert prefixes[0] is None
    assert any("--cache-frozen auto: nothing is kept" in line and why in line for line in said)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"tune": "encoder"}, UsageError, "nothing that can be kept: encoder: its first layer"),
        ({"tune": "@embeddings"}, UsageError, "encoder: embeddings learns"),
        ({"tune": "encoder.layers[-1]", "dropout": 0.1}, UsageError, "has dropout 0.1, so its 1"),
        ({"cache_frozen": "auto", "model_file": None}, UsageError, "give -mf, or a folder"),
        ({"cache_frozen_size": 0.0}, UsageError, "--cache-frozen-size 0.0: expected more than 0"),
        ({"cache_frozen": "/proc/nowhere"}, DataError, "--cache-frozen: cannot write in /proc"),
        (
            {"agent": "memnn", "tune": "re:.*(memory|answer).*"},
            UsageError,
            "it has neither an encoder nor a transformer",
        ),
        ({"agent": "hred", "tune": "decoder"}, UsageError, "needs more than rows of tokens"),
        (
            {"agent": "image_seq2seq", "tune": "decoder.layers"},
            UsageError,
            "encoder of image_seq2seq cannot be kept row by row",
        ),
    ],
)
def test_refusals(
    options: dict[str, Any],
    error: type,
    message: str,
    tune: Callable[..., str],
    tmp_path: Path,
) -> None:
    """What cannot be kept is said at the start."""
    options = {"cache_frozen": str(tmp_path / "cache"), **options}
    with pytest.raises(error, match=message):
        tune("one", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent, settings, learning",
    [
        ("hugging_face/t5", {"t5_model_arch": "t5-small"}, "decoder.stack.block[-1]"),
        ("hugging_face/gpt2", {"model_name": "gpt2"}, "*.h[-1]"),
    ],
)
def test_hugging_face(
    agent: str,
    settings: dict[str, Any],
    learning: str,
    train: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefixes: list[Any],
) -> None:
    """T5's encoder is kept; GPT-2, which has none, is refused."""
    pytest.importorskip("transformers", reason="needs transformers: parlai-cu[huggingface]")
    from tests.compat import tiny_checkpoints

    tiny_checkpoints.make_gpt2(tmp_path / "gpt2")
    tiny_checkpoints.make_t5(tmp_path / "t5-small")
    monkeypatch.chdir(tmp_path)
    options = dict(model="frozen_layer", base_agent=agent, tune=learning, seed=5, **settings)
    options.update(text_truncate=32, label_truncate=16, optimizer="sgd", log_every_n_steps=1)
    plain, cached = (str(tmp_path / name / "model") for name in ("plain", "cached"))
    if agent == "hugging_face/gpt2":
        with pytest.raises(UsageError, match="has nothing that can be kept"):
            train(model_file=cached, cache_frozen=str(tmp_path / "cache"), **options)
        return
    train(model_file=plain, **options)
    train(model_file=cached, cache_frozen=str(tmp_path / "cache"), **options)
    assert prefixes[-1].computed > 0 or prefixes[-2].computed > 0
    assert losses(cached) == pytest.approx(losses(plain), rel=1e-4)
