"""
ParlAI's chatbot world prints every message.

Seen on ParlAI 1.7.2: all that users and model say on standard output, and so in the journal
(``parlai/chat_service/tasks/chatbot/worlds.py``, lines 77 to 84).
Goes when: never; ParlAI is archived.

Here it is shown only with ``--log-text``.
"""

from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI's chatbot world prints all that users say"


def after(module: ModuleType) -> None:
    """Give the module a ``print`` of its own."""

    def told(*values: Any, **options: Any) -> None:
        from parlai_cu.serving.logs import Texts

        if Texts.shown:
            print(*values, **options)

    module.print = told
