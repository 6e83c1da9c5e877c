"""
``parlai interactive`` shows replies as a person would write them, of our agents.

ParlAI's dictionaries leave spaces between a model's tokens: "your bill is $ 150 . it ' s due". The
model hears its own words; only what is printed differs. ``--detokenize`` says otherwise, and for
any agent.
"""

from typing import Any

from parlai_cu import plugin
from parlai_cu.detokenize import readable
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Act, Opt, Parser


@instead_of("parlai.agents.local_human.local_human:LocalHumanAgent.add_cmdline_args")
def _add_cmdline_args(
    stock: Stock, cls: Any, parser: Parser, partial_opt: Opt | None = None
) -> Any:
    parser = stock(cls, parser, partial_opt)
    parser.add_argument_group("Local Human Arguments").add_argument(
        "--detokenize",
        type="bool",
        default=None,
        help="show replies as a person would write them; default: true for parlai-cu's agents",
    )
    return parser


@instead_of("parlai.agents.local_human.local_human:LocalHumanAgent.__init__")
def _init(stock: Stock, self: Any, opt: Opt, shared: dict[str, Any] | None = None) -> None:
    from parlai.core.params import get_model_name

    stock(self, opt, shared)
    wanted = opt.get("detokenize")
    self.detokenizes = get_model_name(opt) in plugin.AGENTS if wanted is None else wanted


@instead_of("parlai.agents.local_human.local_human:LocalHumanAgent.observe")
def _observe(stock: Stock, self: Any, msg: Act) -> Any:
    return stock(self, readable(msg) if self.detokenizes else msg)
