"""
``-m deployed``: the live version of a versions directory, changed over while people are chatting.

::

    parlai interactive -m deployed --versions deployed

A promotion is noticed within a second, loaded in the background and tried; each conversation
changes over between two of its turns and takes its history along. Every act says in ``version`` who
made it.
"""

import collections
import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from parlai.core.agents import Agent
from parlai.core.loader import load_agent_module
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_agent import Batch, TorchAgent
from parlai.utils.io import PathManager

from parlai_cu.agents import updating_agent
from parlai_cu.agents.deployed.loading import load
from parlai_cu.agents.deployed.service import LoadedModel, ModelService, serves_nothing
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Act, ModelAgent
from parlai_cu.serving.history import MOST_TURNS, forget_old
from parlai_cu.unread_flags import Dependent, never, refuse_unread
from parlai_cu.versions.store import VersionStore
from parlai_cu.versions.swap import CONVERSATION, NONE, PINS, VersionRouter

# in which an observation carries the turn it belongs to
TURN = "deployed_turn"
# of an observation or a reply, what is of no use to later turns
_FLEETING = ("label_candidates", "text_candidates", "candidate_scores", "beam_texts", "metrics")
# flags that it takes and that do not count
_DEPENDENT = (
    Dependent(
        ("model_file", "init_model", "dict_file"),
        never,
        "with -m deployed: weights and dictionary are those of the version that is served; to "
        "serve others: parlai versions import --model-file MODEL, then promote",
    ),
    Dependent(
        ("pin", "canary_share"),
        lambda opt: not _evaluates(opt),
        "in an evaluation, which is of the live version alone",
    ),
)
_NO_VERSIONS = "-m deployed needs --versions DIR (made by parlai versions import)"


class ObservedBy(NamedTuple):
    """
    What an observation carries.

    :param conversation: the agent that observed it
    """

    conversation: "DeployedAgent"

    def __deepcopy__(self, memo: dict[int, Any]) -> "ObservedBy":
        """Itself: a copied observation is of the same conversation."""
        return self


class DeployedAgent(Agent):
    """
    A conversation with the live version; a clone (:meth:`clone`, :meth:`share`) is another one.

    Turns of many conversations are answered together by :meth:`batch_act` of any of them.

    :raises UsageError: when a flag is missing or wrong
    """

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Our flags, and those of the live version's agent."""
        _add_ours(parser)
        updating_agent.add_flags_once_known(
            parser, partial_opt or Opt(), lambda known: _add_live_flags(parser, known), _NO_VERSIONS
        )
        return parser

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        self.opt = opt
        super().__init__(opt, shared)
        self.id = "Deployed"
        self.service: ModelService = shared["service"] if shared else _start(opt)
        # what it is called in logs and ratings; whoever serves may name it
        self.conversation = uuid.uuid4().hex
        # the version of the first turn; the model it is on, and its clone, where it is on one
        self.begun_on: str | None = None
        self.resident: LoadedModel | None = None
        self.inner: Any = None
        # (what was observed, what was replied) of each turn; what was observed since
        self._past: collections.deque[tuple[list[Message], Any]] = collections.deque(
            maxlen=MOST_TURNS
        )
        self._pending: list[Message] = []

    def share(self) -> dict[str, Any]:
        """One service for all conversations."""
        return {**super().share(), "service": self.service}

    # -- what services and operators ask -----------------------------------------------------

    @property
    def store(self) -> VersionStore:
        """The versions."""
        return self.service.store

    @property
    def channel(self) -> str:
        """The channel that is served."""
        return self.service.channel

    @property
    def version(self) -> str:
        """The id of the live version."""
        return str(self.service.lineup.live)

    def status(self) -> dict[str, Any]:
        """What is served, loaded, on trial; what failed to load. Plain values."""
        return self.service.status()

    def set_conversation(self, conversation: str, begun_on: str | None = None) -> None:
        """
        Name the conversation, before its first turn here.

        :param conversation: the id that decides whether the canary answers it
        :param begun_on: the version of its first turn, of one that goes on after an interruption
        """
        self.conversation, self.begun_on = conversation, begun_on

    def rate(self, conversation: str, up: bool, version: str | None = None) -> None:
        """
        Count a user's rating, for the canary's guard.

        :param conversation: :attr:`conversation` of the agent that replied
        :param up: thumbs up or down
        :param version: of the reply, as its act says; the conversation's last where missing
        """
        self.service.rate(conversation, up, version)

    def vote(
        self, conversation: str, turn: int, up: bool, version: str | None, voter: str | None
    ) -> None:
        """
        The same, of a reply that has a number, by somebody who may have several conversations.

        :param conversation: :attr:`conversation` of the agent that replied
        :param turn: the reply's number
        :param up: thumbs up or down
        :param version: of the reply, as its act says
        :param voter: an address; None where it is not known
        """
        self.service.rate(conversation, up, version, turn, voter)

    # -- a turn ------------------------------------------------------------------------------

    def observe(self, observation: Act) -> Message:
        """Open a turn, on the version that is to answer it; whose labels it is not to learn."""
        raw = Message(observation)
        if "labels" in raw:
            raw["eval_labels"] = raw.pop("labels")
        with self.service.lock:
            self.service.acquire(self)
            inner = self.attached()
            self._pending.append(raw.copy())
        return self._take(inner.observe(raw))

    def act(self) -> Message:
        """Reply to what was observed."""
        reply = self.service.answer([ObservedBy(self)])[0]
        reply.force_set("id", self.id)
        if reply.get("text") is None:  # to an empty message there is no answer
            reply.force_set("text", "")
        self.self_observe(reply)
        return reply

    def batch_act(self, observations: Sequence[Act]) -> list[Message]:
        """
        Reply to many conversations' turns; each is told by :meth:`self_observe`.

        :param observations: what :meth:`observe` of the clones returned
        """
        if isinstance(observations, Batch):
            return self.live_agent().batch_act(observations)
        turns = [(seen or {}).get(TURN) for seen in observations]
        known = iter(self.service.answer([turn for turn in turns if turn is not None]))
        # padding of ParlAI's batches, which nobody observed
        empty = {"id": self.id, "episode_done": False}
        replies = [Message(empty) if turn is None else next(known) for turn in turns]
        for reply in replies:
            reply.force_set("id", self.id)
        return replies

    def self_observe(self, self_message: Act) -> None:
        """Hear the own reply, and close the turn."""
        with self.service.lock:
            inner = self.attached()
        inner.self_observe(self_message)
        forget_old(inner)
        ended = bool(self._pending) and bool(self._pending[-1].get("episode_done"))
        self._past.append(([_lasting(seen) for seen in self._pending], _lasting(self_message)))
        self._pending = []
        if ended:
            self._begin_anew()
        self.service.leave_turn(self)

    def reset(self) -> None:
        """Forget the conversation; the next turn begins another one."""
        super().reset()
        self._pending = []
        self._begin_anew()
        with self.service.lock:
            if self.inner is not None:
                self.inner.reset()
        self.service.leave_turn(self)

    def keep_history(self) -> Callable[[], None]:
        """What takes this conversation back to where it is now, when a turn of it fails."""
        past, pending = list(self._past), list(self._pending)

        def restore() -> None:
            with self.service.lock:
                self._past = collections.deque(past, maxlen=MOST_TURNS)
                self._pending = list(pending)
                self.leave()
            self.service.leave_turn(self)

        return restore

    def _begin_anew(self) -> None:
        self._past.clear()
        self.begun_on = None

    def _take(self, seen: Message) -> Message:
        seen.force_set(TURN, ObservedBy(self))
        self.observation = seen
        return seen

    # -- on and off models; called by the service, under its lock ----------------------------

    def enter(self, resident: LoadedModel) -> None:
        """Be on a model from now on."""
        self.resident, self.inner = resident, None
        resident.conversations.add(self)

    def leave(self) -> None:
        """Be on no model."""
        if self.resident is not None:
            self.resident.conversations.discard(self)
            self.resident.open.discard(self)
        self.resident = self.inner = None

    def attached(self) -> Any:
        """The clone of its model, with the conversation so far in its memory."""
        if self.resident is None:
            self.service.acquire(self)
        assert self.resident is not None
        if self.inner is None:
            self.inner = self.resident.agent.clone()
            with _not_vectorizing(self.inner):
                for observed, reply in self._past:
                    for message in observed:
                        self.inner.observe(Message(message))
                    self.inner.self_observe(reply)
            for message in self._pending:
                self._take(self.inner.observe(Message(message)))
        return self.inner

    def ready(self) -> tuple[LoadedModel, Any]:
        """Its model, and what that model made of the open turn."""
        self.attached()
        assert self.resident is not None
        return self.resident, self.observation

    # -- what worlds ask ---------------------------------------------------------------------

    @property
    def history(self) -> Any:
        """The history that the model at work keeps."""
        with self.service.lock:
            return self.attached().history

    def report(self) -> dict[str, Any]:
        """The live version's metrics."""
        report: dict[str, Any] = self.live_agent().report()
        return report

    def reset_metrics(self) -> None:
        """Let the live version's metrics start afresh."""
        super().reset_metrics()
        self.live_agent().reset_metrics()

    def shutdown(self) -> None:
        """Watch the channels no more."""
        self.service.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeployedAgent":
        """Another conversation at the same point; models and threads are one."""
        twin: DeployedAgent = self.clone()
        with self.service.lock:
            twin._past = collections.deque(self._past, maxlen=MOST_TURNS)
            twin._pending = list(self._pending)
            twin.begun_on = self.begun_on
        return twin

    def live_agent(self) -> Any:
        """The live version's own agent."""
        with self.service.lock:
            return self.service.residents[self.version].agent

    # last, as within the class it takes the name of the type
    @property
    def dict(self) -> Any:
        """The live version's dictionary."""
        return self.live_agent().dict


@contextlib.contextmanager
def _not_vectorizing(agent: ModelAgent) -> Iterator[None]:
    """
    Let an agent observe without making tensors of what it is not to answer.

    ParlAI puts the whole history into each: that of n turns would take n times as long as the last.
    """
    classes = (c for c in type(agent).__mro__ if not c.__module__.startswith("parlai_cu."))
    if next(c for c in classes if "observe" in vars(c)) is not TorchAgent:
        # it may want them for something else
        yield
        return
    agent.vectorize = lambda observation, *args, **kwargs: observation
    try:
        yield
    finally:
        del agent.vectorize


def _lasting(message: Act) -> Any:
    if message is None:
        return None
    return Message({k: v for k, v in message.items() if k not in _FLEETING})


def _add_ours(parser: ParlaiParser) -> None:
    group = parser.add_argument_group("Deployed")
    group.add_argument("--versions", help="the versions directory")
    group.add_argument("--channel", default="live", help="which channel is served")
    group.add_argument(
        "--pin",
        default=NONE,
        choices=PINS,
        help="'conversation': each conversation stays on the version it began with",
    )
    group.add_argument(
        "--canary-share",
        type=float,
        default=0.0,
        help="the share of conversations, 0 to 1, that the channel canary answers",
    )


def _start(opt: Opt) -> ModelService:
    if not opt.get("versions"):
        raise UsageError(_NO_VERSIONS)
    refuse_unread(opt, _DEPENDENT, _add_ours)
    share = opt.get("canary_share") or 0.0
    if not 0 <= share <= 1:
        raise UsageError(f"--canary-share {share}: expected a share from 0 to 1")
    store = VersionStore(opt["versions"], path_manager=PathManager)
    pin = opt.get("pin") == CONVERSATION
    # an evaluation is of one version, from its first example to its last
    evaluates = _evaluates(opt)
    lineup = VersionRouter(pin=pin, canary_share=0.0 if evaluates else share)
    service = ModelService(
        store,
        opt.get("channel") or "live",
        lineup,
        lambda version: load(store, version, opt, evaluates),
    )
    service.start(watch=not evaluates)
    return service


def _evaluates(opt: Opt) -> bool:
    return not opt.get("interactive_mode") and str(opt.get("datatype")).startswith(
        ("valid", "test", "train:evalmode")
    )


def _add_live_flags(parser: ParlaiParser, known: Opt) -> bool:
    """The flags of the live version's agent, as ``-mf`` would add them."""
    if not known.get("versions"):
        return False
    store = VersionStore(known["versions"], path_manager=PathManager)
    channel = known.get("channel") or "live"
    head = store.channel(channel)
    if head is None:
        raise serves_nothing(store, channel)
    model_file = store.model_file(head)
    with open(model_file + ".opt") as f:
        saved = Opt(json.load(f))
    agent = load_agent_module(saved["model"])
    agent.add_cmdline_args(parser, Opt({**saved, **known, "model_file": model_file}))
    return True
