"""-m deployed in ParlAI's own commands and services."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.agents.deployed.deployed import DeployedAgent
from parlai_cu.types import Verdict
from tests.agents.served import ELOQUENT, Versions, heard, say, serve, until


@pytest.mark.slow
def test_eval_model_is_of_the_live_version(versions: Versions, data: Path) -> None:
    """The stock command gives what it gives for -mf, in batches too, and stays on one version."""
    from parlai.scripts.eval_model import EvalModel

    options = dict(
        task="jsonfile", jsonfile_datapath=str(data / "new.jsonl"), datapath=str(data), no_cuda=True
    )
    by_file = EvalModel.main(
        model_file=versions.store.model_file("live"), batchsize=1, datatype="valid", **options
    )
    for batchsize in (1, 4):
        report = EvalModel.main(
            model="deployed",
            versions=versions.store.path,
            batchsize=batchsize,
            datatype="valid",
            **options,
        )
        for name in ("ppl", "loss", "token_acc", "exs", "f1"):
            assert float(report[name]) == pytest.approx(float(by_file[name]), rel=1e-5), name


@pytest.mark.slow
def test_interactive_and_self_chat(
    versions: Versions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stock commands: a promotion while somebody types, and two that talk to each other."""
    import parlai.scripts.interactive as stock
    from parlai.scripts.self_chat import SelfChat

    made: list[DeployedAgent] = []
    create = stock.create_agent
    monkeypatch.setattr(
        stock, "create_agent", lambda *a, **k: made.append(create(*a, **k)) or made[0]
    )
    lines = iter(["hello there", "promote", "how are you", "[EXIT]"])

    def typed(_: str) -> str:
        line = next(lines)
        if line == "promote":
            versions.store.promote("v2")
            until(lambda: made[0].version == versions.store.get("v2").id)
            line = next(lines)
        return line

    monkeypatch.setattr("builtins.input", typed)
    out = tmp_path / "log.jsonl"
    stock.Interactive.main(
        model="deployed",
        versions=versions.store.path,
        outfile=str(out),
        log_keep_fields="all",
        **ELOQUENT,
    )
    (dialog,) = [json.loads(line)["dialog"] for line in out.read_text().splitlines()]
    assert [turn[1]["version"] for turn in dialog] == [
        versions.store.get(name).id for name in ("v1", "v2")
    ]
    chat = str(tmp_path / "chat")
    SelfChat.main(
        model="deployed",
        versions=versions.store.path,
        num_self_chats=1,
        selfchat_max_turns=3,
        outfile=chat,
        **ELOQUENT,
    )
    assert len(Path(chat + ".jsonl").read_text()) > 100


@pytest.mark.slow
def test_in_a_stock_chat_service(versions: Versions, tmp_path: Path) -> None:
    """Two people on a websocket, and a promotion between: every message is answered."""
    import asyncio

    from tests.chat_service import connect, read, serving

    async def talk(address: str) -> list[str]:
        people = [await connect(address) for _ in range(2)]
        answers = []
        for person in people:
            for word in ("hi", "begin"):
                await person.write_message(json.dumps({"text": word}))
                await read(person)
        for line in ("hello there", "how are you", "thank you"):
            for person in people:
                await person.write_message(json.dumps({"text": line}))
                answers.append(await read(person))
            versions.store.promote("v2")
        return answers

    with serving(
        tmp_path, model="deployed", versions=versions.store.path, override=[ELOQUENT]
    ) as address:
        answers = asyncio.run(talk(address))
    assert len(answers) == 6 and all(answers)


@pytest.mark.slow
def test_from_a_plain_model_to_one_with_knowledge(
    versions: Versions, by_hand: None, train: Callable[..., Any], tmp_path: Path
) -> None:
    """The next version may be of another agent: replies use facts, and say which."""
    from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
    from parlai_cu.types import Fact

    facts = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    facts.add([Fact("Parking costs 5 pounds.", id="parking", question="is there parking")])
    path = str(tmp_path / "kb" / "model")
    train(
        model="kb_augmented",
        init_model=versions.model_file,
        model_file=path,
        kb=facts.name,
        kb_gate="classifier",
        max_train_steps=5,
        optimizer=None,
        learningrate=None,
    )
    agent = serve(versions)
    say(agent, "hello there")
    assert "knowledge" not in say(agent, "is there parking")
    version = versions.store.add(
        path,
        mode="kb_augmented",
        parent="v1",
        verdict=Verdict("accept"),
        kb_snapshot=facts.snapshot_id(),
    )
    versions.store.promote(version.id)
    agent.service.look()
    assert not agent.status()["load_errors"]
    reply = say(agent, "is there parking")
    assert reply["version"] == version.id and len(heard(agent)) == 6
    # started on it, its flags are known, and hold for it
    again = serve(versions, kb_gate="always")
    reply = say(again, "is there parking")
    assert (reply["text"], reply["knowledge"][0]["id"]) == ("Parking costs 5 pounds.", "parking")
    facts.close()
