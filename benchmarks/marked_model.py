"""A model whose every answer ends with the mark of the message that it answers."""

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
