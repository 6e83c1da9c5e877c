"""docs/many_machines.md: two replicas, one PostgreSQL, one versions directory, nginx in front."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Fact, Verdict
from parlai_cu.versions.store import VersionStore
from tests.knowledge import postgres
from tests.serving.service import ROOT, TOKEN, Service, ask, free_port

pytestmark = pytest.mark.slow
PATIENCE = 180.0  # s for anything to happen, on a machine that is busy with other things
# users who ask all the time from one address are faster than one address may be by default
UNLIMITED = ["--turns-per-second", "100000", "--turns-at-once", "100000"]
QUESTION, FACT = "how much is parking?", "Parking is free."


class User:
    """
    Somebody who chats, by the protocol of the page.

    :param port: of a replica, or of the proxy
    :param token: of a conversation to go on with
    """

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port, self.token = port, token
        self.history: list[dict[str, Any]] = []
        self._socket: Any = None

    async def enter(self) -> "User":
        """Connect, and hear the first message."""
        from tornado.httpclient import HTTPRequest
        from tornado.websocket import websocket_connect

        # as a browser does: the page's origin
        headers = {"Origin": f"http://127.0.0.1:{self.port}"}
        address = f"ws://127.0.0.1:{self.port}/websocket"
        self._socket = await websocket_connect(HTTPRequest(address, headers=headers))
        await self._send({"type": "hello", "token": self.token})
        self.token = (await self._hear("hello"))["token"]
        self.history = (await self._hear("history"))["history"]
        return self

    async def say(self, text: str) -> dict[str, Any]:
        """The reply to a message."""
        await self._send({"text": text})
        return await self._hear("message")

    async def gone(self) -> None:
        """Wait until the connection is lost."""
        while await asyncio.wait_for(self._socket.read_message(), PATIENCE) is not None:
            pass

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.write_message(json.dumps(message))

    async def _hear(self, kind: str) -> dict[str, Any]:
        while True:
            frame = await asyncio.wait_for(self._socket.read_message(), PATIENCE)
            assert frame is not None, f"closed, while waiting for {kind}"
            message: dict[str, Any] = json.loads(frame)
            # a refusal is all that there will be to hear
            assert message["type"] != "error", message
            if message["type"] == kind:
                return message

    def leave(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()


@contextlib.asynccontextmanager
async def entered(*ports: int) -> AsyncIterator[list[User]]:
    """A user at each of these ports, who leaves whatever happens."""
    users = [User(port) for port in ports]
    try:
        for user in users:
            await user.enter()
        yield users
    finally:
        for user in users:
            user.leave()


def connections(service: Service) -> int:
    """How many are open."""
    return int(ask(service, "operator/status")[1]["figures"]["connections"])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A PostgreSQL with one fact in it."""
    pytest.importorskip("sqlalchemy")
    uri = postgres.empty()
    with contextlib.closing(open_knowledge_base(uri, writable=True)) as base:
        base.add([Fact(FACT, id="parking")])
    yield uri


@pytest.fixture(scope="module")
def store(
    database: str, deployed: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> VersionStore:
    """Two versions of a model that answers by facts; the first is live."""
    from parlai.core.agents import create_agent
    from parlai.core.params import ParlaiParser

    folder = tmp_path_factory.mktemp("versions")
    made = VersionStore(str(folder / "store"), create=True, cache=str(folder / "cache"))
    parser = ParlaiParser(True, True)
    parser.set_defaults(interactive_mode=True, task="interactive")
    opt = parser.parse_kwargs(
        model="kb_augmented",
        init_model=deployed("transformer/generator"),
        kb=database,
        kb_gate="always",
        kb_integrate="answer",
        no_cuda=True,
    )
    agent = create_agent(opt)
    for number in range(2):
        with_noise = agent.model.decoder.layers[0].ffn.lin1.bias
        with_noise.data += number
        target = folder / f"m{number}" / "model"
        target.parent.mkdir()
        agent.save(str(target))
        made.add(str(target), mode="frozen_layer", verdict=Verdict("accept"))
    made.promote("v1")
    return made


@pytest.fixture(scope="module")
def replicas(
    store: VersionStore, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Service]]:
    """Two services that know nothing of each other."""
    model = {"model": "deployed", "versions": store.path, "no_cuda": True}
    flags = ["--admin-token", TOKEN, "--behind-proxy", *UNLIMITED]
    made = [
        Service(tmp_path_factory.mktemp(f"replica{n}"), model, flags, conversations=database)
        for n in range(2)
    ]
    try:
        for service in made:
            service.start()
        yield made
    finally:
        for service in made:
            service.stop()
        for number, service in enumerate(made):
            # pytest shows it where something failed
            print(f"replica {number}:\n{service.output()}")


def test_a_conversation_goes_on_elsewhere(replicas: list[Service], store: VersionStore) -> None:
    """What was said with one replica is known to the other; facts are everybody's."""

    async def main() -> None:
        async with entered(replicas[0].port) as (first,):
            reply = await first.say(QUESTION)
            assert reply["text"] == FACT and reply["knowledge"][0]["id"] == "parking"
            assert reply["version"] == store.get("v1").id
        second = User(replicas[1].port, first.token)
        try:
            await second.enter()
            assert [(one["text"], one["reply"]) for one in second.history] == [(QUESTION, FACT)]
            assert (await second.say(QUESTION))["turn"] == 2
        finally:
            second.leave()

    asyncio.run(main())


def test_facts_change_for_all(replicas: list[Service], database: str) -> None:
    """A fact that is changed is in force for the next turn, on every replica."""

    async def main() -> None:
        async with entered(*(service.port for service in replicas)) as users:
            with contextlib.closing(open_knowledge_base(database, writable=True)) as base:
                for text in ("Parking costs 9 euros.", FACT):
                    base.update(Fact(text, id="parking"))
                    assert [(await user.say(QUESTION))["text"] for user in users] == [text, text]

    asyncio.run(main())


def test_a_promotion_reaches_all(replicas: list[Service], store: VersionStore) -> None:
    """While both are asked all the time: every turn is answered, soon all by the new version."""
    first, second = store.get("v1").id, store.get("v2").id

    async def until(users: list[User], version: str) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            replies = await asyncio.gather(*(user.say(QUESTION) for user in users))
            assert all(reply["text"] == FACT for reply in replies)
            if {reply["version"] for reply in replies} == {version}:
                return
        raise AssertionError(f"not all replicas serve {version}")

    async def main() -> None:
        ports = [service.port for service in replicas for _ in range(2)]
        async with entered(*ports) as users:
            await until(users, first)
            store.promote("v2")
            await until(users, second)
            # back again, by the operator of one of them
            loop = asyncio.get_running_loop()
            wanted = {"expected": second, "why": "a test"}
            status, told = await loop.run_in_executor(
                None, lambda: ask(replicas[1], "operator/rollback", body=wanted)
            )
            assert status == 200 and told["rolled_back"]["id"] == first
            await until(users, first)

    asyncio.run(main())


def block(language: str) -> str:
    """The example of a language in docs/many_machines.md."""
    page = (ROOT / "docs" / "many_machines.md").read_text()
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def proxy(replicas: list[Service], tmp_path: Path) -> Iterator[int]:
    """The port of nginx with the documented configuration, without TLS."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    port, example = free_port(), block("nginx")
    example = re.sub(r"^ *ssl_certificate.*\n", "", example, flags=re.MULTILINE)
    example = example.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    for number, service in enumerate(replicas):
        example = example.replace(f"10.0.0.1{number + 1}:35496", f"127.0.0.1:{service.port}")
    assert "10.0.0" not in example and "ssl" not in example
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{example}}}\n"
    )
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (tmp_path / "error.log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_behind_nginx(proxy: int, replicas: list[Service]) -> None:
    """The documented proxy: the page, a chat; when its replica dies it goes on with the other."""

    async def main() -> None:
        end = time.monotonic() + PATIENCE
        while any(map(connections, replicas)) and time.monotonic() < end:
            await asyncio.sleep(0.05)  # those who left before are leaving still
        async with entered(proxy) as (user,):
            assert (await user.say(QUESTION))["text"] == FACT
            held = [connections(service) for service in replicas]
            assert sorted(held) == [0, 1]
            replicas[held.index(1)].stop(kill=True)
            await user.gone()
        again = User(proxy, user.token)
        try:
            await again.enter()
            assert [one["reply"] for one in again.history] == [FACT]
            assert (await again.say(QUESTION))["turn"] == 2
        finally:
            again.leave()

    asyncio.run(main())


def test_the_unit(tmp_path: Path) -> None:
    """systemd understands the documented unit."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "parlai-serve@35496.service"
    unit.write_text(block("systemd").replace("/opt/parlai/bin/parlai", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr
