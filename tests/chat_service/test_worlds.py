"""parlai_cu/chat_service/worlds.py: our world, as ParlAI's chat_service runs it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from parlai_cu.errors import UsageError
from tests import chat_service
from tests.chat_service import connect, read, serving

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
world_module: parlai_cu.chat_service.worlds
overworld: ChatOverworld
task_name: chat
max_workers: 12
tasks:
  default:
    onboard_world: ChatOnboarding
    task_world: ChatWorld
opt:
  is_debug: false
  models:
    parrot: {model}
  chat:
    greeting: Good morning!
    feedback: feedback.jsonl
"""


class Manager:
    """In place of a chat_service manager: notes what is sent."""

    shutting_down = False

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.typing = 0
        self.message_sender = self

    def get_agent_state(self, _: Any) -> None:
        """There is none."""

    def observe_message(self, _: Any, text: str, quick_replies: Any = None, *more: Any) -> Any:
        """Note a message."""
        self.sent.append(text)
        return [{"message_id": len(self.sent)}]

    def typing_on(self, _: Any, persona_id: Any = None) -> None:
        """Messenger's sign that somebody writes."""
        self.typing += 1


class Parrot:
    """A model that repeats, fails when told to, and knows what it was given."""

    version = "v3"

    def __init__(self, opt: Any = None, shared: Any = None) -> None:
        self.history: list[str] = []
        self.said: str | None = None

    def reset(self) -> None:
        """Forget."""
        self.history.clear()

    def observe(self, act: dict[str, Any]) -> None:
        """Take a message."""
        self.history.append(act["text"])

    def self_observe(self, act: dict[str, Any]) -> None:
        """Take its own reply."""
        self.history.append(act["text"])

    def act(self) -> dict[str, Any]:
        """Reply."""
        if self.history[-1] == "fail":
            raise KeyError("what the user wrote")
        reply = {"id": "Parrot", "text": self.history[-1], "knowledge": [{"id": "echo"}]}
        self.self_observe(reply)
        return reply


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The module, with nothing opened yet and a parrot for a model."""
    monkeypatch.chdir(tmp_path)  # chat_service leaves a log file
    monkeypatch.setattr(sys, "argv", ["test"])
    from parlai_cu.chat_service import worlds as module

    monkeypatch.setattr(module, "create_agent_from_shared", lambda shared: Parrot())
    module._stores.clear()
    module._logs.clear()
    yield module
    for store in module._stores.values():
        store.close()
    module._stores.clear()
    module._logs.clear()


OPT = {"models": {"parrot": {}}, "shared_bot_params": {"parrot": {}}, "chat": {"greeting": "Hi!"}}


@pytest.fixture
def websocket(worlds: Any) -> Callable[..., Any]:
    """``websocket(token)``: a user of ParlAI's websocket service, known by a token or not."""

    def make(token: str | None = None) -> Any:
        from parlai.chat_service.services.websocket.agents import WebsocketAgent

        agent = WebsocketAgent({}, Manager(), "user", "task")
        if token:
            agent.token = token
        return agent

    return make


def chat(worlds: Any, agent: Any) -> Any:
    """The world of a user."""
    worlds.ChatWorld.assign_roles([agent])
    world = worlds.ChatWorld.generate_world(OPT, [agent])
    world.parley()
    return world


def say(world: Any, text: Any) -> str:
    """What the user hears last after saying something."""
    world.agent.put_data({"text": text})
    world.parley()
    return str(world.agent.manager.sent[-1])


def test_a_chat(worlds: Any, websocket: Callable[..., Any]) -> None:
    """Greeting, turns, source, version, end."""
    world = chat(worlds, websocket())
    assert world.agent.manager.sent == ["Hi!"]
    assert say(world, "hello") == "hello"
    assert say(world, "where is that from?") == "From echo."
    assert say(world, "which version are you?") == "This is version v3."
    assert say(world, "what does [DONE] do?") == "what does [DONE] do?"
    assert not world.episode_done()
    assert say(world, "[DONE]") == "Goodbye!" and world.episode_done()


def test_nothing_to_hear(worlds: Any, websocket: Callable[..., Any]) -> None:
    """A parley without a message says nothing."""
    world = chat(worlds, websocket())
    world.parley()
    assert world.agent.manager.sent == ["Hi!"]


def test_ratings_reach_the_model(
    worlds: Any, websocket: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that wants to know is told which conversation it is in, and how it was rated."""
    told: list[Any] = []
    monkeypatch.setattr(
        Parrot, "set_conversation", lambda self, *began: told.append(began), raising=False
    )
    monkeypatch.setattr(Parrot, "rate", lambda self, *rating: told.append(rating), raising=False)
    world = chat(worlds, websocket("secret token"))
    say(world, "hello")
    world.waiting.append({"type": "rating", "rating": "down", "turn": 1, "text": ""})
    world.parley()
    say(world, "hello again")
    name = world.policy.conversation.id
    assert told == [(name, None), (name, False, "v3")]
    world.shutdown()
    chat(worlds, websocket("secret token"))
    assert told[2:] == [(name, "v3")], "it is told what the conversation began with"


def test_reset_reaches_the_model(worlds: Any, websocket: Callable[..., Any]) -> None:
    """What was said before [RESET] is not in the model's history any more."""
    world = chat(worlds, websocket())
    say(world, "secret")
    assert "forgotten" in say(world, "[RESET]")
    say(world, "new")
    assert world.model.history == ["new", "new"]


def test_a_model_that_fails(
    worlds: Any, websocket: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """An apology for that turn; history is as before it, and the log does not quote the user."""
    world = chat(worlds, websocket())
    say(world, "one")
    assert "Sorry" in say(world, "fail")
    assert not world.episode_done()
    assert say(world, "two") == "two"
    assert world.model.history == ["one", "one", "two", "two"]
    assert "what the user wrote" not in caplog.text


def test_coming_back(worlds: Any, websocket: Callable[..., Any]) -> None:
    """A token gives the model its history again, without asking it anything."""
    world = chat(worlds, websocket("secret token"))
    say(world, "one")
    world.shutdown()
    assert worlds.knows_token("secret token") and not worlds.knows_token("another")
    back = chat(worlds, websocket("secret token"))
    assert back.agent.manager.sent == ["Welcome back. We go on where we stopped."]
    assert back.model.history == ["one", "one"]


def test_messenger(worlds: Any) -> None:
    """Messenger's users are known by their id, see that an answer is written, and no prefix."""
    from parlai.chat_service.services.messenger.agents import MessengerAgent

    def user() -> Any:
        return MessengerAgent({}, Manager(), "task", 77, "page")

    world = chat(worlds, user())
    world.agent.put_data({"message": {"mid": "m1", "text": "hello"}})
    world.parley()
    assert world.agent.manager.sent == ["Hi!", "hello"]
    assert world.agent.manager.typing == 1
    assert chat(worlds, user()).agent.manager.sent[0].startswith("Welcome back")


def test_overworld(worlds: Any, websocket: Callable[..., Any]) -> None:
    """The first time straight to the chat; afterwards what is written next begins another."""
    agent = websocket()
    first = worlds.ChatOverworld.generate_world({}, [agent])
    assert first.parley() == "default" and first.episode_done()
    again = worlds.ChatOverworld.generate_world({}, [agent])
    assert again.parley() is None and not again.episode_done()
    assert again.parley() is None
    assert agent.manager.sent == [worlds.AGAIN]
    agent.put_data({"text": "hello again"})
    assert again.parley() == "default"
    world = worlds.ChatWorld.generate_world(OPT, [agent])
    world.parley()
    assert agent.manager.sent[1:] == ["Hi!", "hello again"]


def test_leaving(worlds: Any, websocket: Callable[..., Any]) -> None:
    """ "exit", when a chat is over, leaves."""
    agent = websocket()
    worlds.ChatOverworld.generate_world({}, [agent]).parley()
    agent.put_data({"text": " Exit "})
    overworld = worlds.ChatOverworld.generate_world({}, [agent])
    assert overworld.parley() == "EXIT" and overworld.episode_done()


def test_which_model(worlds: Any) -> None:
    """The only one, or the one that was named; all else is told at the start."""
    two = {"shared_bot_params": {"small": {}, "large": {}}}
    named = {**two, "chat": {"model": "large"}}
    assert worlds.model_name(OPT, worlds.PolicySettings()) == "parrot"
    assert worlds.model_name(named, worlds.PolicySettings(model="large")) == "large"
    for opt, expected in [
        (two, "which of small, large"),
        ({**two, "chat": {"model": "smal"}}, "nearest: small"),
    ]:
        with pytest.raises(UsageError, match=expected):
            worlds.module_initialize(opt, None)


def test_the_example_is_whole(worlds: Any) -> None:
    """config.yml names worlds and settings that there are."""
    from parlai.chat_service.utils.config import parse_configuration_file

    path = ROOT / "parlai_cu" / "chat_service" / "config.yml"
    config = parse_configuration_file(str(path))
    assert config["world_path"] == worlds.__name__
    names = [config["overworld"]]
    names += [name for task in config["configs"].values() for name in task[1:3]]
    assert all(hasattr(worlds, name) for name in names)
    worlds.PolicySettings.read(config["world_opt"]["chat"])
    assert yaml.safe_load(path.read_text())["opt"]["models"]["support"]["model_file"]


@pytest.mark.slow
def test_in_the_websocket_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m parlai.chat_service.services.websocket.run` runs it as any world."""
    monkeypatch.setattr(chat_service, "CONFIG", CONFIG)

    async def converse(address: str) -> None:
        connection = await connect(address)
        for text, answer in [
            ("hello", "Good morning!"),
            ("my turn", "my turn"),
            ("that is wrong, say something else", "I have noted what I should have said"),
            ("[DONE]", "Goodbye!"),
        ]:
            await connection.write_message(json.dumps({"text": text}))
            while answer not in await read(connection):
                pass
        connection.close()

    with serving(tmp_path, model="repeat_query") as address:
        asyncio.run(converse(address))
    (line,) = (tmp_path / "feedback.jsonl").read_text().splitlines()
    assert json.loads(line)["correction"] == "something else"


@pytest.mark.slow
def test_in_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ParlAI's terminal service and its client: greeting, a turn, the end."""
    monkeypatch.setattr(chat_service, "CONFIG", CONFIG)
    with serving(tmp_path, "terminal_chat", model="repeat_query") as address:
        asyncio.run(ready(address))
        port = address.rpartition(":")[2].partition("/")[0]
        client = "parlai.chat_service.services.terminal_chat.client"
        done = subprocess.run(
            [sys.executable, "-m", client, "--host", "127.0.0.1", "--port", port],
            input="hello\nmy turn\n[DONE]\n",
            capture_output=True,
            text=True,
            timeout=chat_service.PATIENCE,
        )
    assert done.returncode == 0
    assert "Bot: Good morning!" in done.stdout and "Bot: my turn" in done.stdout
    assert "Connection closed" in done.stdout and "positional" not in done.stdout + done.stderr


async def ready(address: str) -> None:
    """Wait until the service listens."""
    (await connect(address)).close()
