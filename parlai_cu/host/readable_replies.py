"""
``parlai interactive`` shows replies as a person would write them, of our agents.

ParlAI's dictionaries leave spaces between a model's tokens: "your bill is $ 150 . it ' s due". The
model hears its own words; only what is printed differs. ``--detokenize`` says otherwise, and for
any agent.
"""

import functools
from types import ModuleType
from typing import Any

from parlai.core.params import get_model_name

from parlai_cu import plugin
from parlai_cu.detokenize import readable
from parlai_cu.parlai_types import Act, Opt, Parser


def after(module: ModuleType) -> None:
    """Let the person at the terminal read them (parlai.agents.local_human.local_human)."""
    human = module.LocalHumanAgent
    stock_flags, stock_init, stock_observe = (
        human.add_cmdline_args.__func__,
        human.__init__,
        human.observe,
    )

    @functools.wraps(stock_flags)
    def add_cmdline_args(cls: Any, parser: Parser, partial_opt: Opt | None = None) -> Any:
        parser = stock_flags(cls, parser, partial_opt)
        parser.add_argument_group("Local Human Arguments").add_argument(
            "--detokenize",
            type="bool",
            default=None,
            help="show replies as a person would write them; default: true for parlai-cu's agents",
        )
        return parser

    @functools.wraps(stock_init)
    def __init__(self: Any, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        stock_init(self, opt, shared)
        wanted = opt.get("detokenize")
        self.detokenizes = get_model_name(opt) in plugin.AGENTS if wanted is None else wanted

    @functools.wraps(stock_observe)
    def observe(self: Any, msg: Act) -> Any:
        return stock_observe(self, readable(msg) if self.detokenizes else msg)

    human.add_cmdline_args = classmethod(add_cmdline_args)
    human.__init__, human.observe = __init__, observe
