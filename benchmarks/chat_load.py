"""
Many users on a chat service's websocket: a load generator of its own process, only on loopback.

It is used by chat_service.py. The frames are written by hand: a library's client would use up the
core that is being measured.
"""

import asyncio
import json
import os
import signal
import struct
import sys
import time
from typing import Any

QUESTIONS = (
    "what plans do you have ?",
    "how do i reset my voicemail ?",
    "where is your nearest shop ?",
    "how long is the contract ?",
    "is there a fee for paying late ?",
    "what does the big plan cost ?",
    "can i use my phone in norway ?",
    "there is no signal in my street",
)
IN_THE_CHAT = "Chatbot demo"
# s without a word after which "begin" is said again: stock swallows it
RESEND = float(os.environ.get("CHAT_LOAD_RESEND", "2"))


class User:
    """
    One conversation.

    :param port: of the service, on loopback
    :param name: tells its turns from all others'
    """

    def __init__(self, port: int, name: int) -> None:
        self.port, self.name = port, name
        self.reader: Any = None
        self.writer: Any = None
        # of the model, as its answers tell it
        self.versions: list[str] = []

    async def connect(self) -> None:
        """Shake hands."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(
            b"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n" % self.port
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise ConnectionError(head.decode())

    def say(self, text: str) -> None:
        """Send a message."""
        self.frame(0x1, json.dumps({"text": text}).encode())

    def frame(self, opcode: int, content: bytes) -> None:
        """Send a frame; the mask is zeros, which leaves the content as it is."""
        size = len(content)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | (size if size < 126 else 126))
        if size >= 126:
            head += struct.pack("!H", size)
        self.writer.write(head + b"\0\0\0\0" + content)

    async def hear(self) -> str | None:
        """The text of the next message; None when the service has closed."""
        while True:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            content = await self.reader.readexactly(size)
            opcode = first & 0xF
            if opcode == 0x8:
                return None
            if opcode == 0x9:
                self.frame(0xA, content)
            elif opcode == 0x1:
                message = json.loads(content)
                version = message.get("version")
                if version is not None and version not in self.versions[-1:]:
                    self.versions.append(version)
                return str(message["text"])

    async def enter(self, patience: float) -> bool:
        """Into the chat, whether the service counts the first message or not."""
        try:
            return await asyncio.wait_for(self._enter(), patience)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return False

    async def begin_again(self, patience: float) -> bool:
        """From the overworld into the chat, on the same connection."""
        try:
            return await asyncio.wait_for(self._begin(), patience)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return False

    async def _enter(self) -> bool:
        await self.connect()
        return await self._begin()

    async def _begin(self) -> bool:
        self.say("begin")
        while True:
            try:
                heard = await asyncio.wait_for(self.hear(), RESEND)
            except TimeoutError:
                # stock has swallowed it, or lost its answer
                self.say("begin")
                continue
            if heard is None:
                return False
            if IN_THE_CHAT in heard:
                return True

    def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()


class Count:
    """What became of the turns."""

    def __init__(self) -> None:
        # when no more turns are begun
        self.until = float("inf")
        self.seconds: list[float] = []
        self.sent = self.wrong = self.late = self.notices = 0

    def stop(self) -> None:
        """Begin no more turns."""
        self.until = 0.0


async def talk(user: User, turns: int, patience: float, count: Count) -> None:
    """Take turns, the next on the answer to the last."""
    for turn in range(turns):
        mark = f"#{user.name}-{turn}"
        began = time.perf_counter()
        if began >= count.until:
            return
        count.sent += 1
        try:
            user.say(f"{QUESTIONS[(user.name + turn) % len(QUESTIONS)]} {mark}")
            heard = await asyncio.wait_for(user.hear(), patience)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            heard = None
        if heard is None:
            return  # nobody waits longer
        if heard.endswith(mark):
            count.seconds.append(time.perf_counter() - began)
        elif "#" in heard:
            # the mark of another user's turn, or of another turn of this one
            other = heard.rpartition("#")[2].partition("-")[0]
            count.wrong += other.isdigit() and other != str(user.name)
            count.late += not other.isdigit() or other == str(user.name)
        else:
            # an apology, or "this world closed": a patient user begins again
            count.notices += 1
            if not await user.begin_again(patience):
                return


async def load(port: int, users: int, lasting: float, patience: float, entering: float) -> Any:
    """
    Users who all talk at once.

    :param lasting: s in which they begin turns, unless SIGUSR1 ends it earlier
    :param patience: s for an answer
    :param entering: s for all to be let in
    """
    crowd = [User(port, name) for name in range(users)]
    count = Count()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, count.stop)
    began = time.perf_counter()
    entered = await asyncio.gather(*(user.enter(entering) for user in crowd))
    inside = [user for user, ok in zip(crowd, entered) if ok]
    entering = time.perf_counter() - began
    began = time.perf_counter()
    count.until = min(count.until, began + lasting)
    await asyncio.gather(*(talk(user, sys.maxsize, patience, count) for user in inside))
    seconds = time.perf_counter() - began
    for user in crowd:
        user.close()
    return {
        "users": users,
        "turns": count.sent,
        "entered": len(inside),
        "seconds_to_enter": round(entering, 3),
        "answered": len(count.seconds),
        "wrong": count.wrong,
        "late": count.late,
        "notices": count.notices,
        "version_changes": sum(max(0, len(user.versions) - 1) for user in crowd),
        "seconds": round(seconds, 3),
        "turns_per_second": round(len(count.seconds) / seconds, 1) if seconds else 0.0,
        "mean": round(1000 * sum(count.seconds) / max(1, len(count.seconds)), 2),
        **percentiles(count.seconds),
        "slowest": round(1000 * max(count.seconds, default=0.0), 2),
    }


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """p50, p95 and p99 in ms."""
    ranked = sorted(seconds)
    return {
        f"p{share}": round(1000 * ranked[min(len(ranked) - 1, len(ranked) * share // 100)], 2)
        if ranked
        else None
        for share in (50, 95, 99)
    }


async def come_and_go(port: int, conversations: int, at_once: int, turns: int) -> Any:
    """Conversations of some turns each, one after the other, some at once."""
    count, left = Count(), iter(range(conversations))

    async def one_after_the_other() -> None:
        for name in left:
            user = User(port, name)
            if await user.enter(60):
                await talk(user, turns, 60, count)
            user.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return {
        "turns": conversations * turns,
        "answered": len(count.seconds),
        "wrong": count.wrong,
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Arguments: load PORT USERS SECONDS PATIENCE ENTERING, or come_and_go PORT N AT_ONCE TURNS."""
    what, *numbers = sys.argv[1:]
    port, *rest = (int(number) for number in numbers)
    print(json.dumps(asyncio.run({"load": load, "come_and_go": come_and_go}[what](port, *rest))))


if __name__ == "__main__":
    main()
