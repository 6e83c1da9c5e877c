"""
websocket-client 1.0 (2021) gives ``on_close`` two arguments more: the code and the reason.

Seen: ParlAI's terminal and browser chat clients end with ``on_close() takes 1 positional argument
but 3 were given`` in place of "Connection closed", and the terminal keeps the colours of the chat
(``parlai/chat_service/services/terminal_chat/client.py``, line 66; ``browser_chat/client.py``,
line 125).
Goes when: never; ParlAI is archived.
"""

import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active, or None."""
    try:
        version = importlib.metadata.version("websocket-client")
    except importlib.metadata.PackageNotFoundError:
        return None
    if version.startswith("0."):
        return None
    return f"websocket-client {version} tells on_close more than ParlAI's chat clients take"


def after(module: ModuleType) -> None:
    """Let callbacks that take the connection alone be given the connection alone."""
    app: Any = getattr(module, "WebSocketApp", None)
    if app is None:
        return  # another package of that name
    stock = app.__init__

    @functools.wraps(stock)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, *args, **kwargs)
        if self.on_close is not None and _takes_one(self.on_close):
            close = self.on_close
            self.on_close = lambda connection, *told: close(connection)

    app.__init__ = init


def _takes_one(function: Callable[..., Any]) -> bool:
    kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    return kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD]
