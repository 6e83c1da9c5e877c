"""A version's model as a ParlAI agent: made as ``-mf`` makes it, and tried before it serves."""

import copy
from typing import Any

from parlai.core.agents import create_agent
from parlai.core.opt import Opt
from parlai.core.torch_agent import TorchAgent

from parlai_cu.agents import speaking
from parlai_cu.errors import ModelFileError
from parlai_cu.versions.store import VersionStore

# flags of -m deployed itself
FLAGS = ("versions", "channel", "pin", "canary_share")
# what a version brings itself
_OWN = (*FLAGS, "model", "model_file", "init_model", "dict_file", "override")


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
    if not evaluates:
        override = speaking.overrides(override)
    # the version's own says "train", for which ParlAI would make an optimizer
    override["datatype"] = "valid" if "train" in opt.get("datatype", "train") else opt["datatype"]
    settings.update(model_file=path, override=override)
    agent = create_agent(settings, requireModelExists=True)
    if not isinstance(agent, TorchAgent):
        raise ModelFileError(f"version {version} is a {type(agent).__name__}, not a TorchAgent")
    speaking.probe(agent, f"version {version}", evaluates)
    return agent
