"""
ParlAI does whatever a model's ``.opt`` says: it sends users' words to its hosts, imports its
modules, reads its files.

With this what an ``.opt`` names beyond the model's folder counts only where the user stands behind
it (:mod:`parlai_cu.reach`).
"""

import functools
import sys
from types import ModuleType
from typing import Any

from parlai_cu import reach
from parlai_cu.parlai_types import Opt


def after(module: ModuleType) -> None:
    """
    Look at options where ParlAI reads them, and remember those of models that are trained here.

    :param module: parlai.core.params, parlai.core.agents or parlai.scripts.train_model
    :raises ModelFileError: later, of an ``.opt`` that reaches too far
    """
    hooks = {
        "parlai.core.params": _hear_the_user,
        "parlai.core.agents": _look_at_options,
        "parlai.scripts.train_model": _remember_training,
    }
    hooks[module.__name__](module)


def _hear_the_user(module: Any) -> None:
    parser = module.ParlaiParser
    stock_name, stock_parse = module.get_model_name, parser.parse_args

    @functools.wraps(stock_parse)
    def parse_args(self: Any, args: Any = None, *more: Any, **named: Any) -> Any:
        reach.say(sys.argv[1:] if args is None else args)
        return stock_parse(self, args, *more, **named)

    @functools.wraps(stock_name)
    def get_model_name(opt: Opt) -> Any:
        # the agent's module is about to be imported
        name = stock_name(opt)
        if name is not None and name != opt.get("model"):
            path = module.modelzoo_path(opt.get("datapath"), opt["model_file"])
            reach.check(module.Opt.load(f"{path}.opt"), path, only=reach.CODE)
        return name

    parser.parse_args, module.get_model_name = parse_args, get_model_name


def _look_at_options(module: Any) -> None:
    stock = module.create_agent_from_opt_file

    @functools.wraps(stock)
    def create_agent_from_opt_file(opt: Opt) -> Any:
        override, model_file = opt.get("override") or {}, opt["model_file"]
        if not module.PathManager.exists(f"{model_file}.opt"):
            return stock(opt)
        held = module.Opt.load(f"{model_file}.opt")
        # said with -m
        said = {*override, "model"} if held.get("model") == opt.get("model") else override
        reach.check(held, model_file, said=said)
        own = None if "dict_file" in said else reach.own_dictionary(held, model_file)
        if own is not None:
            opt["override"] = {**override, "dict_file": own}
        return stock(opt)

    module.create_agent_from_opt_file = create_agent_from_opt_file


def _remember_training(module: Any) -> None:
    stock = module.TrainLoop.__init__

    @functools.wraps(stock)
    def __init__(self: Any, opt: Opt) -> None:
        stock(self, opt)
        if opt.get("model_file"):
            reach.remember({**opt, **(getattr(self.agent, "opt", None) or {})}, opt["model_file"])

    module.TrainLoop.__init__ = __init__
