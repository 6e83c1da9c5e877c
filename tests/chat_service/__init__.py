"""A real chat_service on loopback, and how a client talks with it."""

import asyncio
import contextlib
import copy
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

# ParlAI's chatbot world looks for a model of this one name
CONFIG = """
world_module: parlai.chat_service.tasks.chatbot.worlds
overworld: MessengerOverworld
task_name: chatbot
max_workers: 12
tasks:
  default:
    onboard_world: MessengerBotChatOnboardWorld
    task_world: MessengerBotChatTaskWorld
    timeout: 600
    agents_required: 1
opt:
  is_debug: false
  models:
    blender_90M: {model}
"""
PATIENCE = 60.0  # s, for one message; a lost one is lost for good
WORLDS = "tests.chat_service.worlds"
PAIR = {"task_world": "MessengerChatTaskWorld", "agents_required": 2, "timeout": 600}
ECHO = {"echo": {"model": "tests.chat_service.agents:Echo"}}


@contextlib.contextmanager
def serving(folder: Path, front_end: str = "websocket", **model: Any) -> Iterator[str]:
    """
    Run one of ParlAI's services with ParlAI's chatbot world.

    :param folder: where configuration and output go
    :param front_end: which of parlai.chat_service.services
    :param model: options of the model that answers
    :return: the service's address
    """
    # JSON is YAML
    (folder / "config.yml").write_text(CONFIG.format(model=json.dumps(model)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--config-path", "config.yml", "--port", str(port)]
    with open(folder / "service.txt", "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"parlai.chat_service.services.{front_end}.run", *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"ws://127.0.0.1:{port}/websocket"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


CHATBOT = "parlai.chat_service.tasks.chatbot.worlds"


def config(
    world_module: str = CHATBOT,
    overworld: str = "MessengerOverworld",
    tasks: dict[str, Any] | None = None,
    max_workers: int = 100,
) -> dict[str, Any]:
    """A configuration as ParlAI reads it from a file; ParlAI's chatbot unless said otherwise."""
    chatbot = {
        "onboard_world": "MessengerBotChatOnboardWorld",
        "task_world": "MessengerBotChatTaskWorld",
    }
    return {
        "world_module": world_module,
        "overworld": overworld,
        "task_name": "chat",
        "max_workers": max_workers,
        "tasks": tasks or {"default": chatbot},
    }


def service(folder: Path, written: dict[str, Any], models: Any = None, **opt: Any) -> Any:
    """
    A service in this process, on any free port, that does not listen yet.

    :param written: what stands in config.yml
    :param models: name -> options of a model; an agent that repeats, unless given
    :param opt: flags
    """
    from parlai.chat_service.services.websocket.websocket_manager import WebsocketManager
    from parlai.chat_service.utils.config import parse_configuration_file

    path = folder / "config.yml"
    path.write_text(json.dumps(written))
    options: dict[str, Any] = {
        "is_debug": False,
        "port": 0,
        "password": None,
        "turns_at_once": 100_000,
        "connections_per_address": 100_000,
        "models": copy.deepcopy(models or {"blender_90M": {"model": "repeat_query"}}),
        **opt,
    }
    from parlai.core.opt import Opt

    options["config"] = parse_configuration_file(str(path))
    return WebsocketManager(Opt(options))


@contextlib.asynccontextmanager
async def listening(manager: Any) -> AsyncIterator[str]:
    """A service while it listens; its websocket's address."""
    address = await manager.start()
    try:
        yield address.replace("http", "ws", 1) + "/websocket"
    finally:
        await manager.stop()


def world(name: str, **task: Any) -> dict[str, Any]:
    """A configuration that leads straight into one of our worlds."""
    return config(WORLDS, "Straight", {"default": {"task_world": name, **task}})


def serve(manager: Any, visit: Callable[[str], Awaitable[None]]) -> None:
    """Let users visit a service."""

    async def main() -> None:
        async with listening(manager) as address:
            await visit(address)

    asyncio.run(main())


class Client:
    """A user on a websocket."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @classmethod
    async def at(cls, address: str, **options: Any) -> "Client":
        """Connect."""
        from tornado.websocket import websocket_connect

        return cls(await websocket_connect(address, **options))

    async def send(self, frame: Any) -> None:
        """Send a frame as it is: a string, bytes, or what is to be JSON."""
        raw = isinstance(frame, (str, bytes))
        await self.connection.write_message(
            frame if raw else json.dumps(frame), binary=isinstance(frame, bytes)
        )

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        message = await asyncio.wait_for(self.connection.read_message(), PATIENCE)
        assert message is not None, "the service closed the socket"
        return dict(json.loads(message))

    async def closed(self) -> Any:
        """Read until the service closes the socket; its close code."""
        while await asyncio.wait_for(self.connection.read_message(), PATIENCE) is not None:
            pass
        return self.connection.close_code

    async def say(self, text: str) -> str:
        """Say something; the text of the next message."""
        await self.send({"text": text})
        return str((await self.hear())["text"])

    async def enter(self) -> "Client":
        """Into the chatbot's task world."""
        assert "Welcome to the overworld" in await self.say("begin")
        assert "Welcome to the ParlAI Chatbot demo" in str((await self.hear())["text"])
        return self

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something to become true."""
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


async def connect(address: str) -> Any:
    """A connection, as soon as the service listens."""
    from tornado.websocket import websocket_connect

    for _ in range(600):
        try:
            return await websocket_connect(address)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    raise AssertionError("the service never listened")


async def read(connection: Any) -> str:
    """The text of the next message."""
    message = await asyncio.wait_for(connection.read_message(), PATIENCE)
    assert message is not None, "the service closed the socket"
    return str(json.loads(message)["text"])
