"""domain_adapters: who answers which turn, what stays as it was, and its refusals."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.errors import ModelFileError, UsageError
from parlai_cu.scripts.export_model import export_model
from tests.conftest import BASES, NEW, OLD, states, write_dialogues

GENERATOR = "transformer/generator"
SELECTION = {"transformer/biencoder": "*", "transformer/classifier": "*", "seq2seq": "decoder"}


@pytest.fixture
def tasks(data: Path, tmp_path: Path) -> list[str]:
    """Old data and an update that have no word in common."""
    old = write_dialogues(tmp_path / "only_old.jsonl", OLD)
    return [f"jsonfile:jsonfile_datapath={path}" for path in (old, data / "new.jsonl")]


@pytest.fixture
def assistant(
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tasks: list[str],
    tmp_path: Path,
) -> Callable[..., str]:
    """``assistant(agent, **options)``: tunes an adapter, trains a router; the path."""

    def make(agent: str = GENERATOR, **options: Any) -> str:
        candidate = str(tmp_path / "candidate" / "model")
        settings = {k: v for k, v in BASES[agent].items() if k in ("task", "candidates")}
        train(
            model="frozen_layer",
            init_model=deployed(agent),
            model_file=candidate,
            tune=SELECTION.get(agent, "*"),
            jsonfile_datapath=str(data / "new.jsonl"),
            **settings,
        )
        path = str(tmp_path / "assistant" / "model")
        train(
            **{
                "model": "domain_adapters",
                "init_model": deployed(agent),
                "adapters": f"new={candidate}",
                "task": ",".join(tasks),
                "model_file": path,
                "learningrate": None,
                "optimizer": None,
                "max_train_steps": 30,
                **options,
            }
        )
        return path

    return make


def load(path: str, **overrides: Any) -> Any:
    """The agent of a model file."""
    return create_agent_from_model_file(path, {"no_cuda": True, "loglevel": "error", **overrides})


def answers(agent: Any, texts: list[str], **extra: Any) -> list[dict[str, Any]]:
    """What an agent says to the first turn of as many conversations, in one batch."""
    clones = [agent.clone() for _ in texts]
    message = {"id": "user", "episode_done": True, **extra}
    seen = [clone.observe({**message, "text": text}) for clone, text in zip(clones, texts)]
    return agent.batch_act(seen)


def test_the_router_tells_old_from_new(assistant: Callable[..., str]) -> None:
    """Old turns go to the deployed model, new ones to the adapter, in one batch."""
    replies = answers(load(assistant()), [OLD[0], NEW[0], NEW[1], OLD[1]])
    assert [reply["adapter"] for reply in replies] == ["old", "new", "new", "old"]


def test_old_turns_are_answered_bit_for_bit(
    assistant: Callable[..., str], deployed: Callable[[str], str]
) -> None:
    """Where the router says old, loss and words are the deployed model's, before and after."""
    agent, stock = load(assistant()), load(deployed(GENERATOR))
    labels = {"eval_labels": ["there hello"]}

    def of(model: Any, texts: list[str]) -> Any:
        replies = answers(model, texts, **labels)
        return [(r["text"], r["metrics"]["loss"].value()) for r in replies]

    expected = of(stock, OLD)
    assert of(agent, OLD) == expected
    new = of(agent, NEW)
    assert of(agent, OLD) == expected
    assert new != of(stock, NEW)


@pytest.mark.slow
@pytest.mark.parametrize("agent", [GENERATOR, "transformer/biencoder", "seq2seq"])
def test_the_adapter_answers_as_its_candidate(
    agent: str, assistant: Callable[..., str], tmp_path: Path
) -> None:
    """Over any base, the new domain is answered as the candidate alone answers it."""
    extra: dict[str, Any] = {}
    ranks: dict[str, Any] = {}
    inline: dict[str, Any] = {}
    if agent == "transformer/biencoder":
        extra = {"label_candidates": ["a one", "the two", "door three"]}
        ranks = {"candidates": "batch", "eval_candidates": "batch"}
        inline = {"eval_candidates": "inline"}
    made = load(assistant(agent, **ranks), **inline)
    candidate = load(str(tmp_path / "candidate" / "model"), **inline)
    # the tiny ranker knows none of these words, so its router cannot tell
    ours = answers(made, NEW, adapter="new", **extra)
    theirs = answers(candidate, NEW, **extra)
    assert [r["adapter"] for r in ours] == ["new"] * len(NEW)
    assert [r["text"] for r in ours] == [r["text"] for r in theirs]


def test_encoded_candidates_are_kept_apart(
    deployed: Callable[[str], str], train: Callable[..., Any], tmp_path: Path, data: Path
) -> None:
    """A ranker's fixed candidates are encoded once by each domain's tensors."""
    agent = "transformer/biencoder"
    base, candidate = deployed(agent), str(tmp_path / "candidate" / "model")
    train(
        model="frozen_layer",
        init_model=base,
        model_file=candidate,
        tune="*",
        **{k: BASES[agent][k] for k in ("task", "candidates")},
    )
    path = str(tmp_path / "assistant" / "model")
    two = "integration_tests:candidate,integration_tests:candidate:size=10"
    train(
        model="domain_adapters",
        init_model=base,
        adapters=f"new={candidate}",
        task=two,
        model_file=path,
        max_train_steps=1,
        candidates="batch",
    )
    fixed = tmp_path / "candidates.txt"
    fixed.write_text("one\ntwo two\n3 3 3\n1 2 3 4\n")
    settings = {
        "eval_candidates": "fixed",
        "fixed_candidates_path": str(fixed),
        "encode_candidate_vecs": True,
    }
    made = load(path, **settings)
    for adapter, file in (("old", base), ("new", candidate), ("old", base)):
        expected = answers(load(file, **settings), ["1 2 3", "4 4"])
        found = answers(made, ["1 2 3", "4 4"], adapter=adapter)
        assert [r["text_candidates"] for r in found] == [r["text_candidates"] for r in expected]


def test_a_conversation_can_be_given_to_an_adapter(assistant: Callable[..., str]) -> None:
    """The message's field goes before the flag, the flag before the router."""
    path = assistant()
    agent = load(path, adapter="new")
    assert [r["adapter"] for r in answers(agent, OLD)] == ["new"] * len(OLD)
    assert answers(agent, NEW[:1], adapter="old")[0]["adapter"] == "old"
    assert answers(agent, OLD[:1], adapter="nobody")[0]["adapter"] == "old"
    with pytest.raises(UsageError, match="--adapter nee: .* auto, old, new; nearest: new"):
        load(path, adapter="nee")


def test_the_saved_model_is_the_deployed_one(
    assistant: Callable[..., str], deployed: Callable[[str], str]
) -> None:
    """Its own weights did not move, and it loads as its base without us."""
    path = assistant()
    old, new = states(deployed(GENERATOR))["model"], states(path)["model"]
    assert set(old) == set(new)
    assert all(torch.equal(old[name], new[name]) for name in old)
    plain = load(path, model=GENERATOR)
    stock = load(deployed(GENERATOR))
    assert answers(plain, NEW)[0]["text"] == answers(stock, NEW)[0]["text"]
    assert json.loads(Path(path + ".opt").read_text())["base_agent"] == GENERATOR
    exported = path + "-exported"
    export_model(path, exported)
    assert not {"domain_adapters", "optimizer"} & set(states(exported))
    assert not {"adapters", "adapter", "base_agent"} & set(
        json.loads(Path(exported + ".opt").read_text())
    )


def test_many_conversations_share_one_router(assistant: Callable[..., str]) -> None:
    """A clone of a served agent holds no second copy."""
    agent = load(assistant())
    clone = agent.clone()
    assert clone.router is agent.router and clone.adapters is agent.adapters
    clone.observe({"id": "user", "text": NEW[0], "episode_done": False})
    assert clone.act()["adapter"] == "new"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapters": None}, "needs --adapters NAME=MODEL_FILE"),
        ({"adapters": "old={candidate}"}, "the name old is taken"),
        ({"task": "jsonfile:jsonfile_datapath={new}"}, "expected the deployed model's own data"),
        ({"model_file": "{deployed}"}, "is the deployed model itself"),
        ({"adapters": "new={deployed}"}, "is the deployed model: nothing differs"),
        ({"adapters": "new={nothing}"}, "--adapters .*nothing"),
    ],
)
def test_what_cannot_work_is_refused(
    options: dict[str, Any],
    message: str,
    assistant: Callable[..., str],
    deployed: Callable[[str], str],
    data: Path,
    tmp_path: Path,
) -> None:
    """Before any work, naming the flag."""
    places = {
        "candidate": tmp_path / "candidate" / "model",
        "deployed": deployed(GENERATOR),
        "new": data / "new.jsonl",
        "nothing": tmp_path / "nothing" / "model",
    }
    given = {k: v.format(**places) if v else v for k, v in options.items()}
    before = Path(deployed(GENERATOR)).read_bytes()
    with pytest.raises((UsageError, ModelFileError), match=message):
        assistant(**given)
    assert Path(deployed(GENERATOR)).read_bytes() == before


def test_a_candidate_of_another_model_is_refused(
    assistant: Callable[..., str], train: Callable[..., Any], tmp_path: Path
) -> None:
    """The tensor that does not fit is named."""
    other = str(tmp_path / "other" / "model")
    train(
        model=GENERATOR, model_file=other, max_train_steps=1, **{**BASES[GENERATOR], "ffn_size": 48}
    )
    with pytest.raises(ModelFileError, match=re.escape("was not tuned from")):
        assistant(adapters=f"new={other}")
