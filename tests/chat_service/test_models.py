"""parlai_cu/chat_service/manager.py: models as config.yml names them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import Agent, create_agent_from_shared
from parlai.core.message import Message
from parlai.core.opt import Opt

from parlai_cu.chat_service import yaml_settings
from parlai_cu.chat_service.model import shared_with_worlds
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.serving.batcher import Batcher
from parlai_cu.types import Fact
from tests.chat_service import ECHO, Client, config, serve, service


def test_flags_that_are_not_named_have_their_defaults(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few flags and a data path: all others are as on the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["test"])
    from parlai_cu.chat_service.manager import _load

    base = open_knowledge_base("sqlite:///facts.db", writable=True)
    base.add([Fact("Parking is free.", id="parking")])
    base.close()
    opt: Any = {
        "model": "kb_augmented",
        "init_model": deployed("transformer/generator"),
        "kb": "sqlite:///facts.db",
        "kb_gate": "always",
        "datapath": str(tmp_path),
    }
    agent = _load(opt, threads=1)
    assert agent.opt["kb_integrate"] == "answer" and agent.opt["beam_size"] == 1
    agent.observe({"text": "how much is parking?", "episode_done": False})
    assert agent.act()["text"] == "Parking is free."


class Forgetful(Agent):  # type: ignore[misc]
    """Shares its words only, as ParlAI's unigram does."""

    def __init__(self, opt: Any, shared: Any = None) -> None:
        self.id, self.opt = "Forgetful", opt
        self.words = shared["words"] if shared else "hello"

    def share(self) -> Any:
        """Neither its class nor its options."""
        return {"words": self.words}

    def act(self) -> Any:
        """Always the same."""
        return Message({"id": self.id, "text": self.words, "episode_done": False})


def test_an_agent_that_shares_neither_class_nor_options() -> None:
    """Worlds get clones of it all the same."""
    batcher = Batcher()
    try:
        shared = shared_with_worlds(Forgetful(Opt({"a": 1})), batcher, lambda what: None)
        agent = create_agent_from_shared(shared)
        agent.observe({"text": "hi", "episode_done": False})
        assert agent.act()["text"] == "hello" and agent.opt["a"] == 1
    finally:
        batcher.close()


def test_a_served_model_is_not_to_train() -> None:
    """It makes no optimizer; a configuration that says otherwise is left as it is."""
    plain = yaml_settings.model_options("m", {"model": "repeat_query"})
    assert plain["datatype"] == plain["override"]["datatype"] == "valid"
    said = yaml_settings.model_options("m", {"model": "repeat_query", "datatype": "train"})
    assert said["datatype"] == said["override"]["datatype"] == "train"


@pytest.mark.parametrize("wanted", [None, False])
def test_people_read_text_instead_of_tokens(tmp_path: Path, wanted: bool | None) -> None:
    """Unless the model's configuration says `detokenize: false`."""
    manager = service(tmp_path, config(), ECHO)
    manager.models["echo"].dict = None  # it has a dictionary, as ParlAI's models
    if wanted is not None:
        manager.models["echo"].opt["detokenize"] = wanted

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        shown = await user.say("it ' s $ 5 .")
        assert shown == ("it ' s $ 5 . (1)" if wanted is False else "It's $5. (1)")

    serve(manager, visit)
