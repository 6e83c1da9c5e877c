"""
Importing ParlAI's chat_service makes a log file in the folder one happens to be in.

Seen on ParlAI 1.7.2: a file ``1732460000.123.log`` for each start of a service, with all that users
said and the password in clear (``parlai/chat_service/utils/logging.py``, line 26).
Goes when: never; ParlAI is archived.

Here the file is not made. Logging is left as the service's own settings have it.
"""

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "importing chat_service would make a log file with all that users say"


def before(name: str) -> Callable[[], None]:
    """Let the module's ``basicConfig`` do nothing."""
    stock = logging.basicConfig

    def nothing(**options: Any) -> None:
        pass

    logging.basicConfig = nothing

    def give_back() -> None:
        logging.basicConfig = stock

    return give_back


def after(module: ModuleType) -> None:
    """Do not print every message either."""
    module.set_is_debug(False)
