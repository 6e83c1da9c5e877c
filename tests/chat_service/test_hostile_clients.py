"""Slow, greedy and lying clients over real sockets, all on loopback: others are served."""

import asyncio
import errno
import json
import logging
import socket
from typing import Any

import pytest

from parlai_cu.serving import logs, tcp
from tests.chat_service import Client, until
from tests.chat_service.test_shell import Web

SLOW = {"header_seconds": 0.3, "body_seconds": 0.3, "write_seconds": 0.3}
TOKEN = "a token that is long enough"


async def raw(address: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back, until the service closes."""
    port = int(address.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


HEAD = b"POST /v1/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"GET / HT"],
        [HEAD + b"X: "],
        [HEAD + b"Content-Length: 100\r\n\r\n{"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
        [b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
    ],
    ids=["nothing", "request line", "headers", "body", "chunk", "keep-alive"],
)
def test_slow_clients(chat: Any, parts: list[bytes]) -> None:
    """Whatever they do not finish is closed in time; others are answered meanwhile."""

    async def visit(address: str) -> None:
        waiting = [asyncio.ensure_future(raw(address, *parts)) for _ in range(20)]
        assert (await Web(address).ask("GET", "/health"))[0] == 200
        await asyncio.wait_for(asyncio.gather(*waiting), 30)

    chat(visit, **SLOW)


def test_connections_of_one_address(chat: Any) -> None:
    """There are so many, whatever they are for; when they have gone there is room again."""

    async def visit(address: str) -> None:
        port = int(address.rpartition(":")[2].partition("/")[0])
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        closed = 0
        for line in lines:
            line.setblocking(False)
        await until(lambda: True, "a moment")
        for _ in range(200):
            await asyncio.sleep(0.01)
            closed = sum(_is_closed(line) for line in lines)
            if closed:
                break
        assert closed >= 60 - 4 - tcp.BESIDE
        for line in lines:
            line.close()
        await asyncio.sleep(0.2)
        assert (await Web(address).ask("GET", "/health"))[0] == 200

    chat(visit, connections_per_address=4)


def _is_closed(line: socket.socket) -> bool:
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_no_descriptors(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting rests instead of spinning; then it goes on, and it is said once."""
    full = [True]
    tries: list[int] = []
    real = socket.socket.accept

    def accept(self: socket.socket) -> Any:
        tries.append(1)
        if full[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    monkeypatch.setattr(tcp, "_REST", 0.05)
    monkeypatch.setattr(socket.socket, "accept", accept)

    async def visit(address: str) -> None:
        asked = asyncio.ensure_future(Web(address).ask("GET", "/health"))
        await asyncio.sleep(0.5)
        assert 0 < len(tries) < 30
        full[0] = False
        assert (await asked)[0] == 200

    chat(visit)


def test_many_requests_of_one_connection(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many the connection is closed."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def visit(address: str) -> None:
        answers = await raw(address, request * 1500)
        assert answers.count(b"200 OK") == 1000

    chat(visit)


def test_a_reader_who_takes_nothing(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for him does not wait for ever."""
    monkeypatch.setattr(tcp, "_LOOK", 0.1)

    async def visit(address: str) -> None:
        port = int(address.rpartition(":")[2].partition("/")[0])
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect(("127.0.0.1", port))
        line.setblocking(False)
        request = b"GET /page/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises(OSError):
            for _ in range(600):  # until it is reset
                with_room = True
                try:
                    line.send(request * 100)
                except BlockingIOError:
                    with_room = False
                await asyncio.sleep(0.01 if with_room else 0.05)
        line.close()

    chat(visit, **SLOW)


def test_logs_are_seldom(caplog: pytest.LogCaptureFixture) -> None:
    """The same line is written so often, then counted."""
    log = logging.getLogger("parlai_cu.tests.seldom")
    now = [0.0]
    log.addFilter(logs.Seldom(most=3, seconds=10, clock=lambda: now[0]))
    for number in range(51):
        now[0] = 11.0 if number == 50 else 0.0
        log.warning("failed %d", number)
        if not number:
            log.warning("another")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "failed 0",
        "another",
        "failed 1",
        "failed 2",
        "failed 50 (and 47 more like it)",
    ]


# -- what is asked ---------------------------------------------------------------------------


def test_guessing_an_admin_token(chat: Any) -> None:
    """After a few none is looked at, the right one neither; nobody else is kept out of the chat."""

    async def visit(address: str) -> None:
        http = Web(address)
        wrong = {"Authorization": "Bearer wrong wrong wrong wrong"}
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.ask("GET", "/operator/status", headers=right))[0] == 200
        codes = [(await http.ask("GET", "/operator/status", headers=wrong))[0] for _ in range(30)]
        assert codes == [401] * 10 + [429] * 20
        assert (await http.ask("GET", "/operator/status", headers=right))[0] == 429
        await (await Client.at(address)).enter()

    chat(visit, admin_token=TOKEN)


def test_guessing_a_password_by_http(chat: Any) -> None:
    """A wrong one counts for five messages; then the right one is not looked at either."""

    async def visit(address: str) -> None:
        http = Web(address)

        async def ask(password: str) -> int:
            headers = {"Authorization": f"Bearer {password}"}
            return int((await http.ask("POST", "/v1/conversations", headers=headers))[0])

        assert [await ask("wrong") for _ in range(4)] == [401, 401, 429, 429]
        assert await ask("open sesame") == 429

    chat(visit, password="open sesame", turns_at_once=14, turns_per_second=0.0)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 20_000, "1" * 10_000, "\ud83d", "NaN"])
@pytest.mark.parametrize("path", ["/operator/rollback", "/v1/conversations/x/turns"])
def test_bodies_that_break_readers(chat: Any, body: str, path: str) -> None:
    """Deep, huge, halves of characters: the answer says that it is wrong, not that we are."""

    async def visit(address: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        content = body.encode("utf-8", "surrogatepass")[:60_000]
        status, _ = await Web(address).ask("POST", path, content, headers=headers)
        assert 400 <= status < 500

    chat(visit, admin_token=TOKEN)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "", "http://evil.example"])
@pytest.mark.parametrize("path", ["/v1/conversations", "/operator/rollback"])
def test_origins_that_are_none(chat: Any, origin: str, path: str) -> None:
    """Refused, not failed."""

    async def visit(address: str) -> None:
        headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}"}
        assert (await Web(address).ask("POST", path, "{}", headers=headers))[0] == 403

    chat(visit, admin_token=TOKEN)


def test_what_every_answer_says(chat: Any) -> None:
    """No guessing of types, no releases; HEAD where GET is; other names lead nowhere."""

    async def visit(address: str) -> None:
        for path in ("/", "/health", "/operator", "/page/app.js", "/nothing", "/metrics"):
            for method in ("GET", "HEAD"):
                head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"
                answer = (await raw(address, head.encode())).decode("utf-8", "replace")
                assert "nosniff" in answer and "Tornado" not in answer, answer
                assert "Strict-Transport" not in answer, answer  # it speaks no TLS
                assert " 500 " not in answer.splitlines()[0]
        for path in ("/", "/health", "/operator", "/v1/conversations", "/websocket"):
            head = f"GET {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n"
            assert b" 421 " in (await raw(address, head.encode())).splitlines()[0]
        assert b" 200 " in await raw(address, b"HEAD /operator HTTP/1.0\r\nHost: localhost\r\n\r\n")

    chat(visit)


def test_pages_of_other_origins(chat: Any) -> None:
    """Those that are let in may use the API, errors included; others may not."""
    shop, evil = {"Origin": "https://shop.example"}, {"Origin": "https://evil.example"}

    async def visit(address: str) -> None:
        from tornado.httpclient import AsyncHTTPClient

        base = Web(address).base + "/v1/conversations"

        async def ask(method: str, url: str, headers: dict[str, str]) -> Any:
            body = "{}" if method == "POST" else None
            fetch = AsyncHTTPClient().fetch
            return await fetch(url, method=method, body=body, headers=headers, raise_error=False)

        for path in ("", "/x/turns", "/x"):
            answer = await ask("OPTIONS", base + path, shop)
            assert answer.code == 204 and "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert answer.headers["Access-Control-Allow-Origin"] == shop["Origin"]
        answer = await ask("POST", base, shop)
        assert answer.code == 401  # which the page may read
        assert answer.headers["Access-Control-Allow-Origin"] == shop["Origin"]
        answer = await ask("POST", base, {**shop, "Authorization": "Bearer open"})
        assert answer.code == 201 and json.loads(answer.body)["id"]
        for method in ("OPTIONS", "POST"):
            answer = await ask(method, base, {**evil, "Authorization": "Bearer open"})
            assert answer.code == 403 and "Access-Control-Allow-Origin" not in answer.headers

    chat(visit, allow_origin="https://shop.example", password="open")
