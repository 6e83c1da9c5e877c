"""Small agents for a service: they answer in batches, at once or when they are told to."""

import threading
from typing import Any

from parlai.core.agents import Agent

# set: answers are given; cleared by a test that wants turns to be under way
OPEN = threading.Event()
OPEN.set()


class Echo(Agent):  # type: ignore[misc]
    """Says what it is told, with how many turns it remembers; fails at `crash`."""

    batches: list[int] = []

    def __init__(self, opt: Any, shared: dict[str, Any] | None = None) -> None:
        super().__init__(opt, shared)
        self.id = "Echo"
        self.history = History()

    def observe(self, observation: Any) -> Any:
        """Remember it."""
        if "unreadable" in observation["text"]:
            raise ValueError(f"cannot read {observation['text']}")
        self.history.lines.append(observation["text"])
        self.observation = observation
        return {**observation, "remembered": len(self.history.lines)}

    def batch_act(self, observations: list[Any]) -> list[Any]:
        """An answer to each; none to any if one is bad."""
        Echo.batches.append(len(observations))
        OPEN.wait(30)
        if any("crash" in observation["text"] for observation in observations):
            raise RuntimeError(f"cannot answer {observations[0]['text']}")
        return [
            {"id": self.id, "text": f"{each['text']} ({each['remembered']})", "episode_done": False}
            for each in observations
        ]

    def self_observe(self, reply: Any) -> None:
        """Remember the answer too."""
        self.history.lines.append(reply["text"])

    def act(self) -> Any:
        """Alone."""
        return self.batch_act([{**self.observation, "remembered": len(self.history.lines)}])[0]

    def reset(self) -> None:
        """Forget all."""
        self.history.lines = []


class History:
    """As ParlAI's: an object with lists."""

    def __init__(self) -> None:
        self.lines: list[str] = []
