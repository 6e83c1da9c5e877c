"""ParlAI's Messenger service, with its network taken out: the same worlds, beside our repairs."""

import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import PATIENCE, config


class Sender:
    """In place of Facebook: what would be sent."""

    def __init__(self) -> None:
        self.sent: queue.Queue[str] = queue.Queue()

    def send_fb_message(self, receiver: Any, text: str, *rest: Any, **more: Any) -> list[Any]:
        """A message."""
        self.sent.put(text)
        return [{"message_id": str(time.monotonic())}]

    def send_read(self, receiver: Any) -> None:
        """Not shown."""

    def typing_on(self, receiver: Any, persona_id: Any = None) -> None:
        """Not shown."""


@pytest.mark.slow
def test_the_chatbot_on_messenger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user is greeted, begins, and is answered; his threads and its polling are ParlAI's own."""
    import json

    from parlai.chat_service.services.messenger.messenger_manager import MessengerManager
    from parlai.chat_service.utils.config import parse_configuration_file

    monkeypatch.chdir(tmp_path)
    written = {**config(), "additional_args": {"page_id": 5}}
    (tmp_path / "config.yml").write_text(json.dumps(written))

    class Offline(MessengerManager):  # type: ignore[misc]
        def setup_server(self) -> None:
            self.app_token = "token"

        def setup_socket(self) -> None:
            self.sender = self.message_sender = Sender()

    opt: dict[str, Any] = {
        "is_debug": False,
        "log_level": 40,
        "verbose": False,
        "password": None,
        "bypass_server_setup": True,
        "config": parse_configuration_file("config.yml"),
        "models": {"blender_90M": {"model": "repeat_query"}},
    }
    manager = Offline(opt)
    running = threading.Thread(target=manager.start_task, daemon=True)
    running.start()

    def say(text: str) -> None:
        message = {"mid": text, "text": text}
        manager._on_new_message({"sender": {"id": 7}, "recipient": {"id": 5}, "message": message})

    def hear() -> str:
        return str(manager.sender.sent.get(timeout=PATIENCE))

    say("hi")  # ParlAI's own manager swallows it
    assert "Welcome to the overworld" in hear()
    say("begin")
    assert "Welcome to the ParlAI Chatbot demo" in hear()
    say("hello")
    assert hear().endswith("hello")
    manager.running = False
    manager.world_runner.system_done = True
    running.join(PATIENCE)
    manager.world_runner.executor.shutdown(wait=True)
    assert not list(tmp_path.glob("*.log"))
