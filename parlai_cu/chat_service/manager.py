"""
ParlAI's chat service without its threads: a user's life is a coroutine of the IOLoop, and their
worlds run in fibers.

It stands in for ParlAI's ``WebsocketManager`` (parlai_cu/host/websocket_service.py), so that
configurations, worlds and the other services built on it (terminal, browser) work as they are.
"""

import asyncio
import copy
import functools
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

import parlai.chat_service.utils.misc as utils
import parlai.utils.logging
from greenlet import GreenletExit
from parlai.chat_service.core.chat_service_manager import AgentState, ChatServiceManager
from parlai.core.agents import add_datapath_and_model_args, create_agent

from parlai_cu.agents import speaking
from parlai_cu.chat_service import flags, yaml_settings
from parlai_cu.chat_service.agent import ServedAgent
from parlai_cu.chat_service.model import SharedModels, shared_with_worlds
from parlai_cu.chat_service.session_lifecycle import SessionLifecycle
from parlai_cu.chat_service.worlds_runner import Ended, run_world, settle
from parlai_cu.errors import UsageError, nearest
from parlai_cu.parlai_types import Act, Opt
from parlai_cu.secret_values import PASSWORD
from parlai_cu.serving import logs
from parlai_cu.serving.batcher import Batcher
from parlai_cu.serving.fibers import WorkerPool
from parlai_cu.serving.gateway import GOING_AWAY, Gateway
from parlai_cu.serving.metrics import Metrics
from parlai_cu.serving.server import Shell
from parlai_cu.serving.session import ChatSession
from parlai_cu.serving.store_worker import StoreWorker
from parlai_cu.serving.waiting_room import WaitingRoom

# s between looks at pools and at who has been silent for too long
_TIDY = 1.0
_OFFLINE = "System: The conversation bot is going offline. Please come back later."


class ServiceManager(ChatServiceManager):
    """
    A chat service on websockets and HTTP.

    :param opt: ParlAI's options, with ``config`` as its configuration file was read
    :raises UsageError: when the configuration names what there is not
    """

    class MessageSender(ChatServiceManager.ChatServiceMessageSender):
        """What worlds call to show that something goes on."""

        def __init__(self, manager: "ServiceManager") -> None:
            self.manager = manager

        def send_read(self, receiver_id: str) -> None:
            """Not shown here."""

        def typing_on(self, receiver_id: str, persona_id: object = None) -> None:
            """Show that a reply is being written."""
            session = self.manager.gateway.by_id.get(receiver_id)
            if session is not None:
                session.show_typing()

    def __init__(self, opt: Opt) -> None:
        super().__init__(opt)
        self.sender = self.message_sender = self.MessageSender(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None
        self._initialized: asyncio.Future[Any] | None = None
        written = opt["config"].get("world_opt") or {}
        yaml_settings.check(written, flags.service_parser(), "config.yml: opt")
        self.settings = flags.settings(opt)
        self.port = self.settings.port
        self._parse_config(opt)
        self._complete_setup()

    # -- setting up --------------------------------------------------------------------------

    def _parse_config(self, opt: Opt) -> None:
        self.debug = opt.get("is_debug", False)
        # of ParlAI's manager, for subclasses that name them in an application of their own
        self.subs: dict[Any, Any] = {}
        self.config = opt["config"]
        self.overworld = self.config["overworld"]
        self.world_module = _world_module(self.config["world_path"])
        self.task_configs = self.config["configs"]
        self.opt["task"] = self.config["task_name"]
        self.runner_opt = copy.deepcopy(opt)
        self.runner_opt["is_debug"] = self.debug
        self._check_worlds()
        # what a world would say of its settings when it sets itself up, before models are loaded
        check_settings = getattr(self.world_module, "check_settings", None)
        if check_settings is not None:
            check_settings(opt)
        self.parse_additional_args(opt)

    def _check_worlds(self) -> None:
        """Whether the worlds that the configuration names are there, before anybody needs them."""
        named = {"overworld": self.overworld}
        for task, config in self.task_configs.items():
            named[f"task_world of {task}"] = config.task_name
            if config.onboarding_name:
                named[f"onboard_world of {task}"] = config.onboarding_name
            if config.backup_task and config.backup_task not in self.task_configs:
                raise UsageError(
                    f"config.yml: backup_task of {task} is {config.backup_task!r}; "
                    f"its tasks are {', '.join(self.task_configs)}"
                )
        for role, name in named.items():
            if not hasattr(getattr(self.world_module, str(name), None), "generate_world"):
                close = nearest(str(name), vars(self.world_module))
                raise UsageError(
                    f"config.yml: {role} is {name!r}, and {self.config['world_path']} has no such "
                    f"world; nearest: {', '.join(close) or 'none'}"
                )

    def parse_additional_args(self, opt: Opt) -> None:
        """Whether the service loads the models, or the worlds do."""
        additional = self.config.get("additional_args") or {}
        self.should_load_model = additional.get("load_model", True)

    def _complete_setup(self) -> None:
        limits = flags.limits(self.opt, self.config["max_workers"])
        logs.Texts.shown = bool(flags.value(self.opt, "log_text"))
        self.models: dict[str, Any] = {}
        self.gateway = Gateway(
            self,
            limits,
            self.post,
            flags.secret(self.opt, PASSWORD),
            on_answer=lambda seconds: self.metrics.answered(seconds),
            on_refusal=lambda code: self.metrics.refusal(code),
        )
        self.batcher = Batcher(
            int(flags.value(self.opt, "max_batch")),
            float(flags.value(self.opt, "max_wait_ms")) / 1000,
            limits.max_waiting,
            on_their_way=lambda: len(self.gateway.busy),
            on_batch=lambda turns, seconds: self.metrics.batch(turns, seconds),
            patience=limits.turn_seconds,
            on_restart=lambda: self.metrics.failure("model_thread"),
        )
        self.metrics = Metrics(
            {
                "conversations": lambda: len(self.gateway.by_id),
                "connections": self.gateway.clients,
                "open_turns": lambda: len(self.gateway.busy),
                "model_queue": self.batcher.waiting,
                "model_alive": lambda: float(self.batcher.alive()),
                "model_held_seconds": self.batcher.held_up,
            }
        )
        self.waiting_room = WaitingRoom()
        self.workers = WorkerPool(int(flags.value(self.opt, "world_threads")))
        self.lifecycle = SessionLifecycle(self)
        self.shell = Shell(self)
        self.shell.check_address()
        self._load_model()

    def _load_model(self) -> None:
        self.runner_opt["model_info"] = {}
        shared = self.runner_opt["shared_bot_params"] = SharedModels()
        if not (self.opt.get("models") and self.should_load_model):
            return
        threads = int(flags.value(self.opt, "torch_threads"))
        for name, given in self.opt["models"].items():
            model_opt = yaml_settings.model_options(name, given, self.opt.get("datapath"))
            root = self.batcher.call(functools.partial(_load, model_opt, threads))
            self.batcher.call(
                functools.partial(speaking.probe, root, f"config.yml: models: {name}")
            )
            self.models[name] = root
            shared[name] = shared_with_worlds(root, self.batcher, self.metrics.failure)
            self.runner_opt["model_info"][name] = {"override": model_opt["override"]}

    # -- running -----------------------------------------------------------------------------

    def start_task(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        address = await self.start()
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        scheme = "wss" if address.startswith("https") else "ws"
        tail = address.partition("://")[2]
        initialized = self._initialized
        assert initialized is not None
        # a world module that cannot set itself up ends the service, with its error
        initialized.add_done_callback(lambda done: stop.set() if done.exception() else None)
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((initialized, stopping), return_when=asyncio.FIRST_COMPLETED)
        if self.ready():
            print(f"Ready: {address} (websocket {scheme}://{tail}/websocket)", flush=True)
        await stopping
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends it at once
        print("Stopping: turns under way are answered", flush=True)
        await self.stop()
        print("Stopped", flush=True)
        if initialized.done():
            initialized.result()

    async def start(self) -> str:
        """
        Begin to listen, on the running loop.

        :return: the service's address
        """
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._take_in(self._make_app())
        address = self.shell.listen()
        self.port = self.shell.port
        self._tidying = asyncio.ensure_future(self._tidy())
        self._initialized = asyncio.ensure_future(self._initialize())
        self.running = True
        return address

    async def _initialize(self) -> None:
        """Let the world module set itself up, if it wants to; it may take its time."""
        initialize = getattr(self.world_module, "module_initialize", None)
        if initialize is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, initialize, self.runner_opt, self)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY)
            try:
                self.batcher.look()
                self.gateway.tidy()
                self.lifecycle.tidy_pools()
            except Exception as error:
                logs.failure("tidying up", error)

    async def stop(self) -> None:
        """Take no new turns, let those under way be answered, tell everybody, and end."""
        self.gateway.draining = True
        deadline = asyncio.get_running_loop().time() + self.gateway.limits.drain_seconds
        while self.gateway.busy and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        self.shutting_down = True
        for conversation in list(self.gateway.by_id.values()):
            conversation.send({"text": _OFFLINE})
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.gateway.close_all(GOING_AWAY, "the service stops")
        for conversation in list(self.gateway.by_id.values()):
            self.gateway.close(conversation)
        self._tidying.cancel()
        await self.lifecycle.all_ended()
        try:
            await self.shell.close()
        except TimeoutError:
            logs.log.warning("some connections did not close in time")
        self.workers.close()
        self.batcher.close()

    def shutdown(self) -> None:
        """Called by ParlAI's run() at the end; everything is stopped by then, or never began."""
        self.shutting_down = True
        self.workers.close()
        self.batcher.close()

    def post(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run a function on the IOLoop's thread. From any thread; the order is kept."""
        assert self._loop is not None
        if threading.get_ident() == self._loop_thread:
            self._loop.call_soon(function, *arguments)
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the loop has ended, and with it all connections

    # -- what the gateway and the shell ask for ---------------------------------------------

    def ready(self) -> bool:
        """Whether conversations can begin."""
        begun = self._initialized
        done = begun is not None and begun.done() and begun.exception() is None
        return done and self.batcher.alive() and not self.gateway.draining

    def status(self) -> dict[str, Any]:
        """Live figures, and what each model says of itself."""
        models: dict[str, Any] = {}
        for name, root in self.models.items():
            told = getattr(root, "status", None)
            models[name] = told() if callable(told) else {"model": root.opt.get("model_file")}
        return {"ready": self.ready(), **self.metrics.status(), "models": models}

    def _make_app(self) -> Any:
        """
        The web application.

        A subclass may add to it, or return one of its own as it did over ParlAI's manager: all
        that has but ``/websocket``, which is ours, is served.
        """
        return self.shell.application

    def _take_in(self, app: Any) -> None:
        ours = self.shell.application
        if app is ours:
            return
        rules = [r for r in app.wildcard_router.rules if r.matcher.reverse() != "/websocket"]
        ours.wildcard_router.rules[:0] = rules
        # the last leads to the rules above
        ours.default_router.rules[:0] = app.default_router.rules[:-1]
        for name, value in app.settings.items():
            ours.settings.setdefault(name, value)

    def _on_new_message(self, message: Act, socket_id: str) -> None:
        """What ParlAI's rule for ``/websocket`` calls, where a subclass names it."""

    def web_handlers(self) -> list[Any]:
        """tornado rules of the world module."""
        own = getattr(self.world_module, "web_handlers", None)
        return list(own(self)) if own is not None else []

    def find_token(self, token: str, then: Callable[[bool | None], None]) -> None:
        """Look whether the world module has kept something of a conversation."""
        knows = getattr(self.world_module, "knows_token", None)
        if knows is None:
            then(False)
        else:
            self.waiting_room.ask(lambda: bool(knows(token)), then)

    def watch_store(self, name: str, worker: StoreWorker) -> None:
        """A world module shows what it keeps conversations in (``worker``), by a ``name``."""
        worker.on_failure = lambda: self.metrics.failure(name)
        self.metrics.show(f"{name}_up", lambda: float(worker.up), worker.status)

    def begin(self, conversation: ChatSession) -> None:
        """A conversation begins."""
        self.metrics.begun.inc()
        self.lifecycle.begin(conversation, self._initialized)

    def close(self, conversation: ChatSession) -> None:
        """A conversation is over."""
        self.lifecycle.close(conversation)

    def leave_pool(self, conversation: ChatSession) -> None:
        """A user does not want to wait any more."""
        self.lifecycle.leave_pool(conversation)

    # -- what the life cycles of users ask for ------------------------------------------------

    def start_world(
        self, name: str, agents: list[ServedAgent], overworld: bool, ended: "asyncio.Future[Ended]"
    ) -> Any:
        """Begin a world of these users, an ``overworld`` or another; the fiber it runs on."""
        world_class = getattr(self.world_module, name)

        def run() -> Ended:
            return run_world(
                world_class,
                self.runner_opt,
                agents,
                overworld,
                lambda: self.shutting_down,
                self.failed,
            )

        def done(result: object, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, GreenletExit):
                logs.failure(f"{name} failed", error)
                self.failed("world")
            self.post(settle, ended, result, error)

        return self.workers.start(run, done)

    def failed(self, what: str) -> None:
        """Count a failure of ``what``, in a word."""
        self.metrics.failure(what)

    def finished(self, session: ChatSession) -> None:
        """A user's life is over; what was just sent goes out first."""
        self.post(self.gateway.close, session)

    # -- ParlAI's own methods, which worlds may call from any thread --------------------------

    @property
    def messenger_agent_states(self) -> dict[str, AgentState]:
        """Of the users who are there."""
        return self.lifecycle.states

    @property
    def agent_pool(self) -> dict[str, list[AgentState]]:
        """Who waits for a world, by its type."""
        pools = list(self.lifecycle.pools.items())
        return {world_type: [waiter.state for waiter in list(pool)] for world_type, pool in pools}

    def _create_agent(self, task_id: str, agent_id: str) -> ServedAgent:
        return ServedAgent(self.opt, self, agent_id, task_id, self.gateway.by_id[agent_id])

    def observe_message(
        self,
        receiver_id: str,
        text: str,
        quick_replies: list[str] | None = None,
        persona_id: str | None = None,
    ) -> None:
        """Send somebody a text."""
        self._say(receiver_id, {"text": text, "quick_replies": quick_replies})

    def observe_payload(
        self,
        receiver_id: str,
        data: object,
        quick_replies: list[str] | None = None,
        persona_id: str | None = None,
    ) -> None:
        """Send somebody an attachment."""
        self._say(receiver_id, {"payload": data, "quick_replies": quick_replies})

    def _say(self, receiver_id: str, act: dict[str, Any]) -> None:
        session = self.gateway.by_id.get(receiver_id)
        if session is not None:
            session.send(act)

    def add_agent_to_pool(self, agent: AgentState, world_type: str = "default") -> None:
        """Let somebody wait for a world."""
        self.post(self.lifecycle.enter_pool, agent, world_type)

    def remove_agent_from_pool(
        self, agent: AgentState, world_type: str = "default", mark_removed: bool = True
    ) -> None:
        """Let somebody wait no longer."""
        self.post(self.lifecycle.remove_from_pool, agent, world_type)

    def restructure_message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Messages come in ParlAI's form already."""
        return message

    def _handle_message_read(self, event: object) -> None:
        pass

    def _handle_bot_read(self, agent_id: object) -> None:
        pass

    def _confirm_message_delivery(self, event: object) -> None:
        pass

    def setup_server(self) -> None:
        """There is no other server."""

    def setup_socket(self) -> None:
        """Sockets are the shell's."""


def _world_module(path: str) -> Any:
    try:
        return utils.get_world_module(path)
    except ModuleNotFoundError as error:
        # a world may lack a module of its own
        if not (error.name and (path == error.name or path.startswith(f"{error.name}."))):
            raise
        raise UsageError(
            f"config.yml: world_module: {path}: there is no module {error.name}; expected one that "
            "can be imported here, such as parlai_cu.chat_service.worlds"
        ) from error


def _load(model_opt: dict[str, Any], threads: int) -> Any:
    """The agent of a model; on the model thread."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    # ParlAI fills in the agent's defaults only where the datapath is missing, too late for zoo:
    add_datapath_and_model_args(model_opt)
    logger = parlai.utils.logging.logger
    logger.addFilter(_is_no_news)
    try:
        root = create_agent(model_opt)
    finally:
        logger.removeFilter(_is_no_news)
    _bound_context(root)
    return root


def _is_no_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith('Overriding opt["datatype"]')


def _bound_context(root: object) -> None:
    """
    Let a model without ``--text-truncate`` cut what is longer than its positions.

    Without it a long conversation fails at every turn from some length on.
    """
    opt = getattr(root, "opt", None) or {}
    positions = opt.get("n_positions")
    unbounded = (getattr(root, "text_truncate", None) or -1) < 0
    if (
        hasattr(root, "text_truncate")
        and unbounded
        and isinstance(positions, int)
        and positions > 0
    ):
        root.text_truncate = opt["text_truncate"] = positions
