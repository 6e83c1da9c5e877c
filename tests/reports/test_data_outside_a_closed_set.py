"""A label that a classifier does not know: named with its example, or a class more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.errors import DataError, UsageError
from tests.conftest import TINY_TRANSFORMER, states, write_dialogues

CLASSIFIER = "transformer/classifier"
TOLD = "label 'greeting' of the example 'hello there'.*classes .one, zero.*--add-classes 'greeting'"


@pytest.fixture
def task(tmp_path: Path) -> str:
    """Examples of a class that the tiny classifier does not have."""
    import json

    with open(tmp_path / "new.jsonl", "w") as f:
        for _ in range(8):
            turns = [{"id": "user", "text": "hello there"}, {"id": "system", "text": "greeting"}]
            f.write(json.dumps({"dialog": [turns]}) + "\n")
    return f"jsonfile:jsonfile_datapath={tmp_path}/new.jsonl"


def test_in_training(
    train: Callable[..., Any], deployed: Callable[[str], str], task: str, tmp_path: Path
) -> None:
    """frozen_layer, distill_student, and ParlAI's own."""
    base, target = deployed(CLASSIFIER), str(tmp_path / "m")
    ways: list[dict[str, Any]] = [
        dict(model="frozen_layer", init_model=base, tune="@head"),
        dict(model="distill_student", teacher_model=base, n_layers=1),
        dict(model=CLASSIFIER, classes=["one", "zero"], **TINY_TRANSFORMER),
    ]
    for way in ways:
        with pytest.raises(DataError, match=TOLD):
            train(model_file=target, task=task, **way)


def test_in_an_evaluation(deployed: Callable[[str], str], task: str, data: Path) -> None:
    """eval_model."""
    from parlai.scripts.eval_model import EvalModel

    path = deployed(CLASSIFIER)
    with pytest.raises(DataError, match=TOLD):
        EvalModel.main(model_file=path, task=task, datapath=str(data), no_cuda=True)


@pytest.mark.parametrize("tune", [None, "@head"])
def test_classes_are_added(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    task: str,
    tmp_path: Path,
    tune: str | None,
) -> None:
    """The head is wider; what is not to learn, and without --tune the old classes, stay."""
    from parlai.core.agents import create_agent_from_model_file

    base, target = deployed(CLASSIFIER), str(tmp_path / "m")
    # gone on with: the same command after it was interrupted
    for steps in (20, 40):
        train(
            model="frozen_layer",
            init_model=base,
            model_file=target,
            task=f"{task},integration_tests:classifier",
            add_classes="greeting,unused",
            tune=tune,
            max_train_steps=steps,
            learningrate=0.1,
        )
    before, after = states(base)["model"], states(target)["model"]
    grown = [name for name in before if after[name].shape != before[name].shape]
    assert grown and all(len(after[name]) == len(before[name]) + 2 for name in grown)
    for name, tensor in before.items():
        if name not in grown or tune is None:
            assert torch.equal(after[name][: len(tensor)] if name in grown else after[name], tensor)
    agent = create_agent_from_model_file(target, {"no_cuda": True})
    assert (
        agent.class_list[-2:] == ["greeting", "unused"] and agent.opt["classes_from_file"] is None
    )
    assert agent.respond("hello there") == "greeting"


HELD_BACK: list[dict[str, Any]] = [
    dict(penalty="lwf"),
    dict(penalty="lwf", tune="@head", replay_from_model=True, replay_size=4),
    dict(penalty="l2sp", tune="*"),
    dict(penalty="ewc", tune="*", replay_task="integration_tests:classifier", replay_size=8),
]


@pytest.mark.parametrize("given", HELD_BACK, ids=str)
def test_classes_are_added_beside_what_is_to_be_kept(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    task: str,
    tmp_path: Path,
    given: dict[str, Any],
) -> None:
    """The deployed model's soft labels are of the classes that it has."""
    base, target = deployed(CLASSIFIER), str(tmp_path / "m")
    train(
        model="frozen_layer",
        init_model=base,
        model_file=target,
        task=task,
        add_classes="greeting",
        max_train_steps=3,
        **given,
    )
    before, after = states(base)["model"], states(target)["model"]
    assert any(len(after[name]) == len(before[name]) + 1 for name in before)


@pytest.mark.parametrize(
    "given",
    [
        dict(add_classes="greeting"),
        dict(classes=["greeting", "zero", "one"]),
        dict(add_classes="greeting", teacher_cache="cache"),
    ],
    ids=str,
)
def test_a_student_has_more_classes_than_its_teacher(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    task: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
) -> None:
    """It learns the new one from the labels, the others from both."""
    from parlai.core.agents import create_agent_from_model_file

    monkeypatch.chdir(tmp_path)
    train(
        model="distill_student",
        teacher_model=deployed(CLASSIFIER),
        model_file=str(tmp_path / "m"),
        task=f"integration_tests:classifier,{task}",
        n_layers=1,
        max_train_steps=40,
        learningrate=0.01,
        **given,
    )
    agent = create_agent_from_model_file(str(tmp_path / "m"), {"no_cuda": True})
    assert set(agent.class_list) == {"one", "zero", "greeting"}
    assert agent.respond("hello there") == "greeting"


@pytest.mark.parametrize(
    "agent, given, told",
    [
        (CLASSIFIER, "one,greeting", "--add-classes one: the deployed model has it already"),
        ("transformer/generator", "greeting", "has no classes"),
    ],
)
def test_what_cannot_be_added(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    task: str,
    tmp_path: Path,
    agent: str,
    given: str,
    told: str,
) -> None:
    """A class that is there, a model without classes."""
    write_dialogues(tmp_path / "x.jsonl", ["hello there"])
    with pytest.raises(UsageError, match=told):
        train(
            model="frozen_layer",
            init_model=deployed(agent),
            model_file=str(tmp_path / "m"),
            task=task,
            add_classes=given,
            tune="@bias",
        )
