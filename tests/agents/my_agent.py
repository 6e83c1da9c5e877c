"""A user's own agent, named as module:Class."""

from parlai.agents.transformer.transformer import TransformerGeneratorAgent


class MyAgent(TransformerGeneratorAgent):
    """Something a user wrote."""
