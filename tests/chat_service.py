"""A real chat_service on loopback, and how a client talks with it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

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


@contextlib.contextmanager
def serving(folder: Path, **model: Any) -> Iterator[str]:
    """
    Run ParlAI's websocket service with ParlAI's chatbot world.

    :param folder: where configuration and output go
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
            [sys.executable, "-m", "parlai.chat_service.services.websocket.run", *arguments],
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
