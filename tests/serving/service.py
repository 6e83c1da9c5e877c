"""`parlai serve` as a process, for tests: our world and a parrot."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0  # s for a service to be ready, or gone
TOKEN = "a token that is long enough"
PARROT = {"model": "tests.serving.parrot:ParrotAgent"}


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """
    A service that can be stopped and started again.

    :param folder: where its configuration, conversations and output are
    :param model: options of the model that answers
    :param flags: more of `parlai serve`
    :param stock: ParlAI's chatbot worlds instead of ours
    :param chat: settings of our world
    """

    def __init__(
        self,
        folder: Path,
        model: dict[str, Any] | None = None,
        flags: list[str] | None = None,
        stock: bool = False,
        **chat: Any,
    ) -> None:
        self.folder, self.port, self.flags = folder, free_port(), flags or []
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        task = {"onboard_world": "ChatOnboarding", "task_world": "ChatWorld"}
        config: dict[str, Any] = {
            "world_module": "parlai_cu.chat_service.worlds",
            "overworld": "ChatOverworld",
            "task_name": "chat",
            "max_workers": 50,
            "tasks": {"default": task},
            "opt": {"is_debug": False, "models": {"parrot": model or PARROT}, "chat": chat},
        }
        if stock:
            # ParlAI's world looks for a model of this one name
            config["opt"] = {"is_debug": False, "models": {"blender_90M": model or PARROT}}
            config["world_module"] = "parlai.chat_service.tasks.chatbot.worlds"
            config["overworld"] = "MessengerOverworld"
            task["onboard_world"] = "MessengerBotChatOnboardWorld"
            task["task_world"] = "MessengerBotChatTaskWorld"
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with open(self.folder / "output.txt", "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "parlai", "serve", "--config-path", "config.yml"]
                + ["--port", str(self.port), *self.flags],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert self.process.poll() is None and time.monotonic() < until, self.output()
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.address + "ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, kill: bool = False) -> None:
        """End it, politely or as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
                self.process = None

    def output(self) -> str:
        """What it printed."""
        return (self.folder / "output.txt").read_text(errors="replace")


def ask(
    service: Service, path: str, token: str | None = TOKEN, body: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """(HTTP status, JSON) of a request."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(service.address + path, data, headers)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
