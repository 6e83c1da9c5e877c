"""
A service under users and faults: what honest users notice of it, and whether anything is lost.

Users chat by the page's protocol with ``-m deployed`` while, at random, the store is locked, is
moved away, the model hangs, another version is promoted, slow and resetting clients come, and the
process is killed and started again::

    python benchmarks/chaos.py --minutes 5 --out bench/chaos

At the end each reply that was acknowledged as kept is looked for in the store.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness import about, publish  # noqa: E402

from parlai_cu.versions.store import VersionStore  # noqa: E402
from tests.serving.service import Service  # noqa: E402

PATIENCE = 30.0  # s that a user waits for a reply before it counts as unanswered
FAULTS = {
    "locked": "store locked by another process for 2 to 8 s",
    "moved": "store moved away",
    "hang": "model hung for 30 s",
    "promotion": "another version promoted",
    "slow clients": "60 clients who never finish their request",
    "resets": "100 connections reset",
    "killed": "kill -9 and restart",
}
BASE = ROOT / "zoo" / "telecom" / "base" / "model"
MODEL = "benchmarks.marked_model:HeldModel"


class Figures:
    """What the users saw."""

    def __init__(self) -> None:
        self.asked = self.answered = self.apologies = self.unkept = 0
        self.silence = 0.0
        # (text, reply) of what was acknowledged as kept
        self.kept: list[str] = []


class User:
    """
    Somebody who chats, comes back when the connection is lost, and sends again what got no reply.

    :param port: of the service
    :param name: what their messages begin with
    """

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.token: str | None = None
        self._socket: Any = None

    async def chat(self, until: float, figures: Figures) -> None:
        """Say things until a time."""
        number = 0
        while time.monotonic() < until:
            number += 1
            text, began = f"{self.name} says {number}", time.monotonic()
            figures.asked += 1
            reply = await self._ask(text, f"{self.name}-{number}", began + PATIENCE)
            figures.silence = max(figures.silence, time.monotonic() - began)
            if reply is None:
                continue
            if reply["type"] == "error" or reply.get("failed"):
                figures.apologies += 1
                continue
            figures.answered += 1
            if reply.get("kept") is False:
                figures.unkept += 1
            else:
                figures.kept.append(text)
            await asyncio.sleep(random.uniform(0.2, 1.0))

    async def _ask(self, text: str, mid: str, until: float) -> dict[str, Any] | None:
        while time.monotonic() < until:
            try:
                if self._socket is None:
                    await self._connect()
                await self._socket.write_message(json.dumps({"text": text, "mid": mid}))
                while True:
                    heard = await self._hear(until)
                    if heard.get("mid") == mid:
                        return heard
            except Exception:  # the connection is gone, of which tornado has several kinds
                self._leave()
                await asyncio.sleep(0.2)
        return None

    async def _connect(self) -> None:
        from tornado.websocket import websocket_connect

        address = f"ws://127.0.0.1:{self.port}/websocket"
        self._socket = await asyncio.wait_for(websocket_connect(address), 10)
        hello = json.dumps({"type": "hello", "token": self.token})
        await self._socket.write_message(hello)
        heard = await self._hear(time.monotonic() + 15)
        if heard["type"] != "hello":
            raise EOFError
        self.token = heard.get("token", self.token)

    async def _hear(self, until: float) -> dict[str, Any]:
        left = max(0.1, until - time.monotonic())
        frame = await asyncio.wait_for(self._socket.read_message(), left)
        if frame is None:
            raise EOFError
        return dict(json.loads(frame))

    def _leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


async def _strike(fault: str, service: Service) -> None:
    """One fault, and its end."""
    database = service.folder / "conversations.db"
    if fault == "locked":
        other = sqlite3.connect(database, isolation_level=None, timeout=5)
        with contextlib.suppress(sqlite3.Error):
            other.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(random.uniform(2, 8))
        other.close()
    elif fault == "moved":
        os.replace(database, service.folder / f"moved-{time.monotonic_ns()}.db")
    elif fault == "hang":
        await _raw(service.port, f"wait for {service.folder}/never", 5.0)
    elif fault == "promotion":
        store = VersionStore(str(service.folder / "versions"))
        other = next(each.id for each in store.list() if each.id != store.channel("live"))
        store.promote(other, force=True)
    elif fault == "slow clients":
        await asyncio.gather(*(_slow(service.port) for _ in range(60)))
    elif fault == "resets":
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                writer.write(b"GET / HT")
                writer.transport.abort()
    elif fault == "killed":
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: service.stop(kill=True))
        await loop.run_in_executor(None, service.start)


async def _slow(port: int) -> None:
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        )
        await asyncio.wait_for(reader.read(), 40)
        writer.close()


async def _raw(port: int, text: str, seconds: float) -> None:
    """Somebody whose message holds the model for some seconds."""
    user = User(port, "hanger")
    await user._ask(text, "hang", time.monotonic() + seconds)
    user._leave()


async def _run(service: Service, users: int, minutes: float) -> dict[str, Any]:
    figures, struck, loads = Figures(), Counter[str](), []
    until = time.monotonic() + 60 * minutes
    chats = [
        asyncio.ensure_future(User(service.port, f"user {n}").chat(until, figures))
        for n in range(users)
    ]
    while time.monotonic() < until - 20:
        await asyncio.sleep(random.uniform(3, 8))
        fault = random.choice(list(FAULTS))
        struck[fault] += 1
        await _strike(fault, service)
        loads.append(os.getloadavg()[0])
    await asyncio.gather(*chats)
    await asyncio.sleep(3)
    service.stop()
    held: set[str] = set()
    for path in service.folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            with contextlib.suppress(sqlite3.Error):
                held.update(text for (text,) in database.execute("SELECT text FROM chat_turns"))
    return {
        "minutes": minutes,
        "users": users,
        "faults": dict(struck),
        "asked": figures.asked,
        "answered": figures.answered,
        "apologies": figures.apologies,
        "unkept": figures.unkept,
        "silence_s": round(figures.silence, 1),
        "lost": len([text for text in figures.kept if text not in held]),
        "load": round(statistics.mean(loads or [0.0]), 1),
    }


def _two_versions(folder: Path) -> None:
    """Versions of the shipped model, the first of them live."""
    place = folder / "model"
    place.mkdir()
    settings = json.loads(Path(f"{BASE}.opt").read_text())
    settings |= {"model": MODEL, "inference": "greedy", "beam_size": 1}
    for suffix in ("", ".dict", ".dict.codecs"):
        shutil.copy(f"{BASE}{suffix}", place / f"model{suffix}")
    store = VersionStore(str(folder / "versions"), create=True)
    for least in (1, 2):  # another content, and so another version
        (place / "model.opt").write_text(json.dumps({**settings, "beam_min_length": least}))
        store.add(str(place / "model"), mode="import")
    store.promote(store.list()[0].id, force=True)


def table(result: dict[str, Any]) -> str:
    """What honest users noticed."""
    run = result["run"]
    share = 100 * run["answered"] / run["asked"]
    told = 100 * run["apologies"] / run["asked"]
    rows = [
        ("messages of honest users", f"{run['asked']:,d}"),
        ("answered by the model", f"{run['answered']:,d} ({share:.1f} %)"),
        ("answered by an apology", f"{run['apologies']:,d} ({told:.1f} %)"),
        ("longest silence", f"{run['silence_s']:.1f} s"),
        ("replies whose user was told that they are not kept", f"{run['unkept']:,d}"),
        ("replies acknowledged as kept and lost", f"{run['lost']:,d}"),
        *((f"fault: {FAULTS[name]}", f"{n}") for name, n in sorted(run["faults"].items())),
    ]
    lines = [f"| {name} | {figure} |" for name, figure in rows]
    return "\n".join(
        [f"| {run['users']} users, {run['minutes']:.0f} minutes | |", "|---|--:|", *lines]
    )


def main() -> None:
    """Run it, and publish the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench/chaos"))
    given = parser.parse_args()
    random.seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    os.environ["PARLAI_CU_ALLOW"] = MODEL
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        _two_versions(folder)
        flags = ["--turn-seconds", "5", "--turns-per-second", "1000", "--turns-at-once", "1000"]
        model = {"model": "deployed", "versions": str(folder / "versions"), "no_cuda": True}
        service = Service(folder, model=model, flags=flags)
        service.start()
        try:
            run = asyncio.run(_run(service, given.users, given.minutes))
        finally:
            service.stop(kill=True)
    result = {"run": run, "about": about([given.seed])}
    publish(given.out, result, table(result))


if __name__ == "__main__":
    main()
