"""frozen_layer over every kind of base: generators, rankers, classifiers, users' own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from tests.conftest import BASES, TINY_BART

# a selection that every base of the kind has; the default suits transformers
TUNE: dict[str, str] = {
    "transformer/polyencoder": "encoder_ctxt.layers[-1],code*",
    "transformer/biencoder": "*encoder*.layers[-1]",
    "transformer/crossencoder": "*.layers[-1]",
    "transformer/classifier": "@head",
    "seq2seq": "decoder",
    "hred": "decoder",
    "memnn": "re:.*(memory|answer).*",
}


def weights(model_file: str) -> dict[str, torch.Tensor]:
    """The weights in a model file."""
    return torch.load(model_file, map_location="cpu", weights_only=False)["model"]


@pytest.mark.slow
@pytest.mark.parametrize("agent", BASES)
def test_only_the_selection_changes(
    agent: str,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """What was selected moves, all else is bit-identical, and the result loads by itself."""
    base = deployed(agent)
    candidate = str(tmp_path / "candidate" / "model")
    settings = {k: v for k, v in BASES[agent].items() if k in ("task", "candidates")}
    train(
        model="frozen_layer",
        init_model=base,
        model_file=candidate,
        tune=TUNE.get(agent, "decoder.layers[-1]"),
        jsonfile_datapath=str(data / "new.jsonl"),
        **settings,
    )
    old, new = weights(base), weights(candidate)
    record = torch.load(candidate, map_location="cpu", weights_only=False)["frozen_layer"]
    selected = set(record["selected"])
    assert set(old) == set(new)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved, "nothing learnt"
    assert moved <= selected

    loaded = create_agent_from_model_file(candidate, {"no_cuda": True, "loglevel": "error"})
    assert loaded.opt["base_agent"] == agent
    plain = create_agent_from_model_file(candidate, {"no_cuda": True, "model": agent})
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name])


@pytest.mark.parametrize(
    "tune,rank", [("*", 0), ("transformer.layers[-1]", 0), ("transformer.layers[-1]", 2)]
)
def test_an_encoder_that_the_agent_holds_too(
    tune: str,
    rank: int,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """A classifier's encoder is in its ``base_model`` as well, and learns all the same."""
    base, agent = deployed("transformer/classifier"), "transformer/classifier"
    settings = {k: v for k, v in BASES[agent].items() if k in ("task", "classes")}
    settings.update(init_model=base, optimizer="sgd", learningrate=0.1, dropout=0.0)
    ours, plain = str(tmp_path / "ours" / "model"), str(tmp_path / "plain" / "model")
    train(model="frozen_layer", model_file=ours, tune=tune, lora_rank=rank, **settings)
    old, new = weights(base), weights(ours)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    if tune == "*":
        train(
            **{**BASES[agent], **settings, "model": agent, "dict_file": base + ".dict"},
            model_file=plain,
        )
        for name, tensor in weights(plain).items():
            assert torch.allclose(tensor, new[name], atol=1e-6), name
        assert "transformer.embeddings.weight" in moved
    else:
        assert moved and all(name.startswith("transformer.layers.") for name in moved)


@pytest.mark.slow
def test_bart(train: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    """BART, from a local model: its agent would download one, and its tokenizer."""
    start, base, candidate = (str(tmp_path / name / "model") for name in ("start", "base", "new"))
    train(model="transformer/generator", model_file=start, **TINY_BART)
    train(model="bart", init_model=start, model_file=base, **TINY_BART)
    path = str(data / "new.jsonl")
    settings = dict(model="frozen_layer", init_model=base, jsonfile_datapath=path)
    train(model_file=candidate, tune="decoder.layers[-1]", **settings)
    old, new = weights(base), weights(candidate)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved and all(name.startswith("decoder.layers.1.") for name in moved)


# --tune for each; T5's flag has fixed choices, but takes a folder of that name first
HUGGING_FACE = {
    "hugging_face/gpt2": ({"model_name": "gpt2"}, "*.h[-1]"),
    "hugging_face/t5": ({"t5_model_arch": "t5-small"}, "decoder.stack.block[-1]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 2], ids=["plain", "lora"])
@pytest.mark.parametrize("agent", HUGGING_FACE)
def test_hugging_face(
    agent: str,
    lora: int,
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a pretrained checkpoint by --base-agent, then a second update by --init-model."""
    pytest.importorskip("transformers", reason="needs transformers: parlai-cu[huggingface]")
    from tests.compat import tiny_checkpoints

    tiny_checkpoints.make_gpt2(tmp_path / "gpt2")
    tiny_checkpoints.make_t5(tmp_path / "t5-small")
    monkeypatch.chdir(tmp_path)
    settings, tune = HUGGING_FACE[agent]
    first, second = str(tmp_path / "first" / "model"), str(tmp_path / "second" / "model")
    options = dict(model="frozen_layer", tune=tune, text_truncate=32, label_truncate=16)
    train(model_file=first, base_agent=agent, **settings, **options)
    options["lora_rank"] = lora
    path = str(data / "new.jsonl")
    train(model_file=second, init_model=first, jsonfile_datapath=path, **options)
    old, new = weights(first), weights(second)
    record = torch.load(second, map_location="cpu", weights_only=False)["frozen_layer"]
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert set(old) == set(new) and moved and moved <= set(record["selected"])
    loaded = create_agent_from_model_file(second, {"no_cuda": True})
    assert isinstance(loaded.respond("open the door"), str)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["transformer/generator", "transformer/biencoder"])
def test_low_rank_factors_are_merged_on_save(
    agent: str,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """A LoRA candidate has its base's tensors, and only the matched linear weights moved."""
    base = deployed(agent)
    candidate = str(tmp_path / "model")
    settings = {k: v for k, v in BASES[agent].items() if k in ("task", "candidates")}
    train(
        model="frozen_layer",
        init_model=base,
        model_file=candidate,
        tune="@attention,@ffn",
        lora_rank=2,
        jsonfile_datapath=str(data / "new.jsonl"),
        **settings,
    )
    old, new = weights(base), weights(candidate)
    assert set(old) == set(new)
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved and all(name.endswith("weight") and old[name].dim() == 2 for name in moved)
    assert not any("norm" in name or "embeddings" in name for name in moved)
