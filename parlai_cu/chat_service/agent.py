"""A person on a websocket or HTTP, as a world sees them."""

import time
from collections.abc import Mapping
from typing import Any

from parlai.chat_service.services.websocket.agents import WebsocketAgent

from parlai_cu.parlai_types import Opt
from parlai_cu.serving.fibers import Fiber, current_fiber
from parlai_cu.serving.protocol import Message
from parlai_cu.serving.session import ChatSession

# what a user types alone on a line to steer the chat
COMMANDS = ("[DONE]", "[RESET]")
# s between looks at the clock of a world that waits: the first, and the longest
SHORTEST, LONGEST = 0.3, 2.4


class UserText(str):
    """
    What a user said. ``"[DONE]" in text`` is true only where that is all they said.

    ParlAI's worlds, and those copied from them, look for their commands anywhere in a message.
    """

    def __contains__(self, part: Any) -> bool:
        return self.strip() == part if part in COMMANDS else super().__contains__(part)


def forget_copies(opt: Opt) -> None:
    """
    Let an Opt forget where it was copied.

    ParlAI notes a line at each copy, for ever: with an agent for each conversation that never ends.

    :param opt: ParlAI's
    """
    getattr(opt, "deepcopies", []).clear()


class Pace:
    """
    How a world and its users wait for each other: one for each world that runs.

    :param conversations: of the world's users
    """

    def __init__(self, conversations: list[ChatSession]) -> None:
        self.conversations = conversations
        # whether a message was read, or anything said, in the present parley()
        self.read = self.said = False
        self._pause = SHORTEST
        self._seen = 0
        self._fiber: Fiber | None = None

    def begin(self, fiber: Fiber) -> None:
        """The world begins on this fiber."""
        self._fiber, fiber.local = fiber, self
        for conversation in self.conversations:
            conversation.wake_with(fiber.wake)

    def end(self) -> None:
        """The world has ended."""
        for conversation in self.conversations:
            conversation.wake_with(None)
            conversation.accepts = ()

    def next_parley(self) -> None:
        """The world's parley() is about to be called."""
        self.read = self.said = False
        self._seen = self._arrived()

    def wait(self, seconds: float | None = None) -> None:
        """
        Wait for a message that arrives, of any of the users, or until it is time to look again.

        :param seconds: the longest to wait
        """
        if self._fiber is None or current_fiber() is not self._fiber:
            return
        for conversation in self.conversations:
            conversation.waits()
        if self._arrived() == self._seen:
            pause = self._pause if seconds is None else min(seconds, self._pause)
            self._fiber.wait(pause)
            self._pause = min(self._pause * 2, LONGEST)
        self._seen = self._arrived()

    def was_read(self) -> None:
        """A message was read."""
        self.read, self._pause = True, SHORTEST

    def was_said(self) -> None:
        """The world has said something."""
        self.said, self._pause = True, SHORTEST

    def typing(self) -> None:
        """A reply is being written."""
        for conversation in self.conversations:
            conversation.show_typing()

    def _arrived(self) -> int:
        return sum(conversation.arrived for conversation in self.conversations)


class ServedAgent(WebsocketAgent):
    """
    ParlAI's agent for a person, whose messages are those of their conversation.

    :param opt: the service's options
    :param manager: the service
    :param receiver_id: the conversation's id
    :param task_id: what the agent is for
    :param conversation: the user's
    """

    def __init__(
        self, opt: Opt, manager: object, receiver_id: str, task_id: str, conversation: ChatSession
    ) -> None:
        super().__init__(opt, manager, receiver_id, task_id)
        forget_copies(opt)
        self.conversation = conversation
        self.disp_id = "NewUser"
        self.pace: Pace | None = None
        # whether act() found nothing in the present parley()
        self.looked = False

    @property
    def token(self) -> str:
        """What resumes the person's conversation."""
        return self.conversation.token

    @property
    def claimed(self) -> str | None:
        """What the person has shown to resume it, where that was another token."""
        return self.conversation.claimed

    def new_token(self) -> None:
        """The conversation is over: whatever resumed it does so no more."""
        self.conversation.forget_tokens()
        self.manager.post(self.manager.gateway.renewed, self.conversation)

    def observe(self, act: Mapping[str, Any]) -> None:
        """Send the person a message: `text` or `payload`, `quick_replies` and whatever else."""
        if self.pace is not None:
            self.pace.was_said()
        self.conversation.send(act)

    def observe_typing_on(self, persona_id: object = None) -> None:
        """Show that a reply is being written; whatever the ``persona_id``, as ParlAI calls it."""
        self.conversation.show_typing()

    def get_new_act_message(self) -> dict[str, Any] | None:
        """The oldest message that was not read, or None."""
        message = self.conversation.take()
        if message is None:
            return None
        if self.pace is not None:
            self.pace.was_read()
        return {**message.act(), "text": UserText(message.text), "id": self.disp_id}

    def act(self) -> dict[str, Any] | None:
        """
        The oldest message that was not read, or None.

        Called a second time in vain within one parley(), it waits a little for a message.
        """
        act = self.get_new_act_message()
        if act is None and self.looked and self.pace is not None:
            self.pace.wait()
            act = self.get_new_act_message()
        self.looked = act is None
        return act

    def act_blocking(self, timeout: float | None = None) -> dict[str, Any] | None:
        """
        Wait for a message.

        :param timeout: s after which it is None
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            act = self.get_new_act_message()
            left = None if until is None else until - time.monotonic()
            if act is not None or self.pace is None or (left is not None and left <= 0):
                return act
            self.pace.wait(left)

    def put_data(self, message: Mapping[str, Any]) -> None:
        """A message of the person, in ParlAI's format."""
        self.conversation.put(Message("message", message.get("text") or "", message.get("payload")))
