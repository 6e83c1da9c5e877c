"""Replay and penalties in the modes that train: what is stored, mixed in, and refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu import messages
from parlai_cu.agents import replay
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.errors import ModelFileError, UsageError
from tests.conftest import BASES, NEW, states

GENERATOR = "transformer/generator"


@pytest.fixture
def update(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> Callable[..., str]:
    """``update(mode, base, **options)``: a tiny update; the candidate's path."""

    def run(mode: str = "frozen_layer", base: str = GENERATOR, **options: Any) -> str:
        kept = ("task", "candidates", "eval_candidates", "image_mode")
        settings = {k: v for k, v in BASES[base].items() if k in kept}
        settings.update(
            model=mode,
            model_file=str(tmp_path / mode / "model"),
            jsonfile_datapath=str(data / "new.jsonl"),
        )
        if mode == "frozen_layer":
            settings.update(init_model=deployed(base), tune="*")
        else:
            settings.update(teacher_model=deployed(base))
        settings.update(options)
        train(**settings)
        return str(settings["model_file"])

    return run


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The texts of each training batch."""
    seen: list[Any] = []
    stock = UpdatingAgent.batchify

    def batchify(self: Any, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        if any("labels" in obs for obs in obs_batch):
            seen.append([obs["text"] for obs in obs_batch])
        return stock(self, obs_batch, *args, **kwargs)

    monkeypatch.setattr(UpdatingAgent, "batchify", batchify)
    return seen


@pytest.fixture
def old(data: Path) -> str:
    """The old data, as for -t."""
    return f"jsonfile:jsonfile_datapath={data / 'old.jsonl'}"


@pytest.mark.parametrize("mode", ["frozen_layer", "distill_student"])
def test_old_examples_are_stored_and_mixed_in(
    mode: str, update: Callable[..., str], old: str, batches: list[Any]
) -> None:
    """The sample has the size asked for, and the share of the batches."""
    candidate = update(mode, replay_task=old, replay_size=8, replay_share=0.5, max_train_steps=40)
    stored = [turn["text"] for turn in sample(candidate)]
    assert len(stored) == 8
    assert json.loads(Path(candidate + ".replay.jsonl.json").read_text())["examples"] == 8
    texts = [text for batch in batches for text in batch]
    share = sum(text not in NEW for text in texts) / len(texts)
    # half of the sample's ten sentences are the update's own
    expected = 0.5 * len([text for text in stored if text not in NEW]) / len(stored)
    assert share == pytest.approx(expected, abs=0.12)
    assert {text for text in texts if text not in NEW} <= set(stored)


def sample(candidate: str) -> list[dict[str, Any]]:
    """The messages that a run replays."""
    with open(candidate + ".replay.jsonl") as f:
        return [messages.loads(line) for line in f]


def test_old_skill_is_validated_on_old_data_not_on_the_sample(
    update: Callable[..., str], old: str
) -> None:
    """The sample is training data; -et is the update and the old task."""
    candidate = update(replay_task=old, replay_share=0.2)
    opt = json.loads(Path(candidate + ".opt").read_text())
    assert opt["evaltask"] == f"jsonfile,{old}"
    assert opt["task"].endswith(replay.task_of(candidate + ".replay.jsonl")) and opt[
        "multitask_weights"
    ] == [1, 0.25]


def test_the_same_command_takes_the_same_sample(update: Callable[..., str], old: str) -> None:
    """A run that goes on finds it; other settings are refused."""
    candidate = update(replay_task=old, replay_size=8)
    before = Path(candidate + ".replay.jsonl").read_bytes()
    update(replay_task=old, replay_size=8, max_train_steps=6)
    assert Path(candidate + ".replay.jsonl").read_bytes() == before
    with pytest.raises(UsageError, match="holds a replay sample of .*'size': 8.* asks for .*9"):
        update(replay_task=old, replay_size=9)


def test_replay_keeps_old_skill(
    update: Callable[..., str], train: Callable[..., Any], data: Path, old: str, tmp_path: Path
) -> None:
    """On sentences outside the update, less is forgotten with replay than without."""
    from parlai.scripts.eval_model import EvalModel

    from tests.conftest import OLD, write_dialogues

    base = str(tmp_path / "base" / "model")
    train(model=GENERATOR, model_file=base, max_train_steps=80, **BASES[GENERATOR])
    write_dialogues(tmp_path / "only_old.jsonl", OLD)

    def perplexity(model_file: str) -> float:
        report = EvalModel.main(
            task="jsonfile",
            jsonfile_datapath=str(tmp_path / "only_old.jsonl"),
            model_file=model_file,
            skip_generation=True,
            loglevel="error",
        )
        return float(report["ppl"])

    settings = dict(init_model=base, max_train_steps=40)
    plain = update(model_file=str(tmp_path / "plain" / "model"), **settings)
    kept = update(
        model_file=str(tmp_path / "kept" / "model"),
        replay_task=f"jsonfile:jsonfile_datapath={tmp_path / 'only_old.jsonl'}",
        **settings,
    )
    assert perplexity(kept) < 0.7 * perplexity(plain)


def test_a_run_of_an_earlier_release_goes_on_with_its_sample(
    update: Callable[..., str], old: str, tmp_path: Path
) -> None:
    """Text and labels in ParlAI's format, as it was stored then."""
    stored = tmp_path / "frozen_layer" / "model.replay.txt"
    stored.parent.mkdir()
    stored.write_text("text:hello there\tlabels:there hello\tepisode_done:True\n")
    stored.with_name("model.replay.txt.json").write_text(
        json.dumps({"source": old, "size": 8, "examples": 1})
    )
    opt = json.loads(Path(update(replay_task=old, replay_size=8) + ".opt").read_text())
    assert opt["task"].split(",")[1] == replay.task_of(str(stored))
    assert "fromfile_datapath" in opt["task"] and not stored.with_suffix(".jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("base", ["transformer/classifier", "transformer/biencoder"])
@pytest.mark.parametrize("mode", ["frozen_layer", "distill_student"])
def test_every_kind_replays(mode: str, base: str, update: Callable[..., str]) -> None:
    """Classifiers and rankers too, with every defence at once."""
    options: dict[str, Any] = dict(replay_task=BASES[base]["task"], replay_size=20, penalty="ewc")
    candidate = update(mode, base, **options)
    assert len(sample(candidate)) == 20


def test_the_model_writes_the_sample(
    update: Callable[..., str], train: Callable[..., Any], tmp_path: Path
) -> None:
    """Without old data: its own replies to the update's contexts, and to itself."""
    base = str(tmp_path / "base" / "model")
    train(model=GENERATOR, model_file=base, max_train_steps=200, seed=1, **BASES[GENERATOR])
    candidate = update(init_model=base, replay_from_model=True, replay_size=16)
    written = sample(candidate)
    assert 8 <= len(written) <= 20
    # a model that was trained to say a sentence backwards does so to the update's contexts
    replies = {turn["labels"][0] for turn in written if turn["text"] in NEW}
    assert replies & {" ".join(reversed(line.split())) for line in NEW}
    assert any(turn["text"] not in NEW for turn in written)


@pytest.mark.parametrize("penalty", ["l2sp", "ewc", "lwf"])
def test_a_strong_penalty_keeps_the_deployed_model(
    penalty: str,
    update: Callable[..., str],
    deployed: Callable[[str], str],
    old: str,
    tmp_path: Path,
) -> None:
    """The stronger, the less the candidate moves; it is not zero on the way."""

    def distance(weight: float) -> float:
        candidate = update(
            model_file=str(tmp_path / str(weight) / "model"),
            penalty=penalty,
            penalty_weight=weight,
            replay_task=old,
            max_train_steps=20,
            learningrate=1e-3,
            seed=1,
        )
        one, other = (
            torch.load(path, weights_only=False)["model"]
            for path in (candidate, deployed(GENERATOR))
        )
        return sum((one[n] - other[n]).float().pow(2).sum().item() for n in one)

    strong = {"l2sp": 100.0, "ewc": 1000.0, "lwf": 100.0}[penalty]
    free, held = distance(0.0), distance(strong)
    assert 0 < held < (0.5 if penalty != "lwf" else 0.97) * free


def test_everything_at_once(update: Callable[..., str], old: str) -> None:
    """LoRA, replay and lwf compose."""
    assert Path(update(tune="@ffn", lora_rank=2, replay_task=old, penalty="lwf")).exists()


def test_a_resumed_run_is_held_to_the_same_start(
    update: Callable[..., str], old: str, deployed: Callable[[str], str]
) -> None:
    """The start and the Fisher information are stored; another penalty is refused."""
    candidate = update(penalty="ewc", replay_task=old)
    stored = torch.load(candidate + ".penalty", weights_only=True)
    base = torch.load(deployed(GENERATOR), weights_only=False)["model"]
    assert all(torch.equal(stored["start"][n], base[n]) for n in stored["start"])
    assert sum(f.sum().item() for f in stored["fisher"].values()) > 0
    update(penalty="ewc", replay_task=old, max_train_steps=6)
    with pytest.raises(ModelFileError, match="is of --penalty ewc .* asks for l2sp"):
        update(penalty="l2sp", replay_task=old, max_train_steps=8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"replay_share": 1.0}, "--replay-share 1.0: expected between 0 and 1"),
        ({"replay_size": 0}, "--replay-size 0: expected 1 or more"),
        ({"penalty": "ewk"}, "--penalty ewk: expected one of .* nearest: ewc"),
        ({"penalty": "ewc"}, "--penalty ewc weighs .* add --replay-task"),
        ({"penalty_weight": -1.0}, "--penalty-weight -1.0: expected 0"),
        ({"replay_task": "integration_tests", "replay_from_model": True}, "one of them"),
    ],
)
def test_refusals(options: dict[str, Any], message: str, update: Callable[..., str]) -> None:
    """Each before any work, with what was found and expected."""
    with pytest.raises(UsageError, match=message):
        update(**options)
    with pytest.raises(UsageError, match=message):
        update("distill_student", **options)


def test_lwf_is_what_distillation_does(update: Callable[..., str], tmp_path: Path) -> None:
    """A student is the same with it and without; its weight has another name there."""
    plain = states(update("distill_student", seed=1))["model"]
    again = str(tmp_path / "lwf" / "model")
    other = states(update("distill_student", seed=1, penalty="lwf", model_file=again))
    assert all(torch.equal(plain[name], other["model"][name]) for name in plain)
    with pytest.raises(UsageError, match="--penalty-weight 2.0: .* is --distill-weight"):
        update("distill_student", penalty="lwf", penalty_weight=2.0)


def test_rankers_cannot_write_their_old_data(update: Callable[..., str]) -> None:
    """Their replies are candidates of the update."""
    with pytest.raises(UsageError, match="--replay-from-model: a ranker's reply"):
        update(base="transformer/biencoder", replay_from_model=True)
