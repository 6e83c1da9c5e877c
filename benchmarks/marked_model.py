"""Models of the benchmarks: one whose answers are marked, one that a message can hold up."""

import time
from pathlib import Path
from typing import Any

from parlai.agents.transformer.transformer import TransformerGeneratorAgent


class MarkedModel(TransformerGeneratorAgent):
    """ParlAI's transformer; ``#...`` at the end of what it is told ends its answer as well."""

    def batch_act(self, observations: list[Any]) -> list[Any]:
        """As the base does it, marked."""
        replies = super().batch_act(observations)
        for observation, reply in zip(observations, replies):
            if "text" in reply and observation:
                mark = str(observation["text"]).rpartition("#")[2]
                reply.force_set("text", f"{reply['text']} #{mark}")
        return replies


class HeldModel(TransformerGeneratorAgent):
    """ParlAI's transformer, which ``wait for FILE`` holds until the file is there, or for 30 s."""

    def batch_act(self, observations: list[Any]) -> list[Any]:
        """As the base does it, a while later."""
        for observation in observations:
            text = str((observation or {}).get("text", "")).rpartition("\n")[2]
            if text.startswith("wait for "):
                awaited, until = Path(text[len("wait for ") :]), time.monotonic() + 30
                while not awaited.exists() and time.monotonic() < until:
                    time.sleep(0.02)
        return list(super().batch_act(observations))
