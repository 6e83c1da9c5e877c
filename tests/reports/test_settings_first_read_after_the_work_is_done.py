"""A metric, a package, a module, a port: looked at before the first step."""

import importlib.util
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ParlaiCuError, UsageError
from tests.agents.served import GENERATOR
from tests.chat_service import config, service
from tests.conftest import BASES, TINY_TRANSFORMER

METRICS = [
    (GENERATOR, dict(validation_metric="acuracy"), "acuracy: .*nearest: accuracy"),
    (GENERATOR, dict(skip_generation=True), "accuracy: .*no replies.*-vmt ppl -vmm min"),
    ("transformer/biencoder", dict(validation_metric="ppl"), "ppl: this run's validation has no"),
    (
        "transformer/classifier",
        dict(validation_metric="weighted_f2"),
        "weighted_f2: .*: weighted_f1",
    ),
]


@pytest.mark.parametrize("agent, given, told", METRICS)
def test_a_metric(
    train: Callable[..., Any],
    tmp_path: Path,
    agent: str,
    given: dict[str, Any],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not after the first epoch."""
    from parlai.core.torch_agent import TorchAgent

    monkeypatch.setattr(TorchAgent, "backward", None)
    with pytest.raises(UsageError, match=f"--validation-metric {told}"):
        settings = {**BASES[agent], **given}
        train(model=agent, model_file=str(tmp_path / "m"), validation_every_n_steps=2, **settings)


@pytest.mark.parametrize(
    "given", [dict(skip_generation=True, validation_metric="ppl"), dict(validation_metric="lr")]
)
def test_looking_changes_nothing(
    train: Callable[..., Any], tmp_path: Path, given: dict[str, Any]
) -> None:
    """A run whose metric was looked for in the report is the same run."""
    import torch

    from parlai_cu.host import run_checks

    paths = [str(tmp_path / name / "m") for name in ("looked", "not")]
    for path in paths:
        random.seed(0)  # ParlAI seeds when the teachers have shuffled
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            if path == paths[1]:
                patch.setattr(run_checks, "check_metric", lambda *_: None)
            else:
                patch.setattr(run_checks, "_surely", lambda *_: set())
            train(
                model=GENERATOR,
                model_file=path,
                dropout=0.1,
                validation_every_n_steps=2,
                **TINY_TRANSFORMER,
                **given,
            )
    one, other = (torch.load(path, weights_only=True)["model"] for path in paths)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("flag", ["tensorboard_log", "wandb_log", "clearml_log"])
def test_a_package(
    train: Callable[..., Any], tmp_path: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to install is said at once."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    with pytest.raises(UsageError, match="needs a package: pip install"):
        train(model=GENERATOR, model_file=str(tmp_path / "m"), **{flag: True}, **TINY_TRANSFORMER)


@pytest.mark.parametrize(
    "given, told",
    [
        (dict(datatype="train:evalmode"), "nothing is learnt.*expected -dt train"),
        (dict(evaltask="telekom"), "telekom: there is no such task; nearest: telecom"),
        (dict(mutators="flaten"), "--mutators flaten.*nearest: flatten"),
    ],
)
def test_a_task_and_how_it_is_read(
    train: Callable[..., Any], tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    """Also what is only evaluated in the end."""
    with pytest.raises(ParlaiCuError, match=told):
        train(model=GENERATOR, model_file=str(tmp_path / "m"), **TINY_TRANSFORMER, **given)


@pytest.mark.parametrize("what", ["port", "address", "module", "tls_cert"])
def test_of_a_service(
    tmp_path: Path, deployed: Callable[[str], str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a model is loaded."""
    from parlai_cu.chat_service import manager

    monkeypatch.setattr(manager, "_load", None)
    written, opt = config(), {}
    models = {"bot": {"model_file": deployed(GENERATOR)}}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if what == "port":
            opt, told = {"port": taken.getsockname()[1]}, "--port .*already in use"
        elif what == "address":
            opt, told = {"address": "nowhere.invalid"}, "--address nowhere.invalid"
        elif what == "module":
            written["world_module"] = "parlai_cu.chat_service.wrlds"
            told = "world_module: .*wrlds"
        else:
            opt, told = {"tls_cert": "gone.pem", "tls_key": "gone.key"}, "--tls-cert gone.pem"
        with pytest.raises(ParlaiCuError, match=told):
            service(tmp_path, written, models, **opt)
