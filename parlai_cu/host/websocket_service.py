"""
ParlAI's chat service on websockets loses turns, wedges, and gives each conversation a thread.

Seen with tornado from 5 on (2018): ``write_message`` from worker threads, which tornado does not
allow, so that 11 to 46 % of turns were answered; a new event loop, three file descriptors, for each
message; 0.3 s of sleep in each turn; a worker kept for ever by each tab that was closed, until
nobody is let in; a manager loop that ends for good once somebody waits 30 s
(``parlai/chat_service/services/websocket/websocket_manager.py`` and what it uses).

Here our manager takes the place of ``WebsocketManager``: for ``python -m
parlai.chat_service.services.websocket.run``, and for the terminal and browser services, which
derive from it.
"""

from types import ModuleType
from typing import Any


def after(module: ModuleType) -> None:
    """Put our manager in the place of ParlAI's, and its flags beside ParlAI's."""
    from parlai.core.params import ParlaiParser

    from parlai_cu.chat_service import flags
    from parlai_cu.chat_service.manager import ServiceManager

    watched: Any = module
    watched.StockWebsocketManager = watched.WebsocketManager
    watched.WebsocketManager = ServiceManager
    stock = ParlaiParser.add_websockets_args

    def add_websockets_args(self: Any) -> None:
        stock(self)
        flags.add(self)

    add_websockets_args.__doc__ = stock.__doc__
    add_websockets_args.with_serving = True  # type: ignore[attr-defined]
    ParlaiParser.add_websockets_args = add_websockets_args
