"""Running one world to its end, in a fiber."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenlet import GreenletExit

from parlai_cu.chat_service.agent import Pace, ServedAgent
from parlai_cu.parlai_types import Opt, World
from parlai_cu.serving import logs
from parlai_cu.serving.fibers import current_fiber
from parlai_cu.serving.protocol import REFUSALS

# calls of parley() that may fail one after the other before the world is closed
_TRIES = 3


class WorldFailed(Exception):
    """A world raised; it is logged already."""


@dataclass
class Ended:
    """
    How a world ended.

    :param result: what its last parley() returned
    :param data: its ``data``, which an onboarding world collects
    """

    result: Any = None
    data: Any = None


def is_done(world: World) -> bool:
    """
    Whether a world says that it is done.

    :param world: ParlAI's; some hide their method ``episode_done`` behind a value of that name
    """
    done = world.episode_done
    return bool(done() if callable(done) else done)


def run_world(
    world_class: Any,
    opt: Opt,
    agents: list[ServedAgent],
    overworld: bool,
    stopping: Callable[[], bool],
    on_failure: Callable[[str], None],
) -> Ended:
    """
    Run a world until it is done. In a fiber.

    :param world_class: has ``generate_world``
    :param opt: the service's options
    :param agents: the world's users
    :param overworld: it ends with the first parley() that returns something
    :param stopping: whether the service is about to stop
    :param on_failure: told of each failure
    """
    fiber = current_fiber()
    assert fiber is not None
    pace = Pace([agent.conversation for agent in agents])
    world = None
    pace.begin(fiber)
    try:
        for agent in agents:
            agent.pace = pace
        world = world_class.generate_world(opt, agents)
        for conversation in pace.conversations:
            conversation.accepts = tuple(getattr(world, "accepts", ()))
        ended = Ended()
        failures = 0
        while not (is_done(world) or stopping()):
            pace.next_parley()
            for agent in agents:
                agent.looked = False
            try:
                ended.result = world.parley()
                failures = 0
            except Exception as error:
                failures += 1
                if not pace.read or failures >= _TRIES:
                    raise
                logs.failure(f"{world_class.__name__} failed at a turn", error)
                on_failure("world")
                for agent in agents:
                    agent.observe({"text": REFUSALS["failed"], "failed": True})
            if (overworld and ended.result is not None) or is_done(world):
                break
            if not pace.read:
                pace.wait()
        ended.data = getattr(world, "data", None) or {}
        return ended
    finally:
        pace.end()
        if world is not None:
            _shut_down(world)


def settle(ended: "asyncio.Future[Ended]", result: Any, error: BaseException | None) -> None:
    """
    Let those know how a world ended who wait for it. On the IOLoop's thread.

    :param ended: what they wait for
    :param result: of :func:`run_world`
    :param error: what it raised
    """
    if ended.done():
        return
    if error is None:
        ended.set_result(result)
    elif isinstance(error, GreenletExit):
        ended.cancel()
    else:
        ended.set_exception(WorldFailed())


def _shut_down(world: World) -> None:
    try:
        world.shutdown()
    except GreenletExit:
        pass
    except Exception as error:
        logs.failure(f"shutdown of {type(world).__name__}", error)
