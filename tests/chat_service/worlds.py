"""Worlds that a service is tried with."""

from typing import Any

from parlai.chat_service.services.messenger.worlds import OnboardWorld, SimpleMessengerOverworld
from parlai.chat_service.tasks.chatbot.worlds import MessengerBotChatTaskWorld, MessengerOverworld
from parlai.chat_service.tasks.overworld_demo.worlds import MessengerChatTaskWorld
from parlai.chat_service.utils.timeout import TimeoutUtils
from parlai.core.worlds import World

__all__ = ["MessengerBotChatTaskWorld", "MessengerChatTaskWorld", "MessengerOverworld"]


class Straight(SimpleMessengerOverworld):  # type: ignore[misc]
    """An overworld that asks nothing."""


class Quick(OnboardWorld):  # type: ignore[misc]
    """Onboarding without a word."""


class OneUser(World):  # type: ignore[misc]
    """Base: a world of one user that never ends by itself."""

    def __init__(self, opt: Any, agents: list[Any]) -> None:
        self.opt, self.agent = opt, agents[0]
        self.agents, self.done = agents, False

    @classmethod
    def generate_world(cls, opt: Any, agents: list[Any]) -> Any:
        """ParlAI's constructor."""
        return cls(opt, agents)

    def episode_done(self) -> bool:
        """Whether it is done."""
        return self.done

    def shutdown(self) -> None:
        """Count."""
        Ended.worlds.append(type(self).__name__)


class Ended:
    """Worlds that were shut down."""

    worlds: list[str] = []


class Choosing(OneUser):
    """Asks for one of two words by ParlAI's helper, which waits in parley()."""

    def parley(self) -> None:
        """Ask and tell."""
        self.agent.observe({"text": "tea or coffee?", "quick_replies": ["tea", "coffee"]})
        act = TimeoutUtils.get_timeout_act(self.agent, 600, ["tea", "coffee"])
        self.agent.observe({"text": f"you chose {act['text']}"})


class Failing(OneUser):
    """Fails when it is told to."""

    def parley(self) -> None:
        """Say it again, or fail."""
        act = self.agent.act()
        if act is not None:
            if act["text"] == "fail":
                raise ValueError(act["text"])
            self.agent.observe(act)


class Broken(OneUser):
    """Fails before it reads anything."""

    def parley(self) -> None:
        """Fail."""
        raise ValueError("always")


class Rated(OneUser):
    """Takes ratings."""

    accepts = ("rating", "resumed")

    def parley(self) -> None:
        """Say what came."""
        act = self.agent.act()
        if act is not None:
            what = act["type"] if act["type"] != "message" else act["text"]
            self.agent.observe({"text": f"{what} {act.get('rating', '')}".strip()})


class Picky(OneUser):
    """For grown-ups only."""

    @staticmethod
    def eligibility_function(state: Any) -> bool:
        """Who may come in."""
        return bool(state.data.get("grown_up"))

    def parley(self) -> None:
        """Greet once."""
        self.agent.observe({"text": "come in"})
        self.agent.act_blocking()
