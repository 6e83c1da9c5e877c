"""ShareGPT: records with ``conversations`` of ``from`` and ``value``."""

from parlai_cu.data.readers.openai import OpenAIMessages


class ShareGPT(OpenAIMessages):
    """Read as OpenAI's messages are, under its own names."""

    title = "ShareGPT conversations"
    names = ("from",)
