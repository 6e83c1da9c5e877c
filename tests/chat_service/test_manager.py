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


@pytest.mark.parametrize("anew", [True, False])
def test_a_subclass_that_makes_the_application(tmp_path: Path, anew: bool) -> None:
    """As over ParlAI's manager: its pages are served, beside the chat."""
    import tornado.web
    from parlai.chat_service.services.websocket.websocket_manager import MessageSocketHandler
    from tornado.httpclient import AsyncHTTPClient

    class Page(tornado.web.RequestHandler):
        def get(self) -> None:
            self.write("a page of mine: " + self.settings.get("mine", "?"))

    made = service(tmp_path, config())

    class Subclass(type(made)):  # type: ignore[misc]
        def _make_app(self) -> tornado.web.Application:
            if not anew:
                app = super()._make_app()
                app.add_handlers(".*", [(r"/mine", Page)])
                app.settings["mine"] = "yes"
                return app
            callback = {"subs": self.subs, "message_callback": self._on_new_message}
            rules = [(r"/websocket", MessageSocketHandler, callback), (r"/mine", Page)]
            return tornado.web.Application(rules, mine="yes", debug=self.debug)

    made.__class__ = Subclass

    async def main() -> None:
        async with listening(made) as address:
            user = await (await Client.at(address)).enter()
            assert await user.say("hello") == "hello"
            http = address.replace("ws", "http", 1).removesuffix("/websocket")
            got = await AsyncHTTPClient().fetch(f"{http}/mine")
            assert got.body == b"a page of mine: yes"
            assert (await AsyncHTTPClient().fetch(f"{http}/")).code == 200

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
