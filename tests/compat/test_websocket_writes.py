"""parlai_cu/compat/websocket_writes.py: every turn is answered, whoever writes is the IOLoop."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import connect, read, serving

CLIENTS = 8
TURNS = 8


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a chat_service that repeats what it is told."""
    with serving(tmp_path, model="repeat_query") as address:
        yield address


async def converse(address: str, name: int) -> list[str]:
    """Enter the chat, take turns, return the answers."""
    connection = await connect(address)

    async def say(text: str) -> None:
        await connection.write_message(json.dumps({"text": text}))

    await say("hello")
    assert "Welcome to the overworld" in await read(connection)
    await say("begin")
    assert "Welcome to the ParlAI Chatbot demo" in await read(connection)
    answers = []
    for turn in range(TURNS):
        await say(f"client {name} turn {turn}")
        answers.append(await read(connection))
    connection.close()
    return answers


@pytest.mark.slow
def test_every_turn_is_answered(service: str) -> None:
    """Several users at once: each gets each of his answers, once and in order."""

    async def crowd() -> list[list[str]]:
        return list(await asyncio.gather(*(converse(service, n) for n in range(CLIENTS))))

    answers = asyncio.run(crowd())
    for name, heard in enumerate(answers):
        assert heard == [f"client {name} turn {turn}" for turn in range(TURNS)]


class Handler:
    """In place of a tornado WebSocketHandler: notes what is written, and by which thread."""

    def __init__(self, closed: bool = False) -> None:
        self.closed = closed
        self.written: list[dict[str, Any]] = []
        self.threads: list[int] = []

    async def write_message(self, message: str) -> None:
        """Note the message."""
        from tornado.websocket import WebSocketClosedError

        self.threads.append(threading.get_ident())
        self.written.append(json.loads(message))
        if self.closed:
            raise WebSocketClosedError


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A WebsocketManager that never listens, with its app made as start_task makes it."""
    monkeypatch.chdir(tmp_path)  # importing chat_service leaves a log file
    monkeypatch.setattr(sys, "argv", ["test"])
    from parlai.chat_service.services.websocket.websocket_manager import WebsocketManager

    class Quiet(WebsocketManager):  # type: ignore[misc]
        def __init__(self) -> None:
            self.subs: dict[Any, Any] = {}
            self.debug = False
            self.agent_id_to_overworld_future: dict[Any, Any] = {}

    return Quiet()


def run_loop(manager: Any, work: Any) -> None:
    """Run ``work`` on a worker thread while the IOLoop runs on this one."""
    from tornado.ioloop import IOLoop

    async def main() -> None:
        manager._make_app()
        await IOLoop.current().run_in_executor(None, work)
        await asyncio.sleep(0)  # what the worker handed over runs now

    asyncio.run(main())


def test_the_loop_writes(manager: Any) -> None:
    """Messages and payloads of a worker are written by the IOLoop's thread, in order."""
    manager.subs["a"] = handler = Handler()

    def work() -> None:
        assert threading.get_ident() != here
        for number in range(3):
            manager.observe_message("a", str(number), ["yes", "no"])
        manager.observe_payload("a", {"type": "image"})

    here = threading.get_ident()
    run_loop(manager, work)
    assert handler.threads == [here] * 4
    assert handler.written == [
        *({"text": str(number), "quick_replies": ["yes", "no"]} for number in range(3)),
        {"text": "", "payload": {"type": "image"}, "quick_replies": None},
    ]


def test_on_the_loop_itself(manager: Any) -> None:
    """A message from the IOLoop's own thread (wrong password) is written, not an error."""
    manager.subs["a"] = handler = Handler()

    async def main() -> None:
        manager._make_app()
        manager.observe_message("a", "sorry")
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [act["text"] for act in handler.written] == ["sorry"]


def test_after_the_loop_has_stopped(manager: Any) -> None:
    """The farewell of a service that was interrupted is written at once."""
    manager.subs["a"] = handler = Handler()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        manager._make_app()
        manager.observe_message("a", "offline soon")
        assert [act["text"] for act in handler.written] == ["offline soon"]
    finally:
        manager.io_loop.close()
        asyncio.set_event_loop(None)


def test_users_who_left(manager: Any) -> None:
    """A closed socket drops the message; an unknown one cancels the user's overworld."""
    manager.subs["closed"] = Handler(closed=True)
    cancelled: list[str] = []

    class Future:
        def cancel(self) -> None:
            cancelled.append("gone")

    manager.agent_id_to_overworld_future["gone"] = Future()

    def work() -> None:
        manager.observe_message("closed", "hello")
        manager.observe_message("gone", "hello")

    run_loop(manager, work)
    assert cancelled == ["gone"]
