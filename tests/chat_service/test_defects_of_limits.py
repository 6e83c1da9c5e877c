"""
Defects 18 to 29 of ParlAI's chat_service: limits, stopping, silence, configuration, what is kept.

Test names begin with the number of the row; 1 to 17 are in test_defects.py.
"""

import asyncio
import gc
import json
import logging
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import (
    CONFIG,
    ECHO,
    PAIR,
    PATIENCE,
    WORLDS,
    Client,
    config,
    serve,
    service,
    until,
    world,
)


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
            await until(lambda: manager.gateway.busy, "a turn under way")
            stopping = asyncio.ensure_future(manager.stop())
            await until(lambda: manager.gateway.draining, "stopping")
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
    """An idle chat ends with a word."""
    manager = service(tmp_path, config(), idle_seconds=60)

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        (conversation,) = manager.gateway.by_id.values()
        manager.gateway.tidy()
        assert await user.say("here") == "here"
        conversation.last_heard -= 61
        manager.gateway.tidy()
        assert (await user.hear())["code"] == "idle"
        assert await user.closed() == 1001
        assert not manager.messenger_agent_states

    serve(manager, visit)


def test_21_a_peer_that_answers_no_ping(tmp_path: Path) -> None:
    """It is half open: its connection is closed, and its conversation ends."""
    manager = service(tmp_path, config(), ping_seconds=0.5)

    async def visit(address: str) -> None:
        port = int(address.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n" % port
        )
        text = b'{"text": "begin"}'  # masked with zeros
        writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        await until(lambda: manager.gateway.by_id, "it is let in")
        # what it is sent is read, but pings are not answered
        heard = await asyncio.wait_for(reader.read(), PATIENCE)
        assert b"\x89\x00" in heard, "it was pinged"
        writer.close()
        await until(lambda: not manager.gateway.by_id, "it is gone")

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
        heard: list[str] = []

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
        await until(lambda: manager.lifecycle.pools.get("default"), "in the pool")
        (waiter,) = manager.lifecycle.pools["default"]
        manager.lifecycle.tidy_pools()
        assert not waiter.place.done()
        waiter.state.data["grown_up"] = True
        manager.lifecycle.tidy_pools()
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
        await until(lambda: len(manager.lifecycle.pools.get("default", ())) == 4, "all wait")
        for waiter in manager.lifecycle.pools["default"]:
            waiter.since -= 601
        manager.lifecycle.tidy_pools()
        for user in users:
            assert "overworld" in (await user.hear())["text"]
        assert not manager.lifecycle.pools["default"]

    serve(manager, visit)


def test_26_a_backup_task(tmp_path: Path) -> None:
    """Who waited too long is taken to the backup task, if there is one."""
    tasks = {"default": {**PAIR, "backup_task": "alone"}, "alone": {"task_world": "Failing"}}
    manager = service(tmp_path, config(WORLDS, "Straight", tasks))

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"type": "hello"})
        await user.hear()
        await until(lambda: manager.lifecycle.pools.get("default"), "in the pool")
        manager.lifecycle.pools["default"][0].since -= 601
        manager.lifecycle.tidy_pools()
        await until(lambda: not manager.lifecycle.pools["default"], "out of the pool")
        assert await user.say("hello") == "hello"

    serve(manager, visit)


def test_27_nothing_is_kept_of_conversations(tmp_path: Path) -> None:
    """After some users have come and gone nothing of them is left, worlds and agents included."""
    manager = service(tmp_path, config(), ECHO)
    left: list[Any] = []

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
        await until(lambda: not manager.lifecycle._ending and not manager.gateway.busy, "ended")

        # the model's thread and the worlds' still hold what they did last
        other = await (await Client.at(address)).enter()
        await other.say("hello")
        gc.collect()
        assert [agent() for agent in left] == [None] * 3
        other.close()
        await until(lambda: not manager.messenger_agent_states, "forgotten")
        assert not manager.gateway.by_id and not manager.gateway.by_token
        assert not manager.lifecycle._lives and not any(manager.lifecycle.pools.values())
        assert not manager.gateway.clients()

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
