"""What the shell, the HTTP API and the operator's page are parts of."""

from typing import Any, Protocol

from parlai_cu.serving.gateway import Gateway
from parlai_cu.serving.metrics import Metrics
from parlai_cu.serving.settings import ListenSettings
from parlai_cu.serving.waiting_room import WaitingRoom


class ChatService(Protocol):
    """A chat service, as those see it who speak for it on the web."""

    gateway: Gateway
    metrics: Metrics
    settings: ListenSettings
    waiting_room: WaitingRoom
    models: dict[str, Any]

    def ready(self) -> bool:
        """Whether conversations can begin."""

    def status(self) -> dict[str, Any]:
        """Live figures for the operator."""

    def web_handlers(self) -> list[Any]:
        """tornado rules beside our own."""
