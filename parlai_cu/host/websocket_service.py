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

from typing import Any

from parlai_cu.host import Stock, instead_of


def after(module: Any) -> None:
    """Put our manager in the place of ParlAI's."""
    if hasattr(module, "WebsocketManager"):
        from parlai_cu.chat_service.manager import ServiceManager

        module.WebsocketManager = ServiceManager


@instead_of("parlai.core.params:ParlaiParser.add_websockets_args")
def _add_websockets_args(stock: Stock, self: Any) -> None:
    from parlai_cu.chat_service import flags

    stock(self)
    flags.add(self)
