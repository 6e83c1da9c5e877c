"""A candidate in the stock commands, with nothing said but -mf."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import connect, read, serving

GENERATOR = "transformer/generator"


@pytest.fixture(scope="module")
def candidate(
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A tiny generator that learnt the new lines."""
    model_file = str(tmp_path_factory.mktemp("candidate") / "model")
    train(
        model="frozen_layer",
        init_model=deployed(GENERATOR),
        model_file=model_file,
        tune="encoder,decoder",
        jsonfile_datapath=str(data / "new.jsonl"),
        max_train_steps=150,
    )
    return model_file


def parlai(*words: str, stdin: str = "") -> str:
    """Run a stock command; its output."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "parlai", *words],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_interactive(candidate: str) -> None:
    """`parlai interactive` gives the answer that the update taught."""
    out = parlai("interactive", "-mf", candidate, stdin="good night\n[EXIT]\n")
    assert "Night good" in out


@pytest.mark.slow
def test_eval_model(candidate: str, data: Path, tmp_path: Path) -> None:
    """`parlai eval_model` measures it; the update is learnt."""
    report = tmp_path / "report.json"
    parlai(
        *["eval_model", "-mf", candidate, "-t", "jsonfile", "-dt", "test"],
        *["--jsonfile-datapath", str(data / "new.jsonl"), "--report-filename", str(report)],
    )
    assert json.loads(report.read_text())["report"]["token_acc"] > 0.9


@pytest.mark.slow
def test_self_chat(candidate: str, tmp_path: Path) -> None:
    """`parlai self_chat` lets it talk with itself."""
    log = tmp_path / "chat.jsonl"
    parlai(
        *["self_chat", "-mf", candidate, "--num-self-chats", "1", "--selfchat-max-turns", "4"],
        *["--outfile", str(log)],
    )
    assert json.loads(log.read_text().splitlines()[0])["dialog"]


@pytest.mark.slow
def test_a_candidate_serves_from_a_folder_that_cannot_be_written(
    candidate: str, deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """A service needs neither write access nor the model it was made from."""
    import shutil

    from parlai.core.agents import create_agent_from_model_file

    folder = tmp_path / "service"
    shutil.copytree(Path(candidate).parent, folder)
    opt = json.loads((folder / "model.opt").read_text())
    opt["init_model"] = "/gone/model"
    (folder / "model.opt").write_text(json.dumps(opt))
    before = sorted(path.name for path in folder.iterdir())
    # an .opt says `train`, and scripts that load a model do not all say otherwise
    agent = create_agent_from_model_file(str(folder / "model"), {"no_cuda": True})
    assert agent.respond("good night") == "night good"
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.slow
def test_chat_service(candidate: str, tmp_path: Path) -> None:
    """The stock websocket service answers with it."""

    async def chat(address: str) -> str:
        connection = await connect(address)
        await connection.write_message(json.dumps({"text": "begin"}))
        assert "overworld" in await read(connection) and "Chatbot" in await read(connection)
        await connection.write_message(json.dumps({"text": "good night"}))
        return await read(connection)

    options = dict(model_file=candidate, interactive_mode=True, no_cuda=True)
    with serving(tmp_path, **options) as address:
        assert "Night good" in asyncio.run(chat(address))
