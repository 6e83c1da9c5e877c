"""ParlAI's own worlds, unchanged: those that poll inside parley() too, and for two users."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import Client, config, listening, service, until
from tests.chat_service.worlds import Ended

DEMO = "parlai.chat_service.tasks.overworld_demo.worlds"
QA = "parlai.chat_service.tasks.qa_data_collection.worlds"
WORLDS = "tests.chat_service.worlds"
ECHO = {"echo": {"model": "tests.chat_service.agents:Echo"}}


def serve(manager: Any, visit: Callable[[str], Awaitable[None]]) -> None:
    """Let users visit a service."""

    async def main() -> None:
        async with listening(manager) as address:
            await visit(address)

    asyncio.run(main())


def demo_tasks() -> dict[str, Any]:
    """As ParlAI's overworld demo is configured."""
    return {
        "echo": {
            "onboard_world": "MessengerEchoOnboardWorld",
            "task_world": "MessengerEchoTaskWorld",
        },
        "onboard data": {
            "onboard_world": "MessengerOnboardDataOnboardWorld",
            "task_world": "MessengerOnboardDataTaskWorld",
        },
        "chat": {
            "onboard_world": "MessengerChatOnboardWorld",
            "task_world": "MessengerChatTaskWorld",
            "agents_required": 2,
        },
    }


@pytest.fixture
def demo(tmp_path: Path) -> Any:
    """A service with ParlAI's overworld demo."""
    return service(tmp_path, config(DEMO, "MessengerOverworld", demo_tasks()))


def test_echo(demo: Any) -> None:
    """The overworld's quick replies lead to it, and [DONE] back."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"text": "echo"})
        welcome = await user.hear()
        assert welcome["quick_replies"] == ["echo", "onboard data", "chat", "EXIT"]
        assert (await user.hear())["text"] == "Transferring to echo"
        assert "Welcome to the onboarding world for our echo bot" in (await user.hear())["text"]
        assert await user.say("hello") == "hello"
        assert "Choose one of the demos" in await user.say("[DONE]")

    serve(demo, visit)


def test_onboarding_that_polls(demo: Any) -> None:
    """`while a is None: a = agent.act()` waits; its data reaches the task's world."""

    async def visit(address: str) -> None:
        user = await Client.at(address)
        for text in ("onboard data", "Ada"):
            await user.send({"text": text})
        heard = [(await user.hear())["text"] for _ in range(4)]
        assert "Enter your name" in heard[2] and "Enter your favorite color" in heard[3]
        assert "your name was Ada and your favorite color was red" in await user.say("red")

    serve(demo, visit)


def test_two_users(demo: Any) -> None:
    """They are paired, hear each other and nobody else; who is left is told."""

    async def visit(address: str) -> None:
        users = []
        for number in range(4):
            user = await Client.at(address)
            for text in ("chat", f"name {number}"):
                await user.send({"text": text})
            heard = [(await user.hear())["text"] for _ in range(4)]
            assert "You will be matched with a random person" in heard[3]
            users.append(user)
        await until(
            lambda: len(demo.lifecycle._lives) == 4 and not demo.lifecycle.pools["chat"], "paired"
        )
        for number, user in enumerate(users):
            await user.send({"text": f"I am {number}"})
        for number, user in enumerate(users):
            assert (await user.hear())["text"] == f"I am {number ^ 1}"
        users[0].close()
        assert "The other person has left" in (await users[1].hear())["text"]
        assert "Choose one of the demos" in (await users[1].hear())["text"]
        assert await users[2].say("[DONE]")  # the overworld's welcome
        assert (await users[3].hear())["text"] == "The other agent has ended the chat."

    serve(demo, visit)


class Squad:
    """In place of the teacher, whose data is not here."""

    def act(self) -> Any:
        """A context and a question."""
        return {"text": "The sky is blue.\nWhat colour is the sky?"}

    def shutdown(self) -> None:
        """Nothing to do."""


def test_collecting_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qa_data_collection, whose parley() waits for the user; many at once without a thread each."""
    import threading

    from parlai.chat_service.tasks.qa_data_collection import worlds

    monkeypatch.setattr(worlds, "get_task", lambda opt: Squad())
    task = {
        "onboard_world": "QADataCollectionOnboardWorld",
        "task_world": "QADataCollectionTaskWorld",
    }
    written = config(QA, "QADataCollectionOverWorld", {"default": task})

    async def answer(address: str, together: Callable[[], Awaitable[None]]) -> None:
        user = await Client.at(address)
        await user.send({"type": "hello"})
        await user.hear()
        assert "Please provide a question given this context" in (await user.hear())["text"]
        await together()  # all wait inside parley() now
        assert "what is the answer to your question" in await user.say("why?")
        assert "Please provide a question" in await user.say("because")

    async def visit(address: str) -> None:
        everybody, inside = 30, asyncio.Event()
        arrived = []

        async def together() -> None:
            arrived.append(1)
            if len(arrived) == everybody:
                worlds_threads = [t for t in threading.enumerate() if t.name.startswith("worlds")]
                assert len(worlds_threads) <= 8  # those of earlier tests may still end
                inside.set()
            await inside.wait()

        await asyncio.gather(*(answer(address, together) for _ in range(everybody)))

    serve(service(tmp_path, written), visit)


def test_worlds_that_fail(tmp_path: Path) -> None:
    """At a turn: an apology. Before any: told, and after the second time the conversation ends."""
    broken = config(WORLDS, "Straight", {"default": {"task_world": "Broken"}})
    manager = service(tmp_path, broken)

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "this world closed" in await user.say("hi")
        told = await user.hear()
        assert told["code"] == "failed"
        await until(lambda: not manager.messenger_agent_states, "ended")
        assert "this world closed" in await user.say("hi again")

    serve(manager, visit)


def test_worlds_are_shut_down(tmp_path: Path) -> None:
    """Also where the user goes in the middle."""
    Ended.worlds.clear()
    manager = service(tmp_path, config(WORLDS, "Straight", {"default": {"task_world": "Choosing"}}))

    async def visit(address: str) -> None:
        user = await Client.at(address)
        assert "tea or coffee" in await user.say("tea")
        user.close()
        await until(lambda: Ended.worlds == ["Choosing"], "shut down")

    serve(manager, visit)


def test_ratings_and_taking_up_again(tmp_path: Path) -> None:
    """A world that accepts them is given both; the conversation is the same one."""
    manager = service(tmp_path, config(WORLDS, "Straight", {"default": {"task_world": "Rated"}}))

    async def visit(address: str) -> None:
        user = await Client.at(address)
        await user.send({"type": "hello"})
        token = (await user.hear())["token"]
        assert await user.say("hello") == "hello"
        await user.send({"type": "rating", "turn": 1, "rating": "up"})
        assert (await user.hear())["text"] == "rating up"
        user.close()
        await until(lambda: not manager.gateway.clients(), "gone")
        back = await Client.at(address)
        await back.send({"type": "hello", "token": token})
        assert (await back.hear())["resumed"] is True
        assert (await back.hear())["text"] == "resumed"
        assert len(manager.messenger_agent_states) == 1

    serve(manager, visit)


@pytest.mark.slow
def test_a_transformer(tmp_path: Path, deployed: Callable[[str], str]) -> None:
    """A real model: many users at once, and talk longer than its positions."""
    opt = json.loads(Path(deployed("transformer/generator") + ".opt").read_text())
    assert opt["n_positions"] < 200
    model = {
        "model_file": deployed("transformer/generator"),
        "override": {"text_truncate": -1, "truncate": -1, "history_size": -1},
    }
    manager = service(tmp_path, config(), {"tiny": model}, max_batch=8)

    async def converse(address: str) -> None:
        user = await (await Client.at(address)).enter()
        for _ in range(5):
            await user.send({"text": "hello there how are you " * 10})
            told = await user.hear()
            assert told["type"] == "message" and "failed" not in told
        user.close()

    async def visit(address: str) -> None:
        await asyncio.gather(*(converse(address) for _ in range(6)))

    serve(manager, visit)
    values = manager.metrics.text().decode().splitlines()
    turns = next(line for line in values if line.startswith("parlai_cu_batch_turns_sum"))
    assert turns.endswith(" 30.0")


def test_flat(tmp_path: Path) -> None:
    """After some hundred conversations no descriptor and no memory to speak of is in use more."""
    import gc
    import os

    manager = service(tmp_path, config(), ECHO)

    def objects() -> Counter[type]:
        gc.collect()
        kinds = (type(each) for each in gc.get_objects())
        return Counter(kind for kind in kinds if "parlai_cu" in str(kind.__module__))

    async def some(address: str, count: int) -> None:
        for _ in range(count):
            user = await (await Client.at(address)).enter()
            assert await user.say("hello") == "hello (1)"
            user.close()
        await until(lambda: not manager.messenger_agent_states, "forgotten")
        await until(lambda: not manager.gateway.clients(), "gone")

    async def visit(address: str) -> None:
        await some(address, 20)
        before, files = objects(), len(os.listdir("/proc/self/fd"))
        await some(address, 200)
        # what is left behind once a conversation; other tests' threads make some objects, but few
        grown = {kind: count for kind, count in (objects() - before).items() if count >= 100}
        assert not grown
        # ParlAI's Opt notes each copy
        for opt in (manager.opt, manager.runner_opt, manager.models["echo"].opt):
            assert len(getattr(opt, "deepcopies", ())) < 20
        assert len(os.listdir("/proc/self/fd")) <= files + 1

    serve(manager, visit)
