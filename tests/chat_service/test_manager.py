"""parlai_cu/chat_service: ParlAI's own worlds, many users, and what each is told."""

import asyncio
from pathlib import Path

import pytest

from tests.chat_service import Client, config, listening, service


def test_chatbot(tmp_path: Path) -> None:
    """ParlAI's chatbot: the first message counts; turns sent at once are answered in order."""

    async def main() -> None:
        async with listening(service(tmp_path, config())) as address:
            user = await (await Client.at(address)).enter()
            assert await user.say("hello") == "hello"
            for number in range(6):
                await user.send({"text": f"at once {number}", "mid": str(number)})
            heard = [await user.hear() for _ in range(6)]
            assert [each["text"] for each in heard] == [f"at once {n}" for n in range(6)]
            assert [each["mid"] for each in heard] == [str(n) for n in range(6)]
            assert "Welcome to the overworld" in await user.say("[DONE]")
            assert await user.say("exit") == "See you later!"
            assert "Welcome to the overworld" in await user.say("hi")

    asyncio.run(main())


@pytest.mark.parametrize("users", [32])
def test_many_users(tmp_path: Path, users: int) -> None:
    """Each of many users is answered each of his turns, and nobody else's."""

    async def converse(address: str, name: int) -> None:
        user = await (await Client.at(address)).enter()
        for turn in range(5):
            said = f"user {name} turn {turn}"
            assert await user.say(said) == said
        user.close()

    async def main() -> None:
        async with listening(service(tmp_path, config())) as address:
            await asyncio.gather(*(converse(address, name) for name in range(users)))

    asyncio.run(main())
