"""frozen_layer: the whole command, its promises and its refusals, on a tiny generator."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents.frozen_layer import FrozenLayerAgent, frozen_layer
from parlai_cu.errors import (
    DivergedError,
    FrozenBreachError,
    ModelFileError,
    ParlaiCuError,
    PatternError,
    SaveError,
    UsageError,
)
from parlai_cu.selection.guard import FrozenGuard
from tests.conftest import ctrl_c, states

GENERATOR = "transformer/generator"


@pytest.fixture
def tune(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> Callable[..., str]:
    """``tune(**options)``: the main command on a tiny generator; returns the candidate's path."""

    def run(**options: Any) -> str:
        settings: dict[str, Any] = dict(
            model="frozen_layer",
            init_model=deployed(GENERATOR),
            model_file=str(tmp_path / "candidate" / "model"),
            tune="decoder.layers[-1]",
            jsonfile_datapath=str(data / "new.jsonl"),
        )
        settings.update(options)
        train(**settings)
        return settings["model_file"]

    return run


def files(folder: Path) -> dict[str, bytes]:
    """Names and contents of a folder's files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def load(model_file: str, **overrides: Any) -> Any:
    """A saved model, as a service loads it."""
    return create_agent_from_model_file(model_file, {"no_cuda": True, **overrides})


# -- what it does ----------------------------------------------------------------------------


def test_the_base_is_inherited_and_the_deployed_model_untouched(
    tune: Callable[..., str], deployed: Callable[[str], str]
) -> None:
    """Architecture and tokenizer come from the deployed .opt; its files are not written."""
    before = files(Path(deployed(GENERATOR)).parent)
    candidate = tune()
    assert files(Path(deployed(GENERATOR)).parent) == before
    opt = json.loads(Path(candidate + ".opt").read_text())
    assert opt["base_agent"] == GENERATOR and opt["model"] == "frozen_layer"
    assert (opt["embedding_size"], opt["n_layers"], opt["n_heads"]) == (16, 2, 2)
    assert opt["dict_file"] == candidate + ".dict"
    assert Path(candidate + ".dict").read_bytes() == before["model.dict"]


def test_bf16_rounds_and_keeps_types(tune: Callable[..., str], tmp_path: Path) -> None:
    """--bf16-autocast: nearly the same losses, and a file with the same types."""

    def losses(name: str, **options: Any) -> list[float]:
        model_file = tune(
            model_file=str(tmp_path / name / "model"), seed=3, log_every_n_steps=1, **options
        )
        assert all(t.dtype != torch.bfloat16 for t in states(model_file)["model"].values())
        stats = json.loads(Path(model_file + ".trainstats").read_text())
        return [report["loss"] for report in stats["train_reports"]]

    plain, rounded = losses("plain"), losses("rounded", bf16_autocast=True)
    cache = str(tmp_path / "cache")
    # not from what was kept without rounding
    losses("fills", cache_frozen=cache)
    cached = losses("cached", bf16_autocast=True, cache_frozen=cache)
    assert plain != rounded and rounded == pytest.approx(plain, rel=0.02)
    assert cached == pytest.approx(rounded, rel=1e-3)


@pytest.mark.parametrize("flags, slower", [("avx2", True), ("avx2 avx512_bf16", False)])
def test_bf16_where_it_is_slower(
    flags: str,
    slower: bool,
    tune: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warned: list[str],
) -> None:
    """A processor without bfloat16 is told of: there --bf16-autocast costs time."""
    (tmp_path / "cpuinfo").write_text(f"flags : sse {flags}\n")
    monkeypatch.setattr(frozen_layer, "_PROCESSOR", tmp_path / "cpuinfo")
    tune(bf16_autocast=True, max_train_steps=1)
    assert any("no instructions for bfloat16" in line for line in warned) == slower


def test_only_selected_parameters_are_in_the_optimizer(tune: Callable[..., str]) -> None:
    """State, weight decay and momentum exist for the selection alone."""
    candidate = tune(tune="decoder.layers[-1].ffn", weight_decay=0.1)
    saved = states(candidate)
    selected = saved["frozen_layer"]["selected"]
    assert len(selected) == 4
    assert len(saved["optimizer"]["state"]) == 4
    assert sum(len(group["params"]) for group in saved["optimizer"]["param_groups"]) == 4


def test_the_candidate_answers_like_its_base_class(tune: Callable[..., str]) -> None:
    """A loaded candidate is an agent of its base: it replies, is shared and cloned."""
    from parlai.core.torch_generator_agent import TorchGeneratorAgent

    agent = load(tune())
    assert isinstance(agent, TorchGeneratorAgent) and isinstance(agent, FrozenLayerAgent)
    assert isinstance(agent.respond("open the door"), str)
    assert agent.clone().model is agent.model
    assert len(agent.batch_respond([{"text": "good night"}, {"text": "thank you"}])) == 2


def test_it_learns_and_evaluation_says_so(
    tune: Callable[..., str], deployed: Callable[[str], str], data: Path
) -> None:
    """`parlai eval_model` finds the candidate better on the update than the deployed model."""
    from parlai.scripts.eval_model import EvalModel

    def perplexity(model_file: str) -> float:
        report = EvalModel.main(
            task="jsonfile",
            jsonfile_datapath=str(data / "new.jsonl"),
            model_file=model_file,
            skip_generation=True,
            loglevel="error",
        )
        return float(report["ppl"])

    candidate = tune(tune="decoder", max_train_steps=40)
    assert perplexity(candidate) < 0.7 * perplexity(deployed(GENERATOR))


def test_a_candidate_can_be_the_next_deployed_model(
    tune: Callable[..., str], tmp_path: Path
) -> None:
    """A second update builds on the first, another selection included, LoRA merged."""
    first = tune(tune="@ffn", lora_rank=2)
    second = tune(
        init_model=first, model_file=str(tmp_path / "second" / "model"), tune="encoder.layers[0]"
    )
    old, new = states(first)["model"], states(second)["model"]
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved and all(name.startswith("encoder.layers.0.") for name in moved)


def test_dotted_spelling_of_the_agent(tune: Callable[..., str]) -> None:
    """-m parlai_cu.agents.frozen_layer:FrozenLayerAgent works as well."""
    candidate = tune(model="parlai_cu.agents.frozen_layer:FrozenLayerAgent")
    assert isinstance(load(candidate), FrozenLayerAgent)


def test_without_init_model_the_base_is_named(train: Callable[..., Any], tmp_path: Path) -> None:
    """--base-agent brings that agent's flags, for bases whose weights are not a ParlAI model."""
    model_file = str(tmp_path / "model")
    train(
        model="frozen_layer",
        base_agent=GENERATOR,
        tune="decoder",
        model_file=model_file,
        embedding_size=16,
        n_heads=2,
    )
    assert states(model_file)["model"]["embeddings.weight"].shape[1] == 16


def test_flags_of_the_base_are_in_the_help(deployed: Callable[[str], str]) -> None:
    """--help shows the base's flags, with the deployed model's values, once it is known."""
    from parlai.scripts.train_model import setup_args

    parser = setup_args()
    parser.add_extra_args(["-m", "frozen_layer", "--init-model", deployed(GENERATOR)])
    text = parser.format_help()
    assert "--tune" in text and "--beam-size" in text
    assert parser.get_default("embedding_size") == 16


# -- interruption ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"update_freq": 2},
        {"lora_rank": 2},
        {"dynamic_batching": "full", "text_truncate": 16},
        {"dropout": 0.3},
        {"tune": "decoder.layers[-1]", "cache_frozen": "auto"},
        {"penalty": "lwf"},
        {"penalty": "l2sp"},
    ],
    ids=["plain", "accumulation", "lora", "dynamic batching", "dropout", "cache", "lwf", "l2sp"],
)
def test_resume_after_interrupt_is_exact(
    options: dict[str, Any],
    tune: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C, then the same command: the same losses and weights as without."""
    settings = {"tune": "decoder", **options, "max_train_steps": 8, "log_every_n_steps": 1}
    whole = tune(model_file=str(tmp_path / "whole" / "model"), seed=3, **settings)

    halves = str(tmp_path / "halves" / "model")
    ctrl_c(monkeypatch, FrozenLayerAgent, at=5)
    with pytest.raises(SystemExit) as stopped:
        tune(model_file=halves, seed=3, **settings)
    assert stopped.value.code == 130
    assert not os.path.exists(halves) and os.path.exists(halves + ".checkpoint")
    # without --seed: the one of the first half is on record
    tune(model_file=halves, seed=None, **settings)

    def losses(model_file: str) -> list[float]:
        stats = json.loads(Path(model_file + ".trainstats").read_text())
        return [report["loss"] for report in stats["train_reports"]]

    assert losses(halves) == pytest.approx(losses(whole), rel=1e-6)
    one, other = states(whole)["model"], states(halves)["model"]
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-7)


def test_resume_with_another_selection_is_refused(tune: Callable[..., str]) -> None:
    """Both selections are shown."""
    tune(tune="decoder.layers[-1]")
    with pytest.raises(UsageError, match=r"begun with --tune 'decoder.layers\[-1\]' .*'encoder'"):
        tune(tune="encoder")
    with pytest.raises(UsageError, match=r"cannot go on with .*--lora-rank 2"):
        tune(lora_rank=2)


def test_a_damaged_checkpoint_is_found_on_resume(tune: Callable[..., str]) -> None:
    """A frozen tensor that is not what was saved is damage, not a base to build on."""
    candidate = tune()
    saved = states(candidate)
    saved["model"]["encoder.layers.0.ffn.lin1.weight"][0, 0] += 1
    torch.save(saved, candidate)
    with pytest.raises(ModelFileError, match="is damaged: frozen tensors"):
        tune(max_train_steps=8)


# -- saving ----------------------------------------------------------------------------------


def test_a_breach_aborts_the_save(
    tune: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Something that writes to a frozen tensor stops the save; no file appears."""
    stock = FrozenLayerAgent.train_step

    def train_step(self: Any, batch: Any) -> Any:
        with torch.no_grad():
            self.model.encoder.layers[0].norm1.bias.add_(1e-7)
        return stock(self, batch)

    monkeypatch.setattr(FrozenLayerAgent, "train_step", train_step)
    with pytest.raises(FrozenBreachError, match="encoder.layers.0.norm1.bias"):
        tune()
    assert files(tmp_path / "candidate") == {}


def test_factors_survive_a_save_in_half_precision(tune: Callable[..., str]) -> None:
    """Under fp16 an adapted weight is saved as the file's own plus the product."""
    agent = load(tune(tune="@ffn", lora_rank=2), datatype="train")
    originals = {name: tensor.clone() for name, tensor in agent.model.state_dict().items()}
    agent.model.half()
    frozen = [t.name for t in agent.chosen.selection.frozen]
    agent.chosen.guard = FrozenGuard(agent.model, frozen, originals)
    saved = agent.state_dict()["model"]
    for weight in agent.chosen.adapted:
        layer = agent.model.get_submodule(weight.name.rpartition(".")[0])
        assert saved[weight.name].dtype == torch.float32
        assert not torch.equal(saved[weight.name], originals[weight.name])
        expected = originals[weight.name] + layer.lora.delta()
        torch.testing.assert_close(saved[weight.name], expected)
    assert torch.equal(saved["embeddings.weight"], originals["embeddings.weight"])


@pytest.mark.parametrize(
    "failure",
    [OSError(28, "No space left on device"), RuntimeError("[enforce fail] PytorchStreamWriter")],
    ids=["OSError", "torch"],
)
def test_a_full_disk_leaves_earlier_files_whole(
    failure: Exception,
    tune: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A save that fails half way changes nothing and leaves nothing behind."""
    candidate = tune()
    before = files(tmp_path / "candidate")

    def save(content: Any, f: Any, **kwargs: Any) -> None:
        f.write(b"half of it")
        raise failure

    monkeypatch.setattr(torch, "save", save)
    agent = load(candidate)
    with pytest.raises(SaveError, match="could not save .*What was saved earlier is whole"):
        agent.save()
    assert files(tmp_path / "candidate") == before
    assert len(list((tmp_path / "candidate").iterdir())) == len(before)


def test_a_loss_that_is_no_number_stops_the_run(tune: Callable[..., str], tmp_path: Path) -> None:
    """NaN is told with update and learning rate, before it reaches a parameter."""
    with pytest.raises(DivergedError, match="the loss is (nan|inf) at update .*learningrate 1e"):
        tune(learningrate=1e30, gradient_clip=-1, tune="@ffn")
    assert not (tmp_path / "candidate" / "model").exists()


# -- refusals --------------------------------------------------------------------------------


def copy_of(model_file: str, folder: Path) -> str:
    """A deployed model to be damaged."""
    shutil.copytree(Path(model_file).parent, folder)
    return str(folder / "model")


def test_missing_init_model(tune: Callable[..., str], deployed: Callable[[str], str]) -> None:
    """The nearest file is named; ParlAI would have trained from nothing."""
    with pytest.raises(ModelFileError, match="no model file at .*modle; nearest in .*: model"):
        tune(init_model=deployed(GENERATOR)[:-2] + "le")


def test_truncated_init_model(
    tune: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """Damage is told with the size found."""
    broken = copy_of(deployed(GENERATOR), tmp_path / "broken")
    with open(broken, "r+b") as f:
        f.truncate(1000)
    with pytest.raises(ModelFileError, match="truncated, damaged .* 1,000 bytes"):
        tune(init_model=broken)


def test_dictionary_missing_or_of_another_model(
    tune: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """No dictionary is built anew, and none of another size is taken."""
    broken = copy_of(deployed(GENERATOR), tmp_path / "broken")
    lines = Path(broken + ".dict").read_text().splitlines()
    Path(broken + ".dict").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(ModelFileError, match=r"do not belong together: size mismatch"):
        tune(init_model=broken)
    os.remove(broken + ".dict")
    with pytest.raises(ModelFileError, match="dictionary is missing"):
        tune(init_model=broken)
    assert not os.path.exists(broken + ".dict")


def test_writing_over_a_finished_model(
    tune: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """-mf may be neither the deployed model, under any name, nor another finished one."""
    base = deployed(GENERATOR)
    link = tmp_path / "link"
    link.symlink_to(Path(base).parent)
    for path in (base, str(link / "model")):
        with pytest.raises(UsageError, match="is the deployed model itself, which is never"):
            tune(model_file=path)
    other = copy_of(base, tmp_path / "other")
    with pytest.raises(UsageError, match="is a finished transformer/generator model"):
        tune(model_file=other)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"n_heads": 4}, UsageError, "--n-heads 4: the deployed model has 2"),
        ({"dict_lower": True}, UsageError, "--dict-lower True: the deployed model has False"),
        ({"tune": None}, PatternError, "nothing says which parameters learn"),
        ({"tune": "decodr"}, PatternError, "matches no parameter .* nearest: decoder"),
        ({"bf16_autocast": True, "fp16": True}, UsageError, "--bf16-autocast and --fp16: one of"),
        ({"lora_rank": -1}, UsageError, "--lora-rank -1: expected 0"),
        ({"tune": "@norm", "lora_rank": 2}, UsageError, "is the weight of a linear layer"),
        ({"model_file": "/proc/nowhere/model"}, SaveError, "cannot write in /proc/nowhere"),
    ],
)
def test_refusals(
    options: dict[str, Any], error: type, message: str, tune: Callable[..., str]
) -> None:
    """Each mistake is refused before any work, with what was found and expected."""
    with pytest.raises(error, match=message):
        tune(**options)


@pytest.mark.parametrize(
    "base, message",
    [
        ("transfomer/generator", "no such agent .* nearest: transformer/generator"),
        ("repeat_query", "has no torch model that could be tuned"),
    ],
)
def test_unknown_or_unsuitable_base(
    base: str, message: str, train: Callable[..., Any], tmp_path: Path
) -> None:
    """A base that does not exist or cannot be tuned is named, with the nearest right one."""
    with pytest.raises(UsageError, match=message):
        train(model="frozen_layer", base_agent=base, tune="x", model_file=str(tmp_path / "model"))


@pytest.mark.parametrize("flags", [[], ["--optimizer", "adam"]])
def test_neither_init_model_nor_base(flags: list[str], data: Path, tmp_path: Path) -> None:
    """Without a base its flags are unknown; the message says what is missing instead."""
    from parlai.scripts.train_model import TrainModel

    task = ["-t", "jsonfile", "--jsonfile-datapath", str(data / "new.jsonl")]
    with pytest.raises(UsageError, match="needs --init-model MODEL .* or --base-agent AGENT"):
        TrainModel.main(*task, "-m", "frozen_layer", "-mf", str(tmp_path / "model"), *flags)


def test_every_error_is_one_line_and_a_status(
    deployed: Callable[[str], str], data: Path, tmp_path: Path
) -> None:
    """From the command line a refusal is one line on stderr and exit status 1."""
    command = [sys.executable, "-m", "parlai", "train_model", "-m", "frozen_layer"]
    command += ["--init-model", deployed(GENERATOR), "--tune", "decodr", "-t", "jsonfile"]
    command += ["--jsonfile-datapath", str(data / "new.jsonl"), "-mf", str(tmp_path / "c" / "m")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    ours = [line for line in done.stderr.splitlines() if line.startswith("parlai_cu: ")]
    assert len(ours) == 1 and "nearest: decoder" in ours[0]
    assert "Traceback" not in done.stderr


def test_all_errors_share_a_root() -> None:
    """A script can catch everything of ours at once."""
    for error in (DivergedError, FrozenBreachError, ModelFileError, SaveError, PatternError):
        assert issubclass(error, ParlaiCuError)


# -- several processes -----------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes(deployed: Callable[[str], str], data: Path, tmp_path: Path) -> None:
    """multiprocessing_train with two gloo processes keeps the frozen tensors too."""
    candidate = str(tmp_path / "model")
    command = [sys.executable, "-m", "parlai", "multiprocessing_train"]
    command += ["--distributed-world-size", "2", "-m", "frozen_layer", "--tune", "decoder.layers"]
    command += ["--init-model", deployed(GENERATOR), "-t", "jsonfile", "-bs", "4", "-eps", "1"]
    command += ["--jsonfile-datapath", str(data / "new.jsonl"), "-mf", candidate, "--no-cuda"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    old, new = states(deployed(GENERATOR))["model"], states(candidate)["model"]
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved and all(name.startswith("decoder.layers.") for name in moved)
