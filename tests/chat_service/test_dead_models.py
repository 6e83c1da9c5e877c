"""A model that ends its thread, or holds it: users are told, the next turn is answered."""

from typing import Any

import pytest

from tests.chat_service import Client
from tests.chat_service.agents import OPEN, Echo
from tests.chat_service.test_shell import Web


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_model_that_ends_its_thread(
    chat: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apology, no silence; the same user's next turn is answered, and it is ready."""
    real = Echo.batch_act

    def batch_act(self: Echo, observations: list[Any]) -> list[Any]:
        if any(seen["text"] == "exit now" for seen in observations):
            raise error
        return real(self, observations)

    monkeypatch.setattr(Echo, "batch_act", batch_act)

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        assert "could not be answered" in await user.say("exit now")
        assert (await user.say("hello")).startswith("hello")
        assert (await Web(address).ask("GET", "/ready"))[0] == 200

    chat(visit)


def test_a_model_that_hangs(chat: Any) -> None:
    """Who waits is told; it is not ready while it hangs; another thread answers afterwards."""

    async def visit(address: str) -> None:
        http = Web(address)
        user = await (await Client.at(address)).enter()
        other = await (await Client.at(address)).enter()
        OPEN.clear()
        try:
            for _ in range(3):
                assert "could not be answered" in await user.say("hang")
            assert (await http.ask("GET", "/ready"))[0] == 503
            assert (await http.ask("GET", "/health"))[0] == 200
        finally:
            OPEN.set()
        assert (await other.say("hello")).startswith("hello")

        async def ready() -> bool:
            return bool((await http.ask("GET", "/ready"))[0] == 200)

        for _ in range(600):
            if await ready():
                break
        else:
            raise AssertionError("never ready again")
        _, text = await http.ask("GET", "/metrics")
        assert 'parlai_cu_failed_total{what="model_thread"}' in text

    chat(visit, turn_seconds=0.3)


def test_a_model_that_hangs_is_noticed(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before its turns are given up, /ready says so."""
    monkeypatch.setattr("parlai_cu.serving.batcher._STALLED", 0.1)

    async def visit(address: str) -> None:
        user = await (await Client.at(address)).enter()
        http = Web(address)
        OPEN.clear()
        try:
            await user.send({"text": "hang"})
            status = [200]

            async def look() -> None:
                status[0] = (await http.ask("GET", "/ready"))[0]

            for _ in range(600):
                await look()
                if status[0] == 503:
                    break
            assert status[0] == 503
        finally:
            OPEN.set()
        assert (await user.hear())["text"].startswith("hang")

    chat(visit)
