"""
The world of a support chat, for ParlAI's chat_service (``world_module:`` in config.yml).

``ChatWorld`` greets, answers by the model, keeps the conversation through lost connections and
restarts, and takes ratings and corrections. It is an ordinary chat_service world: it runs in the
websocket, terminal and Messenger services, and in ``parlai serve``. What it says when is decided
in :mod:`parlai_cu.serving.dialogue_policy`; here is what touches ParlAI.
"""

import functools
import threading
from typing import Any

import parlai.utils.logging as logging
from parlai.chat_service.services.messenger.worlds import OnboardWorld
from parlai.core.agents import create_agent_from_shared
from parlai.core.opt import Opt
from parlai.core.worlds import World

from parlai_cu.chat_service import flags
from parlai_cu.errors import UsageError, nearest
from parlai_cu.parlai_types import SpeakingAgent
from parlai_cu.serving import logs
from parlai_cu.serving.dialogue_policy import (
    CORRECTION,
    RATING,
    RESUMED,
    Act,
    DialoguePolicy,
    PolicySettings,
)
from parlai_cu.serving.feedback import FeedbackLog
from parlai_cu.serving.store_worker import StoreWorker
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore

# what the overworld returns: a task of config.yml, and the manager's word for leaving
TASK, EXIT = "default", "EXIT"
AGAIN = 'That conversation is over. Write something to start another, or "exit" to leave.'

_lock = threading.Lock()
# what is opened once for all conversations of the process, and where it is called
_stores: dict[tuple[str, float], TranscriptStore] = {}
_logs: dict[str, FeedbackLog] = {}
_workers: dict[TranscriptStore | FeedbackLog, StoreWorker] = {}


def check_settings(opt: Opt) -> None:
    """
    Called by the service before it loads models: what ``opt: chat:`` says is looked at.

    :raises UsageError: when a setting of it cannot be in force
    """
    settings = PolicySettings.read(opt.get("chat"))
    most = flags.limits(opt, 0).max_text
    if "longest" in (opt.get("chat") or {}) and settings.longest > most:
        raise UsageError(
            f"config.yml, opt: chat: longest: {settings.longest} characters do not arrive: "
            f"max_text is {most}"
        )
    if opt.get("models"):
        model_name(opt, settings)


def module_initialize(opt: Opt, manager: object) -> None:
    """
    Called once by the service (``manager``): what is wrong with the settings is said at the start.
    """
    settings = PolicySettings.read(opt.get("chat"))
    watch = getattr(manager, "watch_store", None)  # ParlAI's own managers have nothing to show
    for name, kept in (("store", _store(settings)), ("feedback", _feedback(settings))):
        if watch is not None and kept in _workers:
            watch(name, _workers[kept])
    if opt.get("shared_bot_params"):
        model_name(opt, settings)


def knows_token(token: str) -> bool:
    """
    Whether a token's conversation can be taken up whose process is gone; asked by the service.

    :raises ConversationError: when that cannot be read just now
    """
    with _lock:
        stores = list(_stores.values())
    for store in stores:
        worker = _workers.get(store)
        look = functools.partial(store.knows, token)
        if look() if worker is None else worker.call(look):
            return True
    return False


def model_name(opt: Opt, settings: PolicySettings) -> str:
    """
    Which of the service's models is to answer.

    :raises UsageError: when there is none, or several and none was chosen
    """
    models = list(opt.get("shared_bot_params") or opt.get("models") or ())
    if settings.model in models:
        return settings.model
    if settings.model:
        near = nearest(settings.model, models) or models
        raise UsageError(
            f"config.yml, opt: chat: model: {settings.model!r} is not among opt: models; "
            f"nearest: {', '.join(near) or 'there are none'}"
        )
    if len(models) != 1:
        raise UsageError(
            "config.yml: ChatWorld needs a model under opt: models"
            if not models
            else f"config.yml: which of {', '.join(models)} is to answer? opt: chat: model: NAME"
        )
    return str(models[0])


def _store(settings: PolicySettings) -> TranscriptStore:
    """One store for all conversations of the process; one in memory needs no threads."""
    key = (settings.conversations, settings.keep_days)
    with _lock:
        if key not in _stores:
            store = TranscriptStore(settings.conversations, settings.keep_days or None)
            if not store.in_memory:
                _workers[store] = StoreWorker(
                    "the store of conversations", store.check, store.at_once, store.interrupt
                )
            _stores[key] = store
        return _stores[key]


def _feedback(settings: PolicySettings) -> FeedbackLog | None:
    if not settings.feedback:
        return None
    with _lock:
        if settings.feedback not in _logs:
            log = FeedbackLog(settings.feedback)
            _workers[log] = StoreWorker("the file of feedback", log.check)
            _logs[settings.feedback] = log
        return _logs[settings.feedback]


class ChatOverworld(World):
    """
    Goes straight to the chat; after a chat has ended, waits until the user writes again.

    What they write then is the first message of the new chat.
    """

    def __init__(self, opt: Opt, agent: SpeakingAgent) -> None:
        self.opt, self.agent = opt, agent
        self.again = bool(agent.data.get("chatted"))
        self.told = self.over = False

    @staticmethod
    def generate_world(opt: Opt, agents: list[Any]) -> "ChatOverworld":
        """As chat_service makes it."""
        return ChatOverworld(opt, agents[0])

    @staticmethod
    def assign_roles(agents: list[Any]) -> None:
        """Names for the agents."""
        agents[0].disp_id = "Agent"

    def parley(self) -> str | None:
        """Where the user is to go; None while they have not said."""
        if self.again and not self.told:
            self.told = True
            self.agent.observe({"id": "", "text": AGAIN, "type": "notice"})
        act = self.agent.act() if self.again else None
        if self.again and act is None:
            return None
        self.over = True
        text = act.get("text") if act else None
        if isinstance(text, str) and text.strip().lower() == "exit":
            return EXIT
        self.agent.data = {"chatted": True, "first": act}
        return TASK

    def episode_done(self) -> bool:
        """Whether the user went on."""
        return self.over


class ChatOnboarding(OnboardWorld):
    """Nothing to ask; it carries what the overworld knows of the user to the chat."""

    @staticmethod
    def generate_world(opt: Opt, agents: list[Any]) -> "ChatOnboarding":
        """As chat_service makes it."""
        return ChatOnboarding(opt=opt, agent=agents[0])


class ChatWorld(World):
    """
    A user and the model.

    :param opt: ParlAI's options
    :param agent: the user, a ChatServiceAgent
    :param model: whoever answers
    :param policy: what is said when
    """

    MAX_AGENTS = 1
    # types of messages that `parlai serve` is to let through, beside ordinary ones
    accepts = (RATING, CORRECTION, RESUMED)

    def __init__(
        self, opt: Opt, agent: SpeakingAgent, model: SpeakingAgent, policy: DialoguePolicy
    ) -> None:
        self.opt, self.agent, self.model, self.policy = opt, agent, model, policy
        self.over = False
        self.opened = False
        # written while no chat was there to read it
        self.waiting: list[Act] = [act for act in [agent.data.pop("first", None)] if act]

    @staticmethod
    def generate_world(opt: Opt, agents: list[Any]) -> "ChatWorld":
        """As chat_service makes it; ``opt`` is the service's."""
        (agent,) = agents
        settings = PolicySettings.read(opt.get("chat"))
        model = create_agent_from_shared(opt["shared_bot_params"][model_name(opt, settings)])
        store, log = _store(settings), _feedback(settings)
        policy = DialoguePolicy(
            store,
            settings,
            token=_token(agent),
            log=log,
            version=_version(model),
            claimed=getattr(agent, "claimed", None),
            worker=_workers.get(store),
            log_worker=None if log is None else _workers.get(log),
        )
        return ChatWorld(opt, agent, model, policy)

    @staticmethod
    def assign_roles(agents: list[Any]) -> None:
        """Names for the agents."""
        agents[0].disp_id = "ChatAgent"

    def parley(self) -> None:
        """Open the conversation, or take what the user said, if they said anything."""
        if not self.opened:
            self.opened = True
            self._remember()
            self.agent.observe(self.policy.opening())
        act = self.waiting.pop(0) if self.waiting else self.agent.act()
        if act is None:
            return
        if act.get("type") == RESUMED:
            self._renew()
        heard = self.policy.hear(act)
        if heard.done and hasattr(self.agent, "new_token"):
            self.agent.new_token()  # the one that the user has opens nothing any more
        if heard.reset:
            self.model.reset()
        self._send(heard.say)
        if heard.rated is not None:
            self._tell_model(heard.rated)
        if heard.ask is not None:
            self._send(self._answer(heard.ask))
            if self.policy.recalled():
                self._remember()
        self.over = self.over or heard.done

    def _renew(self) -> None:
        """The service has given the user another token."""
        token, used = _token(self.agent), getattr(self.agent, "claimed", None)
        if token is not None and used is not None:
            self.policy.renew(token, used)

    def _answer(self, text: str) -> list[Act]:
        typing = getattr(self.agent, "observe_typing_on", None)
        if typing is not None:
            typing()
        try:
            self.model.observe({"id": "user", "text": text, "episode_done": False})
            return self.policy.answered(self.model.act())
        except Exception as error:  # of any model: it costs this turn, not the conversation
            # not its message, which may hold what the user wrote
            logging.error(f"a turn got an apology: {logs.where(error)}")
            self._remember()
            return self.policy.failed()

    def _tell_model(self, turn: StoredTurn) -> None:
        """Ratings count in the trial of a canary (``-m deployed``)."""
        conversation, up = self.policy.conversation.id, turn.rating == "up"
        if turn.rating is None:
            return
        if hasattr(self.model, "vote"):  # -m deployed
            voter = getattr(getattr(self.agent, "conversation", None), "address", None)
            self.model.vote(conversation, turn.turn, up, turn.version, voter or None)
        elif hasattr(self.model, "rate"):
            self.model.rate(conversation, up, turn.version)

    def _remember(self) -> None:
        """Give the model the history that counts, without asking it anything."""
        self.model.reset()
        if hasattr(self.model, "set_conversation"):  # -m deployed
            known = self.policy.conversation
            began = known.turns[0].version if known.turns else None
            self.model.set_conversation(known.id, began)
        for text, reply in self.policy.replay():
            self.model.observe({"id": "user", "text": text, "episode_done": False})
            if hasattr(self.model, "self_observe"):
                self.model.self_observe({"text": reply, "episode_done": False})

    def _send(self, acts: list[Act]) -> None:
        for act in acts:
            self.agent.observe(act)

    def episode_done(self) -> bool:
        """Whether the user has left the chat."""
        return self.over

    def shutdown(self) -> None:
        """The user is gone; what was said is kept."""
        self.policy.close()


def _version(model: object) -> str | None:
    """Of the model that answers, where it has one."""
    version = getattr(model, "version", None)
    return str(version) if isinstance(version, (str, int)) else None


def _token(agent: SpeakingAgent) -> str | None:
    """What a user is known by when they are back; nothing in ParlAI's own websocket service."""
    token = getattr(agent, "token", None)
    page = getattr(agent, "page_id", None)  # Messenger knows its users
    return token or (None if page is None else f"messenger:{page}:{agent.id}")
