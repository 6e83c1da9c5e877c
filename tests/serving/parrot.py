"""A model for tests of the service: repeats, says where it has it from, fails when told to."""

import time
from pathlib import Path
from typing import Any

from parlai.core.agents import Agent
from parlai.core.message import Message

from parlai_cu.versions.store import VersionStore


class ParrotAgent(Agent):
    """``-m tests.serving.parrot:ParrotAgent``"""

    version = "v1-parrot"

    def __init__(self, opt: Any, shared: dict[str, Any] | None = None) -> None:
        super().__init__(opt, shared)
        self.heard: list[str] = []

    def observe(self, observation: Any) -> Any:
        """Remember what was said."""
        self.heard.append(str(observation["text"]))
        return super().observe(Message({**observation, "count": len(self.heard)}))

    def self_observe(self, reply: Any) -> None:
        """Its own replies are no news."""

    def reset(self) -> None:
        """Forget."""
        super().reset()
        self.heard.clear()

    def act(self) -> Message:
        """The reply to what was said last."""
        return self.batch_act([self.observation])[0]

    def batch_act(self, observations: list[Any]) -> list[Message]:
        """Replies to several conversations' turns."""
        return [self._reply(str(seen["text"]), seen["count"]) for seen in observations]

    def _reply(self, text: str, count: int) -> Message:
        if text == "fail":
            raise RuntimeError("was told to")
        if text.startswith("wait for "):
            awaited, until = Path(text[len("wait for ") :]), time.monotonic() + 30
            while not awaited.exists() and time.monotonic() < until:
                time.sleep(0.02)
        if text == "how much did I say?":
            text = f"{count} messages"
        reply = {"id": "Parrot", "text": f"You said: {text}", "episode_done": False}
        if "price" in text:
            fact = {"id": "price-list", "text": "All plans cost 5 euros.", "source": "facts.db"}
            reply["knowledge"] = [fact]
        return Message(reply)


class VersionedParrotAgent(ParrotAgent):
    """A parrot that says which version of a directory it would be (``versions`` of its opt)."""

    channel = "live"

    def __init__(self, opt: Any, shared: dict[str, Any] | None = None) -> None:
        super().__init__(opt, shared)
        self.store = VersionStore(opt["versions"])

    @property
    def version(self) -> str | None:  # type: ignore[override]
        """What the channel serves now."""
        return self.store.channel(self.channel)

    def _reply(self, text: str, count: int) -> Message:
        reply = super()._reply(text, count)
        reply["version"] = self.version
        return reply
