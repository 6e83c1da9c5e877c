"""
A model that talks to people, whatever it was trained for.

A model may have been trained without writing replies (``--skip-generation true``), or to choose
among the labels of its batch. Whoever makes an agent that answers people gives it
:func:`overrides`, and asks it once with :func:`probe` before anybody else does.
"""

from collections.abc import Mapping
from typing import Any

import torch
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.torch_agent import TorchAgent

from parlai_cu.errors import ModelFileError, ParlaiCuError
from parlai_cu.parlai_types import ModelAgent

# what a new model is asked before it may serve
PROBE = "hello"


def overrides(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    What an agent's ``override`` has to say for it to answer people.

    :param given: overrides of the user, which win
    """
    # in interactive mode generators write, rankers choose from a file or from their task's labels
    speaking = {"interactive_mode": True, "skip_generation": False, "datatype": "valid"}
    return {**speaking, **(given or {})}


def probe(agent: ModelAgent, described: str, evaluates: bool = False) -> None:
    """
    Let a model answer once, in a conversation of its own. Agents without a model are not asked.

    :param agent: the model, loaded
    :param described: what to call it in messages
    :param evaluates: whether it is for an evaluation, which may do without replies
    :raises ModelFileError: when it gives no text or fails, or holds NaN or infinity
    """
    if not isinstance(agent, TorchAgent):
        return
    for name, tensor in agent.model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"{described}: {name} holds what is no number")
    trial = agent.clone()
    # in interactive mode a reply that there is not would be an empty one (host/silent_replies.py)
    trial.opt = Opt({**agent.opt, "interactive_mode": False})
    if evaluates and getattr(trial, "skip_generation", False):
        trial.skip_generation = False
    turn = Message({"id": "probe", "text": PROBE, "episode_done": True})
    if getattr(trial, "eval_candidates", None) == "inline":
        turn["label_candidates"] = [PROBE, "thank you"]
    try:
        trial.observe(turn)
        reply = trial.act()
    except ParlaiCuError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{described}: asked {PROBE!r} it failed: {why}") from error
    agent.reset_metrics()
    text = reply.get("text")
    if not isinstance(text, str):
        why = " (--skip-generation true)" if agent.opt.get("skip_generation") else ""
        raise ModelFileError(f"{described}: asked {PROBE!r} it replied with {text!r}{why}")
