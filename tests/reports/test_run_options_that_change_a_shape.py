"""--fp16 over models whose dictionary is no multiple of 8, with and without ParlAI's padding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt

from tests.conftest import TINY_TRANSFORMER, states


@pytest.fixture
def base(train: Callable[..., Any], tmp_path: Path) -> Callable[[bool], str]:
    """``base(fp16)``: a deployed model, trained with that flag."""

    def make(fp16: bool) -> str:
        path = str(tmp_path / f"base{fp16}" / "model")
        train(model="transformer/generator", model_file=path, fp16=fp16, **TINY_TRANSFORMER)
        rows = len(states(path)["model"]["embeddings.weight"])
        assert (rows % 8 == 0) == fp16  # or the data does not show the fault
        return path

    return make


@pytest.fixture
def both(data: Path) -> str:
    """``-t OLD,UPDATE``."""
    return ",".join(f"jsonfile:jsonfile_datapath={data / name}.jsonl" for name in ("old", "new"))


def rows(model_file: str) -> int:
    """How many tokens a model has."""
    return len(states(model_file)["model"]["embeddings.weight"])


@pytest.mark.parametrize("of_run", [False, True], ids=["fp32_run", "fp16_run"])
@pytest.mark.parametrize("of_base", [False, True], ids=["fp32_base", "fp16_base"])
def test_padding_follows_the_deployed_model(
    of_base: bool,
    of_run: bool,
    base: Callable[[bool], str],
    train: Callable[..., Any],
    both: str,
    tmp_path: Path,
) -> None:
    """frozen_layer with lwf, and distill_student; what comes out loads with either flag."""
    path, candidate, student = base(of_base), str(tmp_path / "c" / "m"), str(tmp_path / "s" / "m")
    options: dict[str, Any] = dict(fp16=of_run, max_train_steps=2)
    train(
        model="frozen_layer",
        init_model=path,
        model_file=candidate,
        penalty="lwf",
        tune="decoder",
        **options,
    )
    train(
        model="distill_student",
        teacher_model=path,
        model_file=student,
        task=both,
        n_layers=1,
        **options,
    )
    for made in (candidate, student):
        assert rows(made) == rows(path)
        for fp16 in (False, True):
            agent = create_agent_from_model_file(made, {"no_cuda": True, "fp16": fp16})
            assert isinstance(agent.respond("open the door"), str)
        # a ParlAI without us pads by what the file says
        plain = Opt.load(f"{made}.opt")
        padded = bool(plain.get("fp16") or plain.get("force_fp16_tokens"))
        assert padded == of_base


@pytest.mark.parametrize("of_run", [False, True], ids=["fp32_run", "fp16_run"])
@pytest.mark.parametrize("of_base", [False, True], ids=["fp32_base", "fp16_base"])
def test_wherever_a_deployed_model_is_built(
    of_base: bool,
    of_run: bool,
    base: Callable[[bool], str],
    train: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """domain_adapters, kb_augmented, deployed, a service's model, parlai score_parameters."""
    from parlai.core.agents import create_agent
    from parlai.core.params import ParlaiParser

    from parlai_cu.chat_service.yaml_settings import model_options
    from parlai_cu.knowledge.factory import open_knowledge_base
    from parlai_cu.versions.store import VersionStore

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, tuned, routed = base(of_base), str(tmp_path / "tuned"), str(tmp_path / "routed")
    options: dict[str, Any] = dict(init_model=path, fp16=of_run, max_train_steps=1)
    train(model="frozen_layer", model_file=tuned, tune="@bias", learningrate=0.1, **options)
    train(
        model="domain_adapters",
        model_file=routed,
        adapters=f"new={tuned}",
        task="integration_tests:overfit,integration_tests",
        **options,
    )
    assert rows(tuned) == rows(routed) == rows(path)
    uri = f"sqlite:///{tmp_path}/facts.db"
    open_knowledge_base(uri, writable=True).close()
    store = VersionStore(str(tmp_path / "store"), create=True)
    store.promote(store.add(routed, mode="import").id, force=True)
    run: dict[str, Any] = dict(fp16=of_run, no_cuda=True)
    interactive = ParlaiParser(True, True)
    interactive.set_defaults(interactive_mode=True, task="interactive")
    given = dict(model="deployed", versions=store.path, **run)
    agents = [
        create_agent(interactive.parse_kwargs(**given)),
        create_agent_from_model_file(path, {"interactive_mode": True, **run}),
        create_agent(
            model_options("a", {"model": "kb_augmented", "init_model": path, "kb": uri, **run})
        ),
        create_agent(model_options("b", {"model_file": routed, **run})),
    ]
    for agent in agents:
        agent.observe({"text": "open the door", "episode_done": True})
        assert "text" in agent.act()
    agents[0].shutdown()
