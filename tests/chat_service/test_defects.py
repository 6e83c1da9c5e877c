"""
The 29 defects that were measured on ParlAI's chat_service, by their numbers: each is gone.

Test names begin with the number of the row. Here are 1 to 17, entering and talking; the others are
in test_defects_of_limits.py.
"""

import asyncio
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import (
    PAIR,
    WORLDS,
    Client,
    config,
    serve,
    service,
    until,
)


def test_01_only_the_loop_writes(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever speaks, sockets are written to by the thread that runs the loop."""
    from parlai_cu.serving.server import ChatSocket

    threads = set()
    send = ChatSocket.send
    monkeypatch.setattr(
        ChatSocket,
        "send",
        lambda self, message: (threads.add(threading.get_ident()), send(self, message)),
    )

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        assert await user.say("hello") == "hello (1)"

    chat(visit)
    assert threads == {threading.get_ident()}


def test_02_messages_cost_no_file_descriptor(chat: Any) -> None:
    """However many messages: as many descriptors as before, and no further event loop."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        before = len(os.listdir("/proc/self/fd"))
        for number in range(30):
            await user.say(str(number))
        assert len(os.listdir("/proc/self/fd")) == before

    chat(visit)


def test_03_nothing_sleeps(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From "begin" to the last of six turns sent at once nobody calls sleep."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"somebody sleeps for {seconds} s")

    async def visit(address: str) -> None:
        monkeypatch.setattr(time, "sleep", sleep)
        user = await (await Client.at(address)).enter()
        for number in range(6):
            await user.send({"text": f"turn {number}"})
        heard = [(await user.hear())["text"] for _ in range(6)]
        assert heard == [f"turn {n} ({2 * n + 1})" for n in range(6)]

    chat(visit)


def test_04_all_are_let_in_at_once(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversations begin when users come, not one for each tick of a timer."""
    monkeypatch.setattr("parlai_cu.chat_service.manager._TIDY", 3600.0)

    async def visit(address: str) -> None:
        users = await asyncio.gather(*(Client.at(address) for _ in range(20)))
        entered = await asyncio.gather(*(user.enter() for user in users))
        assert len(entered) == 20  # each was welcomed

    chat(visit)


def test_05_waiting_in_a_pool_for_long(tmp_path: Path) -> None:
    """After 30 s a user is told once; then somebody comes, and both can talk."""
    manager = service(tmp_path, config(WORLDS, "Straight", {"default": PAIR}))

    async def visit(address: str) -> None:
        first = await Client.at(address)
        await first.send({"type": "hello"})
        assert (await first.hear())["type"] == "hello"
        await until(lambda: manager.lifecycle.pools.get("default"), "in the pool")
        (waiter,) = manager.lifecycle.pools["default"]
        waiter.since -= 31
        manager.lifecycle.tidy_pools()
        manager.lifecycle.tidy_pools()
        assert "Pairing is taking longer" in (await first.hear())["text"]
        second = await Client.at(address)
        await second.send({"type": "hello"})
        assert (await second.hear())["type"] == "hello"
        await until(lambda: not manager.lifecycle.pools["default"], "paired")
        await first.send({"text": "anybody there?"})
        assert (await second.hear())["text"] == "anybody there?"

    serve(manager, visit)


def test_06_closed_tabs_free_everything(tmp_path: Path) -> None:
    """Three times as many tabs as max_workers are closed, and the next user is let in."""
    manager = service(tmp_path, config(max_workers=3))

    async def visit(address: str) -> None:
        for _ in range(9):
            user = await (await Client.at(address)).enter()
            user.close()
            await until(lambda: not manager.messenger_agent_states, "the place is free")
        await (await Client.at(address)).enter()
        assert len([t for t in threading.enumerate() if t.name.startswith("worlds")]) <= 2

    serve(manager, visit)


def test_07_the_next_user_is_told_that_all_places_are_taken(tmp_path: Path) -> None:
    """Not silence: "busy"; and he is let in when somebody leaves."""
    manager = service(tmp_path, config(max_workers=2))

    async def visit(address: str) -> None:
        inside = [await (await Client.at(address)).enter() for _ in range(2)]
        third = await Client.at(address)
        await third.send({"text": "begin", "mid": "m"})
        told = await third.hear()
        assert (told["type"], told["code"], told["mid"]) == ("error", "busy", "m")
        assert "2 places are taken" in told["text"]
        assert await inside[1].say("still here") == "still here"
        inside[0].close()
        await until(lambda: len(manager.messenger_agent_states) == 1, "one has left")
        await third.enter()

    serve(manager, visit)


def test_08_a_wrong_password_can_be_followed_by_the_right_one(chat: Any) -> None:
    """On the same connection; after five wrong ones it is closed."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "password-protected" in await user.say("hi")
        assert "Welcome to the overworld" in await user.say("open sesame")
        guesser = await Client.at(address)
        for number in range(5):
            await guesser.send({"text": str(number)})
        assert await guesser.closed() == 1008

    chat(visit, password="open sesame")


@pytest.mark.parametrize("shown", [False, True])
def test_09_what_users_say_is_not_logged(
    chat: Any,
    shown: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in logs, nor on the terminal, nor in a file; with --log-text it is. No password."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.say("open sesame")
        assert "Welcome to the ParlAI Chatbot demo" in await user.say("begin")
        assert await user.say("my secret") == "my secret (1)"
        await user.say("my secret makes it crash")

    chat(visit, password="open sesame", log_text=shown)
    out, err = capfd.readouterr()
    everything = caplog.text + out + err
    assert ("my secret" in everything) == shown
    assert "open sesame" not in everything
    assert not list(tmp_path.glob("*.log"))


def test_09_passwords_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hmac.compare_digest, whatever was sent."""
    from parlai_cu.serving import limits

    compared: list[Any] = []
    monkeypatch.setattr(
        limits.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b
    )
    assert limits.same_secret("open", "open") and not limits.same_secret("opem", "open")
    assert not limits.same_secret(None, "open") and not limits.same_secret("", None)
    assert compared == [(b"open", b"open"), (b"opem", b"open")]


BAD = ["not json", "[1,2]", "5", '"x"', "null", b"\x00\x01", "{" * 100_000, '{"text": "\\ud800"}']


@pytest.mark.parametrize("frame", BAD, ids=lambda frame: repr(frame[:12]))
def test_10_frames_that_are_no_message(chat: Any, frame: Any) -> None:
    """That user is told, and his chat goes on."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        await user.send(frame)
        told = await user.hear()
        assert told["type"] == "error" and told["code"] in ("malformed", "too_long")
        assert await user.say("hello") == "hello (1)"

    chat(visit)


@pytest.mark.parametrize("text", [None, 5, ["a"], {"a": 1}])
def test_11_no_text_in_the_overworld(chat: Any, text: Any) -> None:
    """The user is told, and the overworld lives."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "overworld" in await user.say("hi") and "Invalid" in (await user.hear())["text"]
        await user.send({"text": text})
        assert (await user.hear())["code"] == "malformed"
        assert "Welcome to the ParlAI Chatbot demo" in await user.say("begin")

    chat(visit)


@pytest.mark.parametrize("message", [{"text": None}, {"text": 7}, {"text": [1]}, {}, {"text": " "}])
def test_12_no_text_in_the_chat(chat: Any, message: Any) -> None:
    """The user is told, and what was said before is still remembered."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        assert await user.say("one") == "one (1)"
        await user.send(message)
        assert (await user.hear())["code"] == "malformed"
        assert await user.say("two") == "two (3)"

    chat(visit)


def test_13_done_only_where_it_is_all_that_is_said(chat: Any) -> None:
    """A message that speaks of [DONE] or [RESET] is a message."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        assert await user.say("what is [DONE] for?") == "what is [DONE] for? (1)"
        assert await user.say("and [RESET]?") == "and [RESET]? (3)"
        assert await user.say("[RESET]") == "[History Cleared]"
        assert await user.say("hello") == "hello (1)"
        assert "overworld" in await user.say("[DONE]")

    chat(visit)


def test_14_after_done(chat: Any) -> None:
    """The overworld again: begin anew, or exit and say hello later, on the same connection."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        await user.say("one")
        assert "Welcome to the overworld" in await user.say("[DONE]")
        assert "Welcome to the ParlAI Chatbot demo" in await user.say("begin")
        assert await user.say("two") == "two (1)"
        await user.say("[DONE]")
        assert await user.say("exit") == "See you later!"
        assert "Welcome to the overworld" in await user.say("hi")

    chat(visit)


def test_15_the_first_message_counts(chat: Any) -> None:
    """ "begin" is said once."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"text": "begin"})
        assert "Welcome to the overworld" in (await user.hear())["text"]
        assert "Welcome to the ParlAI Chatbot demo" in (await user.hear())["text"]

    chat(visit)


def test_16_what_is_said_before_the_welcome_is_read(chat: Any) -> None:
    """Turns sent right behind "begin" are answered by the chat."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        for text in ("begin", "one", "two"):
            await user.send({"text": text})
        heard = [(await user.hear())["text"] for _ in range(4)]
        assert heard[2:] == ["one (1)", "two (3)"]

    chat(visit)


def test_17_words_of_a_user_who_waits_for_another(tmp_path: Path) -> None:
    """He is told how to leave, and EXIT takes him back to the overworld."""
    written = config(WORLDS, "MessengerOverworld", {"default": PAIR})

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "Welcome to the overworld" in await user.say("begin")
        await until(lambda: manager.lifecycle.pools.get("default"), "in the pool")
        assert "If you wish to exit, type *EXIT*" in await user.say("hello?")
        assert "Welcome to the overworld" in await user.say("exit")
        assert not manager.lifecycle.pools["default"]

    manager = service(tmp_path, written)
    serve(manager, visit)
