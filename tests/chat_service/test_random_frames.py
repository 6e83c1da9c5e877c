"""10,000 frames of all that is no message: the service stays up, and lets nobody in."""

import asyncio
import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClosedError

from tests.chat_service import Client, config, listening, service

PASSWORD = "open sesame"
ECHO = {"echo": {"model": "tests.chat_service.agents:Echo"}}
FRAMES = 10_000
ODD = ["", "\0", "\x1b[2J", "\ud800", "\u202e", "\ufeff", "a" * 5000, "'; DROP TABLE", "{}", "%s%n"]
ODD += ["../../etc/passwd", "<script>", "[RESET]", "[DONE]", "begin", "*EXIT*", "\u0301" * 300]
NAMES = ["text", "type", "mid", "turn", "payload", "token", "password", "have", "rating", "__x__"]
KINDS = ["message", "hello", "rating", "forget", "delete", "history", "typing", "end", "ping", "?"]


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON, and what JSON does not have."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False, 0, -1, 2**63, 10**400, 1e308, float("nan")])
    if kind < 6:
        odd = rng.choice(ODD)
        return odd if rng.random() < 0.6 else "".join(rng.choice(ODD)[:3] for _ in range(4)) + odd
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def frame(rng: random.Random) -> Any:
    """Text or bytes: a message with something wrong, its beginning, or neither."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return rng.choice(["[", "{", '{"a":', '"']) * rng.randrange(1, 3000)
    if kind == 2:
        return json.dumps(value(rng))
    message: dict[str, Any] = {"type": rng.choice(KINDS)}
    for _ in range(rng.randrange(4)):
        message[rng.choice(NAMES)] = value(rng)
    # never the right one
    assert PASSWORD not in str(message)
    text = json.dumps(message)
    if kind == 3:
        return text[: rng.randrange(len(text))]
    if kind == 4:
        at = rng.randrange(len(text))
        return text[:at] + rng.choice(ODD).encode("utf-8", "replace").decode() + text[at:]
    return text


class Attacker:
    """
    Sends frames, and comes back when he is thrown out.

    :param address: of the service
    :param password: what he says first, where he knows it
    """

    def __init__(self, address: str, password: str | None = None) -> None:
        self.address, self.password = address, password
        self.client: Client | None = None
        self.heard: list[dict[str, Any]] = []
        self.visits = 0
        self._reading: asyncio.Task[None] | None = None

    async def send(self, what: Any) -> None:
        """One frame; on a new connection where the old one was closed."""
        try:
            if self.client is None:
                await self._enter()
            assert self.client is not None
            await self.client.send(what)
        except WebSocketClosedError:
            self.client = None

    async def _enter(self) -> None:
        await self.leave()
        self.client = await Client.at(self.address)
        self.visits += 1
        self._reading = asyncio.ensure_future(self._read(self.client))
        if self.password is not None:
            await self.client.send({"text": self.password})

    async def _read(self, client: Client) -> None:
        while (message := await client.connection.read_message()) is not None:
            self.heard.append(json.loads(message))
        if self.client is client:
            self.client = None

    async def leave(self) -> None:
        """Hang up, and wait for what was said."""
        if self.client is not None:
            self.client.close()
        if self._reading is not None:
            await self._reading


@pytest.mark.slow
def test_random_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another user is answered all the while; nothing is raised; without the password nothing."""
    manager = service(tmp_path, config(), ECHO, password=PASSWORD)
    rng = random.Random(10)
    caplog.set_level(logging.WARNING)

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "Welcome to the overworld" in await user.say(PASSWORD)
        assert "Welcome to the ParlAI Chatbot demo" in await user.say("begin")
        stranger, member = Attacker(address), Attacker(address, PASSWORD)
        turns = 0
        for number in range(FRAMES):
            await (stranger if number % 4 == 0 else member).send(frame(rng))
            if number % 250 == 0:
                turns += 1
                said = f"what costs {turns}"
                assert await user.say(said) == f"{said} ({2 * turns - 1})"
        await stranger.leave()
        await member.leave()
        assert stranger.visits > 10, "wrong passwords do not end a connection"
        for heard in stranger.heard:
            if heard["type"] == "hello":
                assert heard["password"] is True and not heard["text"] and "token" not in heard
            else:
                assert heard["code"] in ("password", "malformed", "too_long", "rate", "busy")
        codes = {heard.get("code") for heard in member.heard}
        assert {"malformed", "too_long", None} <= codes

    async def main() -> None:
        async with listening(manager) as address:
            await visit(address)

    asyncio.run(main())
    assert not [record for record in caplog.records if record.exc_info], caplog.text[-2000:]
    assert "Traceback" not in caplog.text
