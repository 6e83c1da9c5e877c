"""A version's model as a ParlAI agent: made as ``-mf`` makes it, and tried before it serves."""

import copy
from typing import Any

import torch
from parlai.core.agents import create_agent
from parlai.core.message import Message
from parlai.core.opt import Opt
from parlai.core.torch_agent import TorchAgent

from parlai_cu.errors import ModelFileError
from parlai_cu.versions.store import VersionStore

# flags of -m deployed itself
FLAGS = ("versions", "channel", "pin", "canary_share")
# what a version brings itself
_OWN = (*FLAGS, "model", "model_file", "init_model", "dict_file", "override")
# what a new model is asked before it may serve
PROBE = "hello"


def load(store: VersionStore, version: str, opt: Opt, evaluates: bool = False) -> TorchAgent:
    """
    The agent of a version, with the flags that the user gave to ``-m deployed``.

    :param store: where the version is
    :param version: its id
    :param opt: of the serving agent; what was said explicitly overrides what the version says
    :param evaluates: whether it is for an evaluation, which may do without replies
    :raises ModelFileError: when it is no TorchAgent, or gives no reply
    """
    path = store.model_file(version)
    settings = Opt({k: copy.deepcopy(v) for k, v in opt.items() if k not in _OWN})
    override: dict[str, Any] = {
        k: v for k, v in (opt.get("override") or {}).items() if k not in _OWN
    }
    # the version's own says "train", for which ParlAI would make an optimizer
    override["datatype"] = "valid" if "train" in opt.get("datatype", "train") else opt["datatype"]
    if not evaluates:
        # trained without validating replies, it is to reply now all the same
        override.setdefault("skip_generation", False)
    settings.update(model_file=path, override=override)
    agent = create_agent(settings, requireModelExists=True)
    if not isinstance(agent, TorchAgent):
        raise ModelFileError(f"version {version} is a {type(agent).__name__}, not a TorchAgent")
    probe(agent, version)
    return agent


def probe(agent: TorchAgent, version: str) -> None:
    """
    Let a model answer once, in a conversation of its own.

    :param agent: the model, loaded
    :param version: its id, for messages
    :raises ModelFileError: when it gives no text, or holds NaN or infinity
    """
    for name, tensor in agent.model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"version {version}: {name} holds what is no number")
    trial = agent.clone()
    turn = Message({"id": "probe", "text": PROBE, "episode_done": True})
    if getattr(trial, "eval_candidates", None) == "inline":
        turn["label_candidates"] = [PROBE, "thank you"]
    trial.observe(turn)
    reply = trial.act()
    agent.reset_metrics()
    text = reply.get("text")
    if not isinstance(text, str):
        raise ModelFileError(f"version {version}: asked {PROBE!r} it replied with {text!r}")
