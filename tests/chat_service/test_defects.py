"""
The 29 defects that were measured on ParlAI's chat_service, by their numbers: each is gone.

Test names begin with the number of the row.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List

import pytest

from tests.chat_service import CONFIG, Client, config, listening, service, until

WORLDS = "tests.chat_service.worlds"
ECHO = {"echo": {"model": "tests.chat_service.agents:Echo"}}


def world(name: str, **task: Any) -> Dict[str, Any]:
    """A configuration that leads straight into one of our worlds."""
    return config(WORLDS, "Straight", {"default": {"task_world": name, **task}})


def serve(manager: Any, visit: Callable[[str], Awaitable[None]]) -> None:
    """Let users visit a service."""

    async def main() -> None:
        async with listening(manager) as address:
            await visit(address)

    asyncio.run(main())


@pytest.fixture
def chat(tmp_path: Path) -> Any:
    """``chat(visit, **flags)``: users visit a service with ParlAI's chatbot over an echo."""

    def run(visit: Callable[[str], Awaitable[None]], **flags: Any) -> Any:
        workers = flags.pop("max_workers", 100)
        models = flags.pop("models", ECHO)
        manager = service(tmp_path, config(max_workers=workers), models, **flags)
        serve(manager, visit)
        return manager

    return run


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
        await asyncio.gather(*(user.enter() for user in users))

    chat(visit)


PAIR = {"task_world": "MessengerChatTaskWorld", "agents_required": 2, "timeout": 600}


def test_05_waiting_in_a_pool_for_long(tmp_path: Path) -> None:
    """After 30 s a user is told once; then somebody comes, and both can talk."""
    manager = service(tmp_path, config(WORLDS, "Straight", {"default": PAIR}))

    async def visit(address: str) -> None:
        first = await Client.at(address)
        await first.send({"type": "hello"})
        assert (await first.hear())["type"] == "hello"
        await until(lambda: manager.lives.pools.get("default"), "in the pool")
        (waiter,) = manager.lives.pools["default"]
        waiter.since -= 31
        manager.lives.tidy_pools()
        manager.lives.tidy_pools()
        assert "Pairing is taking longer" in (await first.hear())["text"]
        second = await Client.at(address)
        await second.send({"type": "hello"})
        assert (await second.hear())["type"] == "hello"
        await until(lambda: not manager.lives.pools["default"], "paired")
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

    compared: List[Any] = []
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
        await until(lambda: manager.lives.pools.get("default"), "in the pool")
        assert "If you wish to exit, type *EXIT*" in await user.say("hello?")
        assert "Welcome to the overworld" in await user.say("exit")
        assert not manager.lives.pools["default"]

    manager = service(tmp_path, written)
    serve(manager, visit)


def test_18_texts_and_frames_that_are_too_long(chat: Any) -> None:
    """Refused with the limit; a frame many times too long ends that connection, and no other."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        other = await (await Client.at(address)).enter()
        for text, limit in (("a" * 4001, "4,000 are allowed"), ("ü" * 40_000, "65,536 are")):
            await user.send({"text": text})
            told = await user.hear()
            assert told["code"] == "too_long" and limit in told["text"]
        assert await user.say("hello") == "hello (1)"
        await user.send({"text": "a" * 2_000_000})
        assert await user.closed() == 1009
        assert await other.say("hello") == "hello (1)"

    chat(visit)


def test_19_origin_and_address(chat: Any) -> None:
    """Another site's page cannot connect, nor another machine, unless they are allowed to."""
    from tornado.httpclient import HTTPClientError, HTTPRequest

    async def visit(address: str) -> None:
        def page(origin: str) -> Any:
            return Client.at(HTTPRequest(address, headers={"Origin": origin}))  # type: ignore

        assert address.startswith("ws://127.0.0.1:")
        for evil in ("http://evil.example", "null"):
            with pytest.raises(HTTPClientError, match="403"):
                await page(evil)
        await (await page("http" + address[2:-10])).enter()
        await (await page("https://shop.example")).enter()

    manager = chat(visit, allow_origin="https://shop.example")
    assert manager.settings.address == "127.0.0.1"


def test_20_stopping(chat: Any, tmp_path: Path) -> None:
    """The turn under way is answered, new ones are refused, all are told, sockets are closed."""
    from tests.chat_service.agents import OPEN

    manager = service(tmp_path, config(), ECHO)

    async def main() -> None:
        address = (await manager.start()).replace("http", "ws") + "/websocket"
        busy, idle = [await (await Client.at(address)).enter() for _ in range(2)]
        OPEN.clear()
        try:
            await busy.send({"text": "hello"})
            await until(lambda: manager.reception.busy, "a turn under way")
            stopping = asyncio.ensure_future(manager.stop())
            await until(lambda: manager.reception.draining, "stopping")
            await idle.send({"text": "one more"})
            assert (await idle.hear())["code"] == "draining"
        finally:
            OPEN.set()
        assert (await busy.hear())["text"] == "hello (1)"
        await stopping
        for user in (busy, idle):
            assert "going offline" in (await user.hear())["text"]
            assert await user.closed() == 1001

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_20_signals(tmp_path: Path, number: int) -> None:
    """SIGTERM and Ctrl-C end ParlAI's own command with status 0, after it said that it is ready."""
    (tmp_path / "config.yml").write_text(CONFIG.format(model=json.dumps({"model": "repeat_query"})))
    command = [sys.executable, "-m", "parlai.chat_service.services.websocket.run"]
    process = subprocess.Popen(
        [*command, "--config-path", "config.yml", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("Ready"))
    assert "http://127.0.0.1:" in line and "/websocket" in line
    process.send_signal(number)
    assert "Stopped" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def test_21_silence(tmp_path: Path) -> None:
    """An idle chat ends with a word; a peer that answers no ping is gone."""
    manager = service(tmp_path, config(), idle_seconds=60, ping_seconds=7)

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        (conversation,) = manager.reception.by_id.values()
        manager.reception.tidy()
        assert await user.say("here") == "here"
        conversation.last_heard -= 61
        manager.reception.tidy()
        assert (await user.hear())["code"] == "idle"
        assert await user.closed() == 1001
        assert not manager.messenger_agent_states
        settings = manager.shell.application.settings
        assert settings["websocket_ping_interval"] == settings["websocket_ping_timeout"] == 7

    serve(manager, visit)


def test_22_only_quick_replies_are_taken(tmp_path: Path) -> None:
    """What was called invalid is not the answer."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"text": "water"})
        assert (await user.hear())["text"] == "tea or coffee?"
        told = await user.hear()
        assert "Invalid response" in told["text"] and told["quick_replies"] == ["tea", "coffee"]
        assert await user.say("tea") == "you chose tea"

    serve(service(tmp_path, world("Choosing")), visit)


def test_22_without_a_service_of_ours() -> None:
    """The same for Messenger's agents, which can only be asked again."""
    from parlai.chat_service.utils.timeout import TimeoutUtils

    class Agent:
        said = [None, {"text": "water"}, None, {"text": "tea"}]
        heard: List[str] = []

        def act(self) -> Any:
            return self.said.pop(0)

        def observe(self, act: Any) -> None:
            self.heard.append(act["text"])

    agent = Agent()
    assert TimeoutUtils.get_timeout_act(agent, 60, ["tea"]) == {"text": "tea"}
    assert len(agent.heard) == 1 and TimeoutUtils.get_timeout_act(agent, 0) is None


def test_23_a_model_of_any_name(chat: Any) -> None:
    """ParlAI's world asks for blender_90M; the only model there is answers."""

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        assert await user.say("hello") == "hello (1)"

    chat(visit, models={"my_own": ECHO["echo"]})


def test_23_which_of_several_models(chat: Any) -> None:
    """With several the world closes with a word, and the error names them."""
    from parlai_cu.chat_service.model import SharedModels
    from parlai_cu.errors import UsageError

    with pytest.raises(UsageError, match="'blender_90M'; config.yml has blender_90m, other"):
        SharedModels(blender_90m={}, other={})["blender_90M"]


def test_24_worlds_that_hide_their_method(tmp_path: Path) -> None:
    """`self.episode_done = True` in place of the method ends a world as well."""
    from parlai_cu.chat_service.worlds_runner import is_done

    class Hidden:
        episode_done: Any = False

    hidden = Hidden()
    assert not is_done(hidden)
    hidden.episode_done = True
    assert is_done(hidden)


def test_25_eligibility_by_the_worlds_name(tmp_path: Path) -> None:
    """A world's own function decides who comes in."""
    manager = service(tmp_path, world("Picky"))

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"type": "hello"})
        await user.hear()
        await until(lambda: manager.lives.pools.get("default"), "in the pool")
        (waiter,) = manager.lives.pools["default"]
        manager.lives.tidy_pools()
        assert not waiter.place.done()
        waiter.state.data["grown_up"] = True
        manager.lives.tidy_pools()
        assert (await user.hear())["text"] == "come in"

    serve(manager, visit)


def test_26_all_who_waited_too_long_go_at_once(tmp_path: Path) -> None:
    """Not every other one."""
    written = config(WORLDS, "MessengerOverworld", {"default": {**PAIR, "agents_required": 9}})
    manager = service(tmp_path, written)

    async def visit(address: str) -> None:
        users = [await Client.at(address) for _ in range(4)]
        for user in users:
            assert "overworld" in await user.say("begin")
        await until(lambda: len(manager.lives.pools.get("default", ())) == 4, "all wait")
        for waiter in manager.lives.pools["default"]:
            waiter.since -= 601
        manager.lives.tidy_pools()
        for user in users:
            assert "overworld" in (await user.hear())["text"]
        assert not manager.lives.pools["default"]

    serve(manager, visit)


def test_26_a_backup_task(tmp_path: Path) -> None:
    """Who waited too long is taken to the backup task, if there is one."""
    tasks = {"default": {**PAIR, "backup_task": "alone"}, "alone": {"task_world": "Failing"}}
    manager = service(tmp_path, config(WORLDS, "Straight", tasks))

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"type": "hello"})
        await user.hear()
        await until(lambda: manager.lives.pools.get("default"), "in the pool")
        manager.lives.pools["default"][0].since -= 601
        manager.lives.tidy_pools()
        await until(lambda: not manager.lives.pools["default"], "out of the pool")
        assert await user.say("hello") == "hello"

    serve(manager, visit)


def test_27_nothing_is_kept_of_conversations(tmp_path: Path) -> None:
    """After some users have come and gone nothing of them is left, worlds and agents included."""
    manager = service(tmp_path, config(), ECHO)
    left: List[Any] = []

    async def visit(address: str) -> None:
        for number in range(3):
            user = await (await Client.at(address)).enter()
            await user.say("hello")
            (active,) = [each.active_agent for each in manager.messenger_agent_states.values()]
            left.append(weakref.ref(active))
            del active
            if number:
                await user.say("[DONE]")
            if number == 2:
                await user.say("exit")
            user.close()
            await until(lambda: not manager.messenger_agent_states, "forgotten")
        await until(lambda: not manager.lives._ending and not manager.reception.busy, "ended")

        # the model's thread and the worlds' still hold what they did last
        other = await (await Client.at(address)).enter()
        await other.say("hello")
        gc.collect()
        assert [agent() for agent in left] == [None] * 3
        other.close()
        await until(lambda: not manager.messenger_agent_states, "forgotten")
        assert not manager.reception.by_id and not manager.reception.by_token
        assert not manager.lives._lives and not any(manager.lives.pools.values())
        assert not manager.reception.guests()

    serve(manager, visit)


def test_28_a_connection_is_not_a_line_for_each_other(
    chat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Who comes is not logged with all who are there."""
    caplog.set_level(logging.DEBUG, "parlai_cu")

    async def visit(address: str) -> None:
        users = [await Client.at(address) for _ in range(5)]
        await users[-1].enter()

    chat(visit)
    assert not [record for record in caplog.records if record.name.startswith("parlai_cu")]


def test_29_debug(tmp_path: Path) -> None:
    """--debug neither reloads code nor lets a failed world end anything else."""
    manager = service(tmp_path, world("Failing"), is_debug=True)

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert await user.say("hello") == "hello"
        for _ in range(2):
            assert "could not be answered" in await user.say("fail")
        assert await user.say("hello") == "hello"
        assert not manager.shell.application.settings.get("autoreload")

    serve(manager, visit)
