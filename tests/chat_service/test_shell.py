"""parlai_cu/serving/server.py and http_api.py: HTTP, TLS, slow readers, who is let in."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import Client, config, listening, service, until
from tests.chat_service.agents import OPEN, Echo

ECHO = {"echo": {"model": "tests.chat_service.agents:Echo"}}


class Web:
    """An HTTP client of one service."""

    def __init__(self, address: str) -> None:
        self.base = address.replace("ws", "http", 1).rpartition("/")[0]

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """(status, what was answered)."""
        from tornado.httpclient import AsyncHTTPClient

        content = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        if method == "POST" and content is None:
            content = "{}"
        answer = await AsyncHTTPClient().fetch(
            self.base + path, method=method, body=content, raise_error=False, **options
        )
        text = answer.body.decode()
        json_type = "json" in answer.headers.get("Content-Type", "")
        return answer.code, json.loads(text) if json_type else text


@pytest.fixture
def web(tmp_path: Path) -> Any:
    """``web(visit, **flags)``: visit a service with ParlAI's chatbot over an echo."""

    def run(visit: Callable[[Web, Any], Awaitable[None]], **flags: Any) -> Any:
        workers = flags.pop("max_workers", 100)
        manager = service(tmp_path, config(max_workers=workers), ECHO, **flags)

        async def main() -> None:
            async with listening(manager) as address:
                await visit(Web(address), manager)

        asyncio.run(main())
        return manager

    return run


def test_a_conversation_by_http(web: Any) -> None:
    """Begin, take turns, end; the same worlds, all that they say, and no more after the end."""

    async def visit(http: Web, manager: Any) -> None:
        status, begun = await http.ask("POST", "/v1/conversations")
        assert status == 201 and "overworld" in begun["messages"][0]["text"] and begun["complete"]
        turns = f"/v1/conversations/{begun['id']}/turns"
        status, said = await http.ask("POST", turns, {"text": "begin", "mid": "m"})
        assert status == 200 and "Welcome to the ParlAI" in said["messages"][0]["text"]
        status, said = await http.ask("POST", turns, {"text": "hello", "mid": "m"})
        (message,) = said["messages"]
        assert (message["text"], message["mid"], message["turn"]) == ("hello (1)", "m", 2)
        assert (await http.ask("POST", turns, {"text": 5}))[0] == 400
        assert (await http.ask("POST", turns, b"\xff"))[0] == 400
        assert (await http.ask("POST", turns, {"text": "a" * 5000}))[0] == 413
        await http.ask("POST", turns, {"text": "[DONE]"})
        _, said = await http.ask("POST", turns, {"text": "exit"})
        assert said["over"] and said["messages"][-1]["text"] == "See you later!"
        status, told = await http.ask("POST", turns, {"text": "hello"})
        assert status == 404 and told["type"] == "error"
        _, begun = await http.ask("POST", "/v1/conversations")
        assert (await http.ask("DELETE", f"/v1/conversations/{begun['id']}"))[1]["over"]
        assert not manager.messenger_agent_states

    web(visit)


def test_health_ready_metrics(web: Any) -> None:
    """For those who watch it."""

    async def visit(http: Web, manager: Any) -> None:
        await until(manager.ready, "ready")
        assert await http.ask("GET", "/health") == (200, {"status": "ok"})
        assert await http.ask("GET", "/ready") == (200, {"status": "ready"})
        _, begun = await http.ask("POST", "/v1/conversations")
        for text in ("begin", "hello", "crash"):
            await http.ask("POST", f"/v1/conversations/{begun['id']}/turns", {"text": text})
        status, text = await http.ask("GET", "/metrics")
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        assert status == 200 and values["parlai_cu_conversations"] == "1.0"
        assert values["parlai_cu_batch_turns_sum"] == "2.0"
        assert values["parlai_cu_answer_seconds_count"] == "3.0"
        assert values['parlai_cu_failed_total{what="model"}'] == "1.0"
        told = manager.status()
        assert told["conversations"] == 1 and told["latency_p50_ms"] > 0 and told["models"]
        manager.gateway.draining = True
        assert (await http.ask("GET", "/ready"))[0] == 503
        assert (await http.ask("POST", "/v1/conversations"))[0] == 503
        assert (await http.ask("GET", "/health"))[0] == 200

    web(visit)


def test_the_api_is_documented(web: Any) -> None:
    """Every path of the OpenAPI document is there, and every route of the API is in it."""

    async def visit(http: Web, manager: Any) -> None:
        status, document = await http.ask("GET", "/v1/openapi.json")
        assert status == 200 and document["openapi"].startswith("3.")
        from parlai_cu.serving import http_api

        routes = [rule[0] for rule in http_api.rules(manager) if rule[0].startswith("/v1/conv")]
        paths = {path.replace("{id}", r"([\w-]{1,64})"): path for path in document["paths"]}
        assert sorted(routes) == sorted(paths)
        for rule in http_api.rules(manager):
            for method in ("get", "post", "delete"):
                if rule[0] in paths:
                    assert (method in vars(rule[1])) == (
                        method in document["paths"][paths[rule[0]]]
                    )

        def references(node: Any) -> Any:
            if isinstance(node, dict):
                if "$ref" in node:
                    yield node["$ref"]
                for value in node.values():
                    yield from references(value)
            elif isinstance(node, list):
                for value in node:
                    yield from references(value)

        for reference in references(document):
            found = document
            for step in reference.lstrip("#/").split("/"):
                found = found[step]

    web(visit)


def test_the_password_by_http(web: Any) -> None:
    """As a bearer token; without it nothing is told."""

    async def visit(http: Web, manager: Any) -> None:
        assert (await http.ask("POST", "/v1/conversations"))[0] == 401
        wrong = {"Authorization": "Bearer opem"}
        assert (await http.ask("POST", "/v1/conversations", headers=wrong))[0] == 401
        right = {"Authorization": "Bearer open"}
        assert (await http.ask("POST", "/v1/conversations", headers=right))[0] == 201
        assert not [c for c in manager.gateway.by_id.values() if c.turn]

    web(visit, password="open")


def test_other_sites_and_full_houses(web: Any) -> None:
    """Another site's page may not post; a full house says so; too fast is too fast."""

    async def visit(http: Web, manager: Any) -> None:
        evil = {"Origin": "http://evil.example"}
        assert (await http.ask("POST", "/v1/conversations", headers=evil))[0] == 403
        assert (await http.ask("POST", "/v1/conversations"))[0] == 201
        status, told = await http.ask("POST", "/v1/conversations")
        assert status == 503 and told["code"] == "busy"
        codes = [(await http.ask("POST", "/v1/conversations"))[0] for _ in range(8)]
        assert codes[-1] == 429

    web(visit, max_workers=1, turns_at_once=8, turns_per_second=0)


def test_a_reader_who_does_not_read(web: Any) -> None:
    """He is disconnected when too much waits for him; nobody else is held up."""

    async def visit(http: Web, manager: Any) -> None:
        from tornado.ioloop import IOLoop

        assert IOLoop.current()
        address = f"ws://127.0.0.1:{manager.port}/websocket"
        reader = await (await Client.at(address)).enter()
        other = await (await Client.at(address)).enter()
        slow, _ = manager.gateway.by_id.values()
        # a peer whose window is full: nothing that is written goes out
        stream = slow.connection.ws_connection.stream
        stream._handle_write = lambda: None
        stream._add_io_state = lambda state: None
        slow.send({"text": "x" * 60_000})
        await asyncio.sleep(0)
        assert slow.connection is not None
        slow.send({"text": "x" * 60_000})
        await until(lambda: len(manager.messenger_agent_states) == 1, "disconnected")
        assert await other.say("hello") == "hello (1)"
        reader.close()

    manager = web(visit, max_unsent=100_000)
    assert b'reason="slow_reader"} 1.0' in manager.metrics.text()


def test_too_many_connections(web: Any) -> None:
    """Of one address: the next is closed with the reason."""

    async def visit(http: Web, manager: Any) -> None:
        address = f"ws://127.0.0.1:{manager.port}/websocket"
        first = await Client.at(address)
        second = await Client.at(address)
        assert await second.closed() == 1008
        assert "too many" in second.connection.close_reason
        first.close()
        await until(lambda: not manager.gateway.clients(), "closed")
        await (await Client.at(address)).enter()

    web(visit, connections_per_address=1)


def test_model_errors_cost_a_turn(web: Any) -> None:
    """An apology, and what failed is not remembered; after two in a row all is forgotten."""

    async def visit(http: Web, manager: Any) -> None:
        user = await (await Client.at(f"ws://127.0.0.1:{manager.port}/websocket")).enter()
        assert await user.say("one") == "one (1)"
        assert "could not be answered" in await user.say("crash")
        assert await user.say("two") == "two (3)"
        assert "could not be answered" in await user.say("unreadable")
        assert "forgotten what we said" in await user.say("crash")
        assert await user.say("three") == "three (1)"

    web(visit)


def test_the_model_is_busy(web: Any) -> None:
    """When too many turns wait, the next user is told to try again, and his chat goes on."""

    async def visit(http: Web, manager: Any) -> None:
        address = f"ws://127.0.0.1:{manager.port}/websocket"
        users = [await (await Client.at(address)).enter() for _ in range(3)]
        OPEN.clear()
        try:
            Echo.batches.clear()
            await users[0].send({"text": "first"})
            await until(lambda: Echo.batches, "acting")
            await users[1].send({"text": "second"})
            await until(lambda: manager.batcher.waiting() == 1, "waiting")
            told = await users[2].say("third")
            assert "I am busy: 1 turns wait" in told
        finally:
            OPEN.set()
        assert (await users[0].hear())["text"] == "first (1)"
        assert (await users[1].hear())["text"] == "second (1)"
        assert (await users[2].say("third")).startswith("third")

    web(visit, max_waiting=1)


def certificate(folder: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1."""
    openssl: str | None = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate")
    files = {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
    out = ["-keyout", files["tls_key"], "-out", files["tls_cert"]]
    subprocess.run([openssl, *words, *subject, *out], check=True, capture_output=True)
    return files


def test_tls(tmp_path: Path) -> None:
    """
    https and wss, by a certificate of the user's, to which browsers are held from then on; one that
    cannot be read is an error.
    """
    from tornado.httpclient import AsyncHTTPClient, HTTPRequest

    from parlai_cu.errors import UsageError

    files = certificate(tmp_path)
    manager = service(tmp_path, config(), ECHO, **files)

    async def main() -> None:
        address = await manager.start()
        assert address.startswith("https://")
        trust = ssl.create_default_context(cafile=files["tls_cert"])
        request = HTTPRequest(address.replace("https", "wss") + "/websocket", ssl_options=trust)
        user = await (await Client.at(request)).enter()  # type: ignore[arg-type]
        assert await user.say("hello") == "hello (1)"
        for path in ("/health", "/", "/nowhere"):
            asked = HTTPRequest(address + path, ca_certs=files["tls_cert"])
            answer = await AsyncHTTPClient().fetch(asked, raise_error=False)
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000", path
        await manager.stop()

    asyncio.run(main())
    with pytest.raises(UsageError, match="--tls-cert .*missing.pem"):
        service(tmp_path, config(), ECHO, tls_cert=str(tmp_path / "missing.pem"))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """An error that names it."""
    from parlai_cu.errors import UsageError

    async def main() -> None:
        async with listening(service(tmp_path, config(), ECHO)) as address:
            port = int(address.rpartition(":")[2].partition("/")[0])
            with pytest.raises(UsageError, match=f"--port {port}"):
                await service(tmp_path, config(), ECHO, port=port).start()

    asyncio.run(main())
