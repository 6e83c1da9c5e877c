"""
ParlAI does whatever a model's ``.opt`` says: it sends users' words to its hosts, imports its
modules, reads its files.

With this what an ``.opt`` names beyond the model's folder counts only where the user stands behind
it (:mod:`parlai_cu.reach`).
"""

import sys
from typing import Any

from parlai_cu import reach
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt


@instead_of("parlai.core.params:ParlaiParser.parse_args")
def _parse_args(stock: Stock, self: Any, args: Any = None, *more: Any, **named: Any) -> Any:
    """Hear what the user says."""
    reach.say(sys.argv[1:] if args is None else args)
    return stock(self, args, *more, **named)


@instead_of("parlai.core.params:get_model_name")
def _get_model_name(stock: Stock, opt: Opt) -> Any:
    """Look at a model's options before the module of its agent is imported."""
    from parlai.core import params

    name = stock(opt)
    if name is not None and name != opt.get("model"):
        path = params.modelzoo_path(opt.get("datapath"), opt["model_file"])
        reach.check(params.Opt.load(f"{path}.opt"), path, only=reach.CODE)
    return name


@instead_of("parlai.core.agents:create_agent_from_opt_file")
def _create_agent_from_opt_file(stock: Stock, opt: Opt) -> Any:
    """Look at them before they are in force."""
    from parlai.core import agents

    override, model_file = opt.get("override") or {}, opt["model_file"]
    if not agents.PathManager.exists(f"{model_file}.opt"):
        return stock(opt)
    held = agents.Opt.load(f"{model_file}.opt")
    # said with -m
    said = {*override, "model"} if held.get("model") == opt.get("model") else override
    reach.check(held, model_file, said=said)
    own = None if "dict_file" in said else reach.own_dictionary(held, model_file)
    if own is not None:
        opt["override"] = {**override, "dict_file": own}
    return stock(opt)


@instead_of("parlai.scripts.train_model:TrainLoop.__init__")
def _init(stock: Stock, self: Any, opt: Opt) -> None:
    """Remember those of models that are trained here."""
    stock(self, opt)
    if opt.get("model_file"):
        reach.remember({**opt, **(getattr(self.agent, "opt", None) or {})}, opt["model_file"])
