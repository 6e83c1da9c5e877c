"""Services that the tests of this folder talk with."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service import ECHO, config, serve, service
from tests.serving.conftest import asyncio_debug  # noqa: F401  (what serves is tested in it)


@pytest.fixture
def chat(tmp_path: Path) -> Any:
    """``chat(visit, **flags)``: users visit a service with ParlAI's chatbot over an echo."""

    def run(visit: Callable[[str], Awaitable[None]], **flags: Any) -> Any:
        workers = flags.pop("max_workers", 100)
        models = flags.pop("models", ECHO)
        manager = service(tmp_path, config(max_workers=workers), models, **flags)
        serve(manager, visit)
        return manager

    return run
