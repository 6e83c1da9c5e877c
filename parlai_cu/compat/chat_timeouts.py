"""
ParlAI's ``get_timeout_act`` takes an invalid answer, and polls.

Seen on ParlAI 1.7.2: the user is told "Invalid response. Please choose one of the quick
replies", and what they said is taken as their answer all the same; each answer comes 0.1 s late
(``parlai/chat_service/utils/timeout.py``, lines 47 to 58).
Goes when: never; ParlAI is archived.

Here it asks again until the answer is one of the quick replies or the time is up, and waits where
the agent can wait.
"""

import time
from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "get_timeout_act returns answers that it has just called invalid"


def after(module: ModuleType) -> None:
    """Put our ``get_timeout_act`` in the place of ParlAI's."""
    utils: Any = module.TimeoutUtils

    def get_timeout_act(
        agent: Any,
        timeout: float = module.DEFAULT_TIMEOUT,
        quick_replies: list[str] | None = None,
    ) -> Any:
        until = time.monotonic() + timeout
        while True:
            act = _next_act(agent, until, module.THREAD_SLEEP)
            if act is None or not quick_replies or act.get("text", "") in quick_replies:
                return act
            agent.observe(
                {
                    "id": "",
                    "text": "Invalid response. Please choose one of the quick replies",
                    "quick_replies": quick_replies,
                }
            )

    get_timeout_act.__doc__ = utils.get_timeout_act.__doc__
    utils.get_timeout_act = staticmethod(get_timeout_act)


def _next_act(agent: Any, until: float, pause: float) -> Any:
    if getattr(agent, "pace", None) is not None:
        return agent.act_blocking(max(0.0, until - time.monotonic()))
    while time.monotonic() < until:
        act = agent.act()
        if act is not None:
            return act
        time.sleep(pause)
    return None
