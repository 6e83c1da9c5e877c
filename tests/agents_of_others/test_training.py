"""Agents with habits of their own in training: their own loss, and what was asked for beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt

from parlai_cu.agents.training_step import step as step_module
from parlai_cu.errors import FrozenBreachError, UsageError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact
from tests.agents_of_others.habits import PLACE
from tests.conftest import NEW, OLD, TINY_TRANSFORMER, states, write_dialogues

MODEL = ["PositionBias", "PositionMean", "Copying"]
LOSS = [
    *["OwnCrossEntropy", "OwnBackward", "OwnBackwardThenUpdate", "AuxiliaryHead"],
    *["Unlikelihood", "ThreeArguments", "PartOfRows"],
]
CLASSES: dict[str, Any] = dict(task="integration_tests:classifier", classes=["one", "zero"])
# what makes each tiny, where it is no transformer
OPTIONS = {"NoKind": {}, "ClassifierOnGenerator": {**TINY_TRANSFORMER, **CLASSES}}


@pytest.fixture(scope="session")
def base(
    train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """``base(habit)``: the path of a tiny deployed model of that agent, trained once."""
    made: dict[str, str] = {}

    def get(habit: str) -> str:
        if habit not in made:
            path = str(tmp_path_factory.mktemp(habit) / "model")
            options = OPTIONS.get(habit, TINY_TRANSFORMER)
            train(model=f"{PLACE}:{habit}", model_file=path, **options)
            made[habit] = path
        return made[habit]

    return get


@pytest.fixture
def tune(train: Callable[..., Any], base: Callable[[str], str], tmp_path: Path) -> Any:
    """``tune(habit, name, **options)``: frozen_layer over it; what the candidate's file holds."""

    def run(habit: str, name: str, **options: Any) -> dict[str, Any]:
        path = str(tmp_path / name / "model")
        settings: dict[str, Any] = dict(tune="decoder", optimizer="sgd", learningrate=0.05)
        if "task" in OPTIONS.get(habit, {}):
            settings["task"] = OPTIONS[habit]["task"]
        train(
            model="frozen_layer",
            init_model=base(habit),
            model_file=path,
            **{**settings, **options},
        )
        return states(path)

    return run


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ParlAI's log was told."""
    import parlai.utils.logging

    lines: list[str] = []
    monkeypatch.setattr(parlai.utils.logging, "info", lines.append)
    return lines


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Between two sets of weights."""
    return sum((one[n].float() - other[n].float()).pow(2).sum().item() for n in one) ** 0.5


# -- the same loss ---------------------------------------------------------------------------


@pytest.mark.parametrize("habit", [*MODEL, *LOSS])
def test_the_loss_is_the_bases_own(
    habit: str,
    tune: Callable[..., Any],
    base: Callable[[str], str],
    train: Any,
    tmp_path: Path,
    said: list[str],
) -> None:
    """All parameters learning, the candidate is the one that the base itself would train."""
    path = str(tmp_path / "stock" / "model")
    options: dict[str, Any] = dict(optimizer="sgd", learningrate=0.1, seed=3)
    train(
        model=f"{PLACE}:{habit}",
        init_model=base(habit),
        dict_file=base(habit) + ".dict",
        model_file=path,
        **TINY_TRANSFORMER,
        **options,
    )
    ours, stock = tune(habit, "ours", tune="*", **options)["model"], states(path)["model"]
    for name in stock:
        torch.testing.assert_close(ours[name], stock[name], rtol=1e-5, atol=1e-6)
    dropped = [line for line in said if "skipping padding" in str(line)]
    # one line where the shortcut was tried and is wrong
    assert len(dropped) == (habit in MODEL)


def test_a_cache_that_would_change_the_loss_is_dropped(
    tune: Callable[..., Any], tmp_path: Path, said: list[str]
) -> None:
    """With one line; the candidate is that of a run without it."""
    options: dict[str, Any] = dict(tune="decoder.layers", freeze="*embeddings*", max_train_steps=8)
    plain = tune("BatchInEncoder", "plain", **options)["model"]
    cached = tune("BatchInEncoder", "cached", cache_frozen=str(tmp_path / "kept"), **options)
    assert distance(plain, cached["model"]) < 1e-5
    assert sum("--cache-frozen is not used" in str(line) for line in said) == 1


@pytest.mark.parametrize("habit", [*MODEL, *LOSS])
def test_penalties_happen(habit: str, tune: Callable[..., Any], base: Any) -> None:
    """A strong penalty keeps the candidate near the deployed model, whoever calls backward."""
    start = states(base(habit))["model"]
    # one that goes around ParlAI's update is not clipped
    rate = 0.002 if habit == "OwnBackward" else 0.1
    options: dict[str, Any] = dict(max_train_steps=10, learningrate=rate)
    free = distance(tune(habit, "free", **options)["model"], start)
    for penalty, weight in (("lwf", 20.0), ("l2sp", 5.0)):
        held = tune(habit, penalty, penalty=penalty, penalty_weight=weight, **options)["model"]
        assert distance(held, start) < 0.98 * free, penalty


@pytest.mark.parametrize("habit", ["OwnCrossEntropy", "OwnBackward", "OwnBackwardThenUpdate"])
def test_soft_labels_have_the_gradient_of_the_stock_way(
    habit: str,
    train: Callable[..., Any],
    tmp_path: Path,
    deployed: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same loss, penalty and no clipping, the same candidate, however it is computed."""
    # options that nobody's training wrote
    monkeypatch.setenv("PARLAI_CU_ALLOW", PLACE)
    made = []
    for number, agent in enumerate((f"{PLACE}:{habit}", "transformer/generator")):
        folder = shutil.copytree(
            Path(deployed("transformer/generator")).parent, tmp_path / f"of{number}"
        )
        opt = json.loads((folder / "model.opt").read_text())
        (folder / "model.opt").write_text(json.dumps({**opt, "model": agent}))
        path = str(tmp_path / str(number) / "model")
        train(
            model="frozen_layer",
            init_model=str(folder / "model"),
            model_file=path,
            tune="decoder",
            penalty="lwf",
            gradient_clip=-1,
            optimizer="sgd",
            learningrate=0.01,
            max_train_steps=5,
        )
        made.append(states(path)["model"])
    for name in made[0]:
        torch.testing.assert_close(made[0][name], made[1][name], rtol=1e-4, atol=1e-6)


def test_a_term_that_is_not_in_the_gradients_is_an_error(
    tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first step, naming the flag."""
    monkeypatch.setattr(step_module.TrainingStep, "settle", lambda self: None)
    monkeypatch.setattr(step_module.TrainingStep, "_at_scores", lambda self, *args: None)
    with pytest.raises(UsageError, match="--penalty lwf: the training step of .*OwnBackward"):
        tune("OwnBackward", "never", penalty="lwf")


# -- distillation ----------------------------------------------------------------------------


def test_distillation_keeps_the_other_losses(
    base: Callable[[str], str], train: Callable[..., Any], both: str, tmp_path: Path
) -> None:
    """The second head of a student learns as in stock training, from old examples as well."""
    found = {}
    for weight in (0.0, 1.0):
        path = str(tmp_path / str(weight) / "model")
        train(
            model="distill_student",
            teacher_model=base("AuxiliaryHead"),
            model_file=path,
            task=both,
            update_task="none",
            distill_weight=weight,
            student_init="random",
            max_train_steps=80,
            n_layers=1,
        )
        report = json.loads(Path(path + ".trainstats").read_text())
        found[weight] = report["train_reports"][-1]["auxiliary"]
    # untrained it is .7
    assert all(value < 0.45 for value in found.values()), found


def test_where_the_teacher_is_followed_gold_has_no_say(
    base: Callable[[str], str], train: Callable[..., Any], both: str, tmp_path: Path
) -> None:
    """By a loss of the agent's own: with weight 1 a student that is its teacher stays it."""
    for habit in ("OwnCrossEntropy", "ThreeArguments"):
        path = str(tmp_path / habit / "model")
        train(
            model="distill_student",
            teacher_model=base(habit),
            model_file=path,
            task=both,
            update_task="none",
            distill_weight=1.0,
            optimizer="sgd",
            learningrate=0.1,
        )
        assert distance(states(path)["model"], states(base(habit))["model"]) < 1e-4


# -- what learns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "habit,name", [("SideModule", "side.weight"), ("SideParameter", "scales.0")]
)
def test_what_stands_beside_the_model_is_selected_like_it(
    habit: str, name: str, tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen unless it is named; on record, in the optimizer and in the file."""
    without = tune(habit, "without")
    selected = tune(habit, "with", tune=f"decoder,{name.split('.')[0]}")
    count = [len(s["optimizer"]["param_groups"][0]["params"]) for s in (without, selected)]
    assert name not in without["frozen_layer"]["selected"]
    assert name in selected["frozen_layer"]["selected"] and count[1] > count[0]
    if habit == "SideModule":
        start = tune(habit, "still", learningrate=0.0)["side"]["weight"]
        assert torch.equal(without["side"]["weight"], start)
        assert not torch.equal(selected["side"]["weight"], start)


def test_a_tensor_of_the_states_that_moves_by_itself(tune: Callable[..., Any]) -> None:
    """Is a breach, unless it is named."""
    with pytest.raises(FrozenBreachError, match="changed in training: seen"):
        tune("RunningStatistic", "frozen")
    assert (
        "seen" in tune("RunningStatistic", "named", tune="decoder,seen")["frozen_layer"]["selected"]
    )


def test_flags_that_are_called_like_ours(
    tune: Callable[..., Any],
    train: Callable[..., Any],
    base: Callable[[str], str],
    both: str,
    tmp_path: Path,
) -> None:
    """Ours keep their spelling, the base's have another; each reads its own, also from the file."""
    flags: dict[str, Any] = dict(penalty="l2sp", freeze="decoder.layers.0", base_penalty=0.5)
    tune("OwnFlags", "tuned", **flags)
    student = str(tmp_path / "student" / "model")
    train(model="distill_student", teacher_model=base("OwnFlags"), model_file=student, task=both)
    for path, penalty in ((str(tmp_path / "tuned" / "model"), 0.5), (student, 0.0)):
        # the agent itself looks at what it is given
        agent = create_agent_from_model_file(path, {"no_cuda": True})
        assert agent.opt["penalty"] == penalty and agent.opt["teacher_model"] == "nobody"
    opt = Opt.load(str(tmp_path / "tuned" / "model.opt"))
    assert (opt["cu_penalty"], opt["cu_freeze"]) == ("l2sp", "decoder.layers.0")
    assert not [name for name in Opt.load(student + ".opt") if name.startswith(("cu_", "shared_"))]


def test_flags_of_ours_beside_a_knowledge_base_and_adapters(
    tune: Callable[..., Any], train: Callable[..., Any], base: Callable[[str], str], tmp_path: Path
) -> None:
    """The same of kb_augmented and domain_adapters; the agent itself looks at what it is given."""
    kb = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    kb.add([Fact(f"Parking is free on {day}.") for day in ("monday", "tuesday", "friday")])
    path = str(tmp_path / "gate" / "model")
    start: dict[str, Any] = dict(init_model=base("OwnFlags"), optimizer=None, learningrate=None)
    learnt: dict[str, Any] = dict(kb=kb.name, kb_gate="classifier", kb_top_k=2)
    train(model="kb_augmented", model_file=path, **start, **learnt)
    use = {"no_cuda": True, "datatype": "valid", "kb_gate": "always"}
    answers = create_agent_from_model_file(path, use)
    assert answers.own["kb_top_k"] == 2 and answers.opt["kb_top_k"] == "all"
    assert answers.clone().own["kb_top_k"] == 2
    answers.observe({"text": "is parking free?", "episode_done": True})
    assert len(answers.act()["knowledge"]) == 2
    tune("OwnFlags", "adapter", tune="*", learningrate=0.1)
    path = str(tmp_path / "assistant" / "model")
    files = [write_dialogues(tmp_path / f"{len(lines)}", lines) for lines in (OLD, NEW)]
    tasks = ",".join(f"jsonfile:jsonfile_datapath={file}" for file in files)
    adapters = f"new={tmp_path / 'adapter' / 'model'}"
    train(model="domain_adapters", model_file=path, adapters=adapters, task=tasks, **start)
    loaded = create_agent_from_model_file(path, {"no_cuda": True, "adapter": "new"})
    assert loaded.own["adapter"] == "new" and loaded.opt["adapter"] == 3


def test_factors_only_where_they_merge(
    tune: Callable[..., Any], base: Callable[[str], str]
) -> None:
    """Masked layers get none; a weight that is used beside its layer is told before training."""
    start = states(base("Masked"))["model"]
    tuned = tune("Masked", "masked", lora_rank=2)["model"]
    moved = {name for name in start if not torch.equal(start[name], tuned[name])}
    assert moved and not any("lin1" in name for name in moved)
    with pytest.raises(UsageError, match="--lora-rank: .* in mixer.weight"):
        tune("Functional", "functional", tune="decoder,mixer", lora_rank=2)


def test_batches_that_reach_nothing(
    tune: Callable[..., Any], tmp_path: Path, said: list[str]
) -> None:
    """No step is taken on them, and they are counted; where all are, it is an error."""
    tuned = tune("SomeBatchesOnly", "some", tune="second", batchsize=1, max_train_steps=40)
    assert 0 < tuned["number_training_updates"] < 40
    assert sum("no parameter that learns" in str(line) for line in said) == 1
    old = str(write_dialogues(tmp_path / "old.jsonl", OLD))
    with pytest.raises(UsageError, match="no parameter that learns had a part"):
        tune("SomeBatchesOnly", "none", tune="second", jsonfile_datapath=old, max_train_steps=300)


# -- other kinds -----------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["lwf", "ewc"])
def test_a_classifier_that_inherits_from_a_generator(
    penalty: str, tune: Callable[..., Any], base: Callable[[str], str]
) -> None:
    """Is one by what it does."""
    options = dict(replay_task=CLASSES["task"], penalty=penalty)
    start = states(base("ClassifierOnGenerator"))["model"]
    tuned = tune("ClassifierOnGenerator", "c", tune="classifier_head", **options)["model"]
    moved = {name for name in start if not torch.equal(start[name], tuned[name])}
    assert moved == {"classifier_head.weight", "classifier_head.bias"}


def test_classes_are_added_to_a_classifier_by_what_it_does(tune: Callable[..., Any]) -> None:
    """Only the new row of its head learns."""
    more = dict(add_classes="two", classes=None, tune=None, max_train_steps=1)
    tuned = tune("ClassifierOnGenerator", "wider", **more)
    assert tuned["frozen_layer"]["selected"] == ["classifier_head.bias", "classifier_head.weight"]
    assert len(tuned["model"]["classifier_head.bias"]) == 3


def test_an_agent_of_no_kind(tune: Callable[..., Any], data: Path) -> None:
    """Has all that needs no soft labels; what needs them is refused in words."""
    replay = dict(replay_task=f"jsonfile:jsonfile_datapath={data / 'old.jsonl'}", tune="layer")
    for penalty in ("l2sp", "ewc"):
        tuned = tune("NoKind", penalty, penalty=penalty, **replay)
        assert tuned["frozen_layer"]["selected"] == ["layer.bias", "layer.weight"]
    with pytest.raises(UsageError, match="none of generator, ranker, classifier"):
        tune("NoKind", "lwf", penalty="lwf", **replay)
