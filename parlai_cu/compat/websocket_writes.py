"""
ParlAI's chat_service writes to its sockets from worker threads; tornado is not thread-safe.

Seen since tornado 5 (2018; tried with 6.6): of the turns sent at 1 to 64 users 11 to 46 %
were answered. The rest were lost or doubled, or the socket closed (1006), with AssertionError
in iostream.py ``advance``, ``BufferError: Existing exports of data`` and WebSocketClosedError
in the log. Each message also left an event loop open, three file descriptors, until the
process had none left (``parlai/chat_service/services/websocket/websocket_manager.py``, lines
236 and 262).
Goes when: never; ParlAI is archived.

Here the IOLoop's own thread writes; the worker hands the message over and goes on. Messages
of one worker keep their order. A message to a user who has just left is dropped, as it was.
"""

import json
import logging
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Optional


def needed() -> Optional[str]:
    """Why the repair is active."""
    return "chat_service writes to websockets from worker threads, which tornado does not allow"


def after(module: ModuleType) -> None:
    """Let ``WebsocketManager`` hand its messages to the IOLoop."""
    from tornado.ioloop import IOLoop

    manager: Any = module.WebsocketManager
    stock_make_app = manager._make_app

    def _make_app(self: Any) -> Any:
        # called once, by the thread that then runs the loop
        self.io_loop, self.io_thread = IOLoop.current(), threading.get_ident()
        return stock_make_app(self)

    def observe_message(
        self: Any, socket_id: Any, message: str, quick_replies: Optional[Iterable[str]] = None
    ) -> None:
        _send(self, socket_id, {"text": message, "quick_replies": _listed(quick_replies)})

    def observe_payload(
        self: Any, socket_id: Any, payload: Any, quick_replies: Optional[Iterable[str]] = None
    ) -> None:
        content = {"text": "", "payload": payload, "quick_replies": _listed(quick_replies)}
        _send(self, socket_id, content)

    observe_message.__doc__ = manager.observe_message.__doc__
    observe_payload.__doc__ = manager.observe_payload.__doc__
    manager._make_app = _make_app
    manager.observe_message = observe_message
    manager.observe_payload = observe_payload


def _listed(quick_replies: Optional[Iterable[str]]) -> Any:
    return list(quick_replies) if quick_replies is not None else None


def _send(manager: Any, socket_id: Any, content: dict[str, Any]) -> None:
    """Hand ``content`` to the IOLoop; may be called from any thread, the loop's too."""
    message = json.dumps(content)
    if socket_id not in manager.subs:
        manager.agent_id_to_overworld_future[socket_id].cancel()
        return
    if threading.get_ident() == manager.io_thread and not _is_running(manager.io_loop):
        # the loop was stopped (Ctrl-C), and users are told that the service goes offline
        manager.io_loop.run_sync(lambda: _write(manager.subs, socket_id, message))
    else:
        manager.io_loop.add_callback(_write, manager.subs, socket_id, message)


def _is_running(io_loop: Any) -> bool:
    return bool(io_loop.asyncio_loop.is_running())


async def _write(subs: dict[Any, Any], socket_id: Any, message: str) -> None:
    from tornado.websocket import WebSocketClosedError

    handler = subs.get(socket_id)
    try:
        if handler is not None:
            await handler.write_message(message)
    except WebSocketClosedError:
        logging.info(f"a message to {socket_id} was dropped: the socket is closed")
