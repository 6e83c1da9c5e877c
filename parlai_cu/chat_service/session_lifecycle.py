"""
What a user goes through: overworld, onboarding, pool, task, and again.

All on the IOLoop's thread; the worlds run in fibers.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import parlai.chat_service.utils.misc as utils
from parlai.chat_service.core.chat_service_manager import AgentState

from parlai_cu.chat_service.agent import ServedAgent
from parlai_cu.chat_service.worlds_runner import Ended, WorldFailed
from parlai_cu.serving import logs
from parlai_cu.serving.protocol import REFUSALS
from parlai_cu.serving.session import ChatSession

EXIT = "EXIT"
# s in a pool after which a user is told that it takes long
_LONG = 30.0
# task worlds that may fail one after the other, with nothing read in between
_TRIES = 2
_CLOSED = "Sorry, this world closed. Returning to overworld."
_LEFT = "The other person has left. Returning to overworld."
_BYE = "See you later!"
_TAKES_LONG = "Pairing is taking longer than expected. If you wish to exit, type *EXIT*."


class WorldRuntime(Protocol):
    """Where worlds run, as the life cycles of their users need it."""

    # of config.yml: its world module, the overworld's name, its tasks by their names
    world_module: Any
    overworld: str
    task_configs: Mapping[str, Any]

    def start_world(
        self, name: str, agents: list[ServedAgent], overworld: bool, ended: "asyncio.Future[Ended]"
    ) -> Any:
        """Begin a world of these users, an ``overworld`` or another; the fiber it runs on."""

    def _create_agent(self, task_id: str, agent_id: str) -> ServedAgent:
        """A user as a world sees them; ParlAI's name for it, which others override."""

    def failed(self, what: str) -> None:
        """Count a failure of ``what``, in a word."""

    def finished(self, session: ChatSession) -> None:
        """A user's life is over; called when what was sent them is on its way."""


@dataclass(eq=False)
class Waiter:
    """
    A user in a pool.

    :param state: theirs
    :param place: resolved with the session they take part in, or None when they leave the pool
    :param since: when they came, seconds of :func:`time.monotonic`
    :param warned: whether they were told that it takes long
    """

    state: AgentState
    place: "asyncio.Future[Session | None]"
    since: float
    warned: bool = False


@dataclass(eq=False)
class Session:
    """
    A task world that runs, and its users.

    :param world_type: its name in config.yml
    :param agents: of its users
    :param ended: resolved when it has ended
    :param fiber: what the world runs on, once it does
    """

    world_type: str
    agents: list[ServedAgent]
    ended: "asyncio.Future[Ended]"
    fiber: Any = None


class SessionLifecycle:
    """
    The life cycles of all users.

    :param runtime: where worlds run
    """

    def __init__(self, runtime: WorldRuntime) -> None:
        self._runtime = runtime
        # of the users who are there, by their sessions' ids
        self.states: dict[str, AgentState] = {}
        self.pools: dict[str, list[Waiter]] = {}
        self._lives: dict[ChatSession, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._sessions = 0

    # -- one life ----------------------------------------------------------------------------

    def begin(self, conversation: ChatSession, initialized: object) -> None:
        """A user's life begins, once the service is ``initialized`` (a future)."""
        agent = self._runtime._create_agent(f"overworld-{conversation.id}", conversation.id)
        self.states[conversation.id] = AgentState(conversation.id, agent)
        life = asyncio.ensure_future(self._live(conversation, initialized))
        self._lives[conversation] = life

    def close(self, conversation: ChatSession) -> None:
        """A user's life ends, wherever they are."""
        self.states.pop(conversation.id, None)
        life = self._lives.pop(conversation, None)
        if life is not None and not life.done():
            self._ending.add(life)
            life.add_done_callback(self._ending.discard)
            life.cancel()

    async def all_ended(self) -> None:
        """Wait until the lives that were ended have cleaned up."""
        if self._ending:
            await asyncio.wait(list(self._ending), timeout=5)

    async def _live(self, conversation: ChatSession, initialized: object) -> None:
        try:
            await self._wait_for_worlds(conversation, initialized)
            await self._go_round(conversation)
        except asyncio.CancelledError:
            raise
        except WorldFailed:
            conversation.send({"text": REFUSALS["failed"], "type": "error", "code": "failed"})
        except Exception as error:
            logs.failure("a conversation failed", error)
            self._runtime.failed("conversation")
            conversation.send({"text": REFUSALS["failed"], "type": "error", "code": "failed"})
        self._runtime.finished(conversation)

    async def _wait_for_worlds(self, conversation: ChatSession, initialized: Any) -> None:
        if not initialized.done():
            conversation.send({"text": "Please wait while the worlds are initializing..."})
        await asyncio.shield(initialized)

    async def _go_round(self, conversation: ChatSession) -> None:
        state = self.states[conversation.id]
        world_type: str | None = None
        failures = 0
        while world_type != EXIT:
            if world_type is None:
                world_type = await self._overworld(state)
                continue
            read = conversation.read
            session = await self._in_pool(state, world_type, conversation)
            if session is None:
                world_type = state.stored_data.pop("next_pool", None)
                continue
            try:
                world_type = await self._task(state, session)
                failures = 0
            except WorldFailed:
                # a world that fails before it has read anything would fail for ever
                failures = failures + 1 if conversation.read == read else 1
                if failures >= _TRIES:
                    raise
                conversation.send({"text": _CLOSED})
                world_type = None
        conversation.send({"text": _BYE})

    async def _overworld(self, state: AgentState) -> str:
        agent = state.overworld_agent
        state.set_active_agent(agent)
        agent.data = state.data
        world_type = (await self._run(self._runtime.overworld, [agent], True)).result
        if world_type is None or world_type == EXIT:
            return EXIT
        if world_type not in self._runtime.task_configs:
            logs.log.error("the overworld chose a task that config.yml does not have")
            raise WorldFailed
        onboard = self._runtime.task_configs[world_type].onboarding_name
        if onboard:
            onboard_id = f"onboard-{state.service_id}"
            agent = self._runtime._create_agent(onboard_id, state.service_id)
            agent.data = state.overworld_agent.data
            state.set_active_agent(agent)
            state.onboard_data = (await self._run(onboard, [agent], False)).data
            state.data = agent.data
        return str(world_type)

    async def _task(self, state: AgentState, session: Session) -> str | None:
        """Be in a task world until it ends; the next task, EXIT, or None for the overworld."""
        mine = next(agent for agent in session.agents if agent.id == state.service_id)
        try:
            await asyncio.shield(session.ended)
        except asyncio.CancelledError:
            if session.ended.cancelled() and not mine.conversation.over:
                # it is another user who has gone
                mine.conversation.send({"text": _LEFT})
                return None
            session.fiber.stop()
            raise
        state.data = mine.data
        next_task = mine.data.get("next_task")
        return None if next_task is None else str(next_task)

    async def _run(self, name: str, agents: list[ServedAgent], overworld: bool) -> Ended:
        """Run a world of these users; it is stopped when this is cancelled."""
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        fiber = self._runtime.start_world(name, agents, overworld, ended)
        try:
            return await ended
        except asyncio.CancelledError:
            fiber.stop()
            raise

    # -- pools -------------------------------------------------------------------------------

    async def _in_pool(
        self, state: AgentState, world_type: str, conversation: ChatSession
    ) -> Session | None:
        """Wait in a pool; the session that begins, or None when they leave or waited too long."""
        if world_type not in self._runtime.task_configs:
            logs.log.error("a world chose a next task that config.yml does not have")
            raise WorldFailed
        waiter = self.enter_pool(state, world_type)
        try:
            if not waiter.place.done():
                conversation.pooled = True
                conversation.waits()
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled():
                session = waiter.place.result()
                if session is not None:
                    session.fiber.stop()
            raise
        finally:
            conversation.pooled = False
            self._remove(waiter, world_type)

    def enter_pool(self, state: AgentState, world_type: str) -> Waiter:
        """A user waits for a world of a type; it may begin at once."""
        place: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(state, place, time.monotonic())
        state.time_in_pool[world_type] = time.time()
        self.pools.setdefault(world_type, []).append(waiter)
        self._serve_pool(world_type)
        return waiter

    def remove_from_pool(self, state: AgentState, world_type: str) -> None:
        """A user waits no longer for a world of a type."""
        for waiter in list(self.pools.get(world_type, ())):
            if waiter.state is state:
                self._let_go(waiter, None)

    def leave_pool(self, conversation: ChatSession) -> None:
        """A user leaves whatever pool they are in, for the overworld."""
        for pool in list(self.pools.values()):
            for waiter in list(pool):
                if waiter.state.service_id == conversation.id:
                    self._let_go(waiter, None)

    def tidy_pools(self) -> None:
        """Tell who waits long, send away who waited too long, and see who fits now."""
        now = time.monotonic()
        for world_type, pool in list(self.pools.items()):
            config = self._runtime.task_configs[world_type]
            for waiter in list(pool):
                waited = now - waiter.since
                if config.max_time_in_pool is not None and waited > config.max_time_in_pool:
                    waiter.state.stored_data["removed_after_timeout"] = True
                    self._let_go(waiter, config.backup_task)
                elif waited > _LONG and not waiter.warned:
                    waiter.warned = True
                    waiter.state.overworld_agent.observe({"text": _TAKES_LONG})
            self._serve_pool(world_type)

    def _let_go(self, waiter: Waiter, next_pool: str | None) -> None:
        if next_pool is not None:
            waiter.state.stored_data["next_pool"] = next_pool
        if not waiter.place.done():
            waiter.place.set_result(None)

    def _remove(self, waiter: Waiter, world_type: str) -> None:
        waiter.state.time_in_pool.pop(world_type, None)
        if waiter in self.pools.get(world_type, []):
            self.pools[world_type].remove(waiter)

    def _serve_pool(self, world_type: str) -> None:
        """Begin as many sessions as there are users for."""
        config = self._runtime.task_configs[world_type]
        needed, world = config.agents_required, config.task_name
        eligible = utils.get_eligibility_fn(self._runtime.world_module, world)
        waiting = [
            waiter
            for waiter in self.pools.get(world_type, [])
            if not waiter.place.done() and (eligible is None or eligible(waiter.state))
        ]
        while len(waiting) >= needed:
            chosen, waiting = waiting[:needed], waiting[needed:]
            self._begin_session(world_type, world, chosen)

    def _begin_session(self, world_type: str, world: str, waiters: list[Waiter]) -> None:
        self._sessions += 1
        task_id = f"t_{self._sessions}"
        agents: list[ServedAgent] = []
        for waiter in waiters:
            state = waiter.state
            agent = self._runtime._create_agent(task_id, state.service_id)
            agent.onboard_data, agent.data = state.onboard_data, state.data
            state.set_active_agent(agent)
            agents.append(agent)
        assign = utils.get_assign_roles_fn(self._runtime.world_module, world)
        (assign or utils.default_assign_roles_fn)(agents)
        for agent in agents:
            agent.message_partners = [other for other in agents if other is not agent]
        session = Session(world_type, agents, asyncio.get_running_loop().create_future())
        # so that nobody complains of what no user waits for any more
        session.ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        session.fiber = self._runtime.start_world(world, agents, False, session.ended)
        for waiter in waiters:
            self._remove(waiter, world_type)
            waiter.place.set_result(session)
