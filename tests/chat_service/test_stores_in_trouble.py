"""A service whose store hangs, is locked, moved or gone: nobody is silent, and all is said."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ConversationError
from parlai_cu.serving import store_worker
from parlai_cu.serving.dialogue_policy import HISTORY_BACK, KEPT_AGAIN, UNKEPT, UNREAD
from tests.chat_service import Client, config, listening, service, until
from tests.chat_service.test_shell import Web

PARROT = {"parrot": {"model": "tests.serving.parrot:ParrotAgent"}}
OURS = {"onboard_world": "ChatOnboarding", "task_world": "ChatWorld"}
ChatVisit = Callable[[str, Web, Any], Awaitable[None]]


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``ours(visit, **chat)``: visit a service with our world, whose store has little patience."""
    from parlai_cu.chat_service import worlds

    monkeypatch.setattr(store_worker, "DEADLINE", 0.3)
    for known in (worlds._stores, worlds._logs, worlds._workers):
        known.clear()

    def run(visit: ChatVisit, **chat: Any) -> None:
        chat.setdefault("conversations", f"sqlite:///{tmp_path}/c.db")
        written = config("parlai_cu.chat_service.worlds", "ChatOverworld", {"default": OURS})
        manager = service(tmp_path, written, PARROT, chat=chat)

        async def main() -> None:
            async with listening(manager) as address:
                await until(manager.ready, "ready")
                await visit(address, Web(address), manager)

        asyncio.run(main())

    yield run
    for known in (worlds._stores, worlds._logs, worlds._workers):
        known.clear()


def the_store() -> Any:
    """Of the service that runs."""
    from parlai_cu.chat_service import worlds

    (store,) = worlds._stores.values()
    return store


class Hangs:
    """A store whose database does not answer until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        rows = the_store()._rows
        for name in ("read", "write"):
            real = getattr(rows, name)
            monkeypatch.setattr(rows, name, lambda *a, real=real: self.call(real, *a))

    def call(self, real: Any, *arguments: Any) -> Any:
        """Wait, then do it."""
        assert self.free.wait(60)
        return real(*arguments)


async def enter(address: str, token: str | None = None) -> tuple[Client, dict[str, Any], Any]:
    """A user, hello and the first message."""
    user = await Client.at(address)
    await user.send({"type": "hello", "token": token})
    return user, await user.hear(), await reply(user, "history")


async def reply(user: Client, kind: str = "message") -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        heard = await user.hear()
        assert heard["type"] != "error", heard
        if heard["type"] == kind:
            return heard


async def say(user: Client, text: str) -> dict[str, Any]:
    """The reply to a message."""
    await user.send({"text": text})
    return await reply(user)


def test_a_store_that_hangs(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health, new users, those who come back, turns: all go on, and say what is not kept."""

    async def visit(address: str, http: Web, manager: Any) -> None:
        first, hello, _ = await enter(address)
        assert (await say(first, "before"))["text"] == "You said: before"
        manager.gateway.close(next(iter(manager.gateway.by_id.values())))
        store = Hangs(monkeypatch)
        store.free.clear()
        try:
            back, again, opening = await enter(address, hello["token"])
            assert "token" not in again and opening["text"] == UNREAD
            new, _, opening = await enter(address)
            assert opening["history"] == []
            assert (await http.ask("GET", "/health"))[0] == 200
            assert (await http.ask("GET", "/ready"))[0] == 200
            for user in (back, new):
                said = await say(user, "meanwhile")
                assert said["text"] == "You said: meanwhile" and said["kept"] is False
                assert (await reply(user, "notice"))["text"] == UNKEPT
            _, text = await http.ask("GET", "/metrics")
            assert "parlai_cu_store_up 0.0" in text
            assert 'parlai_cu_failed_total{what="store"}' in text
            assert not manager.status()["store_up"]["up"]
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        finally:
            store.free.set()
        await until(lambda: manager.status()["store_up"]["up"], "the store is back")
        assert "kept" not in await say(new, "after")
        assert (await reply(new, "notice"))["text"] == KEPT_AGAIN
        await say(back, "how much did I say?")
        history = await reply(back, "history")
        assert history["text"] == HISTORY_BACK
        assert [one["text"] for one in history["history"]] == [
            *("before", "meanwhile", "how much did I say?"),
        ]
        # the model has what was said before, too
        assert (await say(back, "how much did I say?"))["text"] == "You said: 4 messages"

    ours(visit)


def test_a_file_that_another_process_has_locked(ours: Any, tmp_path: Path) -> None:
    """Nobody waits for the lock but the store's own thread; what was said meanwhile is kept."""

    async def visit(address: str, http: Web, manager: Any) -> None:
        user, _, _ = await enter(address)
        other = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert (await say(user, "one"))["kept"] is False
        assert (await http.ask("GET", "/health"))[0] == 200
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: manager.status()["store_up"]["up"], "the store is back")
        await say(user, "two")
        kept = sqlite3.connect(tmp_path / "c.db").execute(
            "SELECT text FROM chat_turns ORDER BY turn"
        )
        assert [text for (text,) in kept] == ["one", "two"]

    ours(visit)


@pytest.mark.parametrize(
    "error", ["database or disk is full", "attempt to write a readonly database"]
)
def test_a_full_disk(ours: Any, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever cannot be written is said to be unkept; nothing else is acknowledged."""

    async def visit(address: str, http: Web, manager: Any) -> None:
        user, _, _ = await enter(address)
        rows = the_store()._rows

        def full(*_: Any) -> None:
            raise ConversationError(error)

        with monkeypatch.context() as patched:
            patched.setattr(rows, "write", full)
            said = [await say(user, str(number)) for number in range(5)]
            assert all(one["kept"] is False for one in said)
            await user.send({"type": "rating", "turn": 1, "rating": "up"})
            assert (await user.hear())["type"] in ("error", "notice")
            assert error in manager.status()["store_up"]["trouble"]
        await until(lambda: manager.status()["store_up"]["up"], "the store is back")
        await say(user, "after")
        token = manager.gateway.by_id[next(iter(manager.gateway.by_id))].token
        found = the_store().resume(token)
        assert [one.text for one in found.turns] == ["0", "1", "2", "3", "4", "after"]

    ours(visit)


def test_feedback_that_hangs(ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is told that it is not kept; turns go on."""

    async def visit(address: str, http: Web, manager: Any) -> None:
        from parlai_cu.chat_service import worlds

        (log,) = worlds._logs.values()
        free = threading.Event()
        real = log._append
        monkeypatch.setattr(log, "_append", lambda line: (free.wait(60), real(line)))
        user, _, _ = await enter(address)
        await say(user, "one")
        await user.send({"type": "rating", "turn": 1, "rating": "up"})
        heard = await user.hear()
        assert heard["type"] == "error" and "could not keep that" in heard["text"]
        assert (await say(user, "two"))["text"] == "You said: two"
        free.set()

    ours(visit, feedback=str(tmp_path / "f.jsonl"))
