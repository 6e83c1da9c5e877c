"""
The models of a service as worlds see them.

A world makes itself an agent of ``opt["shared_bot_params"][NAME]`` and calls ``observe`` and
``act``. What it is given looks like the model's own agent, but whatever touches the model is done
by the model thread, and ``act`` joins the batch that is next.
"""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from parlai.core.agents import create_agent_from_shared
from parlai.core.message import Message

from parlai_cu.chat_service.agent import forget_copies
from parlai_cu.detokenize import readable
from parlai_cu.errors import UsageError, nearest
from parlai_cu.parlai_types import Act, ModelAgent, Opt
from parlai_cu.serving.batcher import BatchedCall, Batcher, Busy, ModelTurn
from parlai_cu.serving.fibers import current_fiber
from parlai_cu.serving.protocol import REFUSALS

# turns that fail one after the other before the agent starts afresh
_TRIES = 2


class ServedModel:
    """
    A conversation's agent, which shares the service's model.

    :param root: the agent that holds the model
    :param batcher: the model thread
    :param on_failure: told of each turn that could not be answered
    :param shared: what the root shares with its clones
    """

    def __init__(
        self,
        root: ModelAgent,
        batcher: Batcher,
        on_failure: Callable[[str], None],
        shared: dict[str, Any],
    ) -> None:
        self._root, self._batcher, self._on_failure = root, batcher, on_failure
        self._heard: list[Any] = []
        self._failures = 0
        # of the class where it is deployed's, which looks it up
        has_dictionary = hasattr(type(root), "dict") or hasattr(root, "dict")
        self._speaks_tokens = has_dictionary and root.opt.get("detokenize") is not False
        self._clone = self._do(functools.partial(create_agent_from_shared, shared))
        for copied in (shared["opt"], root.opt):
            forget_copies(copied)
        # what ParlAI's worlds read of an agent; others ask `call`
        self.opt = self._clone.opt
        self.id = getattr(self._clone, "id", "model")
        fiber = current_fiber()
        if fiber is not None and fiber.local is not None:
            self.set_conversation(fiber.local.conversations[0].id)

    @property
    def version(self) -> Any:
        """Of the model that answers, where it has one (``-m deployed``)."""
        return getattr(self._clone, "version", None)

    def reset(self) -> None:
        """Forget what was said."""
        self._heard.clear()
        self.call("reset")

    def self_observe(self, reply: object) -> None:
        """Hear a ``reply`` of its own."""
        self.call("self_observe", reply)

    def set_conversation(self, conversation: str, begun_on: str | None = None) -> None:
        """Name the conversation (``-m deployed``), ``begun_on`` that version."""
        self.call("set_conversation", conversation, begun_on)

    def rate(self, conversation: str, up: bool, version: str | None = None) -> None:
        """Count a rating in a conversation (``-m deployed``): ``up`` or not, of a version."""
        self.call("rate", conversation, up, version)

    def vote(
        self, conversation: str, turn: int, up: bool, version: str | None, voter: str | None
    ) -> None:
        """
        The same, of a reply that has a number, by somebody who may have several conversations.

        :param conversation: its id
        :param turn: the reply's number
        :param up: good or bad
        :param version: that replied
        :param voter: an address
        """
        if callable(getattr(self._clone, "vote", None)):
            self.call("vote", conversation, turn, up, version, voter)
        else:
            self.rate(conversation, up, version)

    def call(self, method: str, *arguments: Any) -> Any:
        """
        Call a method of the agent's own, on the model thread; None where it has none.

        :param method: its name
        :param arguments: of it
        """
        self._catch_up()
        bound = getattr(self._clone, method, None)
        return self._do(functools.partial(bound, *arguments)) if callable(bound) else None

    def observe(self, observation: Act) -> Any:
        """
        Hear something. It is vectorized when the agent is asked to act, with others.

        :param observation: what is said
        :return: the same, unlike with ParlAI's own agents, which return what they made of it
        """
        self._heard.append(observation)
        return observation

    def act(self) -> Message:
        """Answer what was last heard, in one batch with other conversations."""
        heard, self._heard = self._heard, []
        fiber = current_fiber()
        if not heard or fiber is None:
            return self._shown(self._do(functools.partial(self._act_alone, heard)))
        if fiber.local is not None:
            fiber.local.typing()
        turn = ModelTurn(self._root, self._clone, heard, fiber.wake)
        try:
            self._batcher.submit(turn)
        except Busy as busy:
            return self._apology(REFUSALS["busy"].format(why=busy))
        until = time.monotonic() + 2 * self._batcher.patience
        while not turn.finished and (left := until - time.monotonic()) > 0:
            fiber.wait(left)
        if not turn.finished:
            turn.give_up()
        if turn.error is None and ("text" in turn.reply or "payload" in turn.reply):
            self._failures = 0
            return self._shown(turn.reply)
        return self._failed()

    def respond(self, text_or_message: str | Mapping[str, Any], **other: Any) -> str:
        """The answer to a text or a message, as ParlAI's agents have it."""
        said = {"text": text_or_message} if isinstance(text_or_message, str) else text_or_message
        self.observe(Message({"episode_done": False, **said, **other}))
        return str(self.act()["text"])

    def _shown(self, reply: Any) -> Any:
        """A model's reply as people read it, where it speaks in tokens."""
        return readable(reply) if self._speaks_tokens and reply is not None else reply

    def _act_alone(self, heard: list[Any]) -> Any:
        for observation in heard:
            self._clone.observe(observation)
        return self._clone.act()

    def _failed(self) -> Message:
        self._on_failure("model")
        self._failures += 1
        if self._failures < _TRIES:
            return self._apology(REFUSALS["failed"])
        self._failures = 0
        self.reset()
        return self._apology(f"{REFUSALS['failed']} I have also forgotten what we said before.")

    def _apology(self, text: str) -> Message:
        return Message({"id": self.id, "text": text, "episode_done": False, "failed": True})

    def _catch_up(self) -> None:
        if self._heard:
            heard, self._heard = self._heard, []
            for observation in heard:
                self._do(functools.partial(self._clone.observe, observation))

    def _do(self, function: Callable[[], Any]) -> Any:
        """Run something on the model thread; this fiber is set aside meanwhile."""
        fiber = current_fiber()
        if fiber is None:
            return self._batcher.call(function)
        work = BatchedCall(function, fiber.wake)
        self._batcher.do(work)
        while not work.done():
            fiber.wait()
        return work.outcome()


class SharedModels(dict[str, dict[str, Any]]):
    """
    ``opt["shared_bot_params"]``: what worlds make their agents of, by the model's name.

    ParlAI's chatbot world asks for ``blender_90M`` whatever the model is called in config.yml:
    where there is only one, it is meant.
    """

    def __missing__(self, name: str) -> dict[str, Any]:
        if len(self) == 1:
            return next(iter(self.values()))
        close = nearest(name, self) or sorted(self)
        raise UsageError(
            f"the world asks for the model {name!r}; config.yml has {', '.join(sorted(self))}; "
            f"nearest: {', '.join(close)}"
        )


def shared_with_worlds(
    root: ModelAgent, batcher: Batcher, on_failure: Callable[[str], None]
) -> dict[str, Any]:
    """
    What ``create_agent_from_shared`` makes a :class:`ServedModel` of.

    :param root: the agent that holds the model
    :param batcher: the model thread
    :param on_failure: told of each turn that could not be answered
    """
    # what Agent.share() says, and agents forget that do not call it (unigram)
    always = {"class": type(root), "opt": root.opt}

    def make(opt: Opt, shared: dict[str, Any] | None = None) -> ServedModel:
        # the root may share other things than it did at first, after a swap
        return ServedModel(root, batcher, on_failure, {**always, **root.share(), "opt": opt})

    return {**always, **root.share(), "class": make}
