"""
What ParlAI's own chat service leaks and gets wrong, whichever front end it has.

Seen on ParlAI 1.7.2:

* a file ``1732460000.123.log`` in the folder one happens to be in for each start of a service, with
  all that users said and the password in clear (``parlai/chat_service/utils/logging.py``, line 26);
* all that users and model say on standard output, and so in the journal
  (``parlai/chat_service/tasks/chatbot/worlds.py``, lines 77 to 84): here with ``--log-text`` only;
* ``get_timeout_act`` calls an answer invalid and takes it all the same, and each answer comes .1 s
  late (``parlai/chat_service/utils/timeout.py``, lines 47 to 58): here it asks again until the
  answer is one of the quick replies or the time is up, and waits where the agent can wait;
* the messenger service takes what config.yml says of a model only where its ``.opt`` says nothing
  (``override:`` is looked for as ``overrides:``, and kept unused), and a model that was trained
  with ``--skip-generation true`` replies nothing at all.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import ModelAgent, Opt


@contextlib.contextmanager
def no_log_file() -> Iterator[None]:
    """Within, ``logging`` stays as the service's own settings have it."""
    with mock.patch.object(logging, "basicConfig", lambda **options: None):
        yield


def after(module: ModuleType) -> None:
    """Print no message of users (its logging, its chatbot world)."""
    if module.__name__ == "parlai.chat_service.utils.logging":
        module.set_is_debug(False)
    elif module.__name__ == "parlai.chat_service.tasks.chatbot.worlds":
        module.print = _print_if_shown  # type: ignore[attr-defined]


def _print_if_shown(*values: Any, **options: Any) -> None:
    from parlai_cu.serving.logs import Texts

    if Texts.shown:
        print(*values, **options)


@instead_of("parlai.chat_service.utils.timeout:TimeoutUtils.get_timeout_act")
def _get_timeout_act(
    stock: Stock, agent: ModelAgent, timeout: float = 120, quick_replies: list[str] | None = None
) -> Any:
    until = time.monotonic() + timeout
    while True:
        act = _next_act(agent, until)
        if act is None or not quick_replies or act.get("text", "") in quick_replies:
            return act
        again = "Invalid response. Please choose one of the quick replies"
        agent.observe({"id": "", "text": again, "quick_replies": quick_replies})


def _next_act(agent: ModelAgent, until: float) -> Any:
    from parlai.chat_service.utils.timeout import THREAD_SLEEP

    if getattr(agent, "pace", None) is not None:
        return agent.act_blocking(max(0.0, until - time.monotonic()))
    while time.monotonic() < until:
        act = agent.act()
        if act is not None:
            return act
        time.sleep(THREAD_SLEEP)
    return None


@instead_of("parlai.chat_service.services.messenger.messenger_manager:create_agent")
def _create_agent(stock: Stock, opt: Opt, *args: Any, **more: Any) -> Any:
    from parlai_cu.chat_service.yaml_settings import model_options

    name = str(opt.get("model_file") or opt.get("model"))
    return stock(model_options(name, opt), *args, **more)
