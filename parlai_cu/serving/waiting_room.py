"""Where the IOLoop has others wait for it: what may take long is done on threads, and bounded."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from parlai_cu.errors import ParlaiCuError
from parlai_cu.serving import logs

T = TypeVar("T")
# s after which nobody waits any more; calls at once
PATIENCE, MOST = 8.0, 64


class WaitingRoom:
    """
    Runs functions for the IOLoop, which never waits for them itself.

    :param patience: s after which an answer counts as none
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._places = threading.Semaphore(MOST)
        self._asking: set[asyncio.Task[None]] = set()

    async def get(self, function: Callable[[], T]) -> T:
        """
        What a function gives that may take long.

        :raises TimeoutError: when it took too long, or too many are under way
        """
        if not self._places.acquire(blocking=False):
            raise TimeoutError(f"{MOST} calls are under way")
        loop = asyncio.get_running_loop()
        given: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = function()
            except Exception as error:
                failure = error
            finally:
                self._places.release()
            try:
                loop.call_soon_threadsafe(_settle, given, result, failure)
            except RuntimeError:
                pass  # the loop has ended

        # a thread that never comes back does not keep the process from ending
        threading.Thread(target=run, name="waiting", daemon=True).start()
        return await asyncio.wait_for(given, self.patience)

    def ask(self, function: Callable[[], T], then: Callable[[T | None], Any]) -> None:
        """
        Have a function run, and go on with what it gave.

        :param function: may take long, and fail
        :param then: called on the IOLoop's thread; with None where it failed or took too long
        """

        async def asked() -> None:
            try:
                given = await self.get(function)
            except Exception as error:
                if not isinstance(error, ParlaiCuError):  # whoever raised that has said it
                    logs.failure("what was looked up could not be told", error)
                then(None)
            else:
                then(given)

        task = asyncio.ensure_future(asked())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)


def _settle(given: "asyncio.Future[Any]", result: object, failure: Exception | None) -> None:
    if given.done():
        return
    if failure is None:
        given.set_result(result)
    else:
        given.set_exception(failure)
