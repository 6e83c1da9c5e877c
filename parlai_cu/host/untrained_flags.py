"""
``parlai interactive`` and ``eval_model`` take flags of training, and nothing in them learns.

Seen with ParlAI 1.7.2: ``parlai interactive -mf candidate --penalty lwf`` talks as without it. Our
flags that mean something to a training alone are refused; ParlAI's own are as ever.
"""

from typing import Any

from parlai_cu import plugin
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt
from parlai_cu.unread_flags import Dependent, never, refuse_unread

_DEPENDENT = Dependent(
    (
        *("penalty", "penalty_weight"),
        *("replay_task", "replay_share", "replay_size", "replay_from_model"),
        *("distill_weight", "distill_temperature", "distill_loss", "teacher_cache"),
        *("cache_frozen", "cache_frozen_size", "cache_frozen_exact"),
    ),
    never,
    "where nothing is trained; it is a flag of parlai train_model",
)


@instead_of(
    "parlai.scripts.interactive:interactive",
    "parlai.scripts.safe_interactive:safe_interactive",
    "parlai.scripts.self_chat:self_chat",
    "parlai.scripts.eval_model:eval_model",
)
def _command(stock: Stock, opt: Opt) -> Any:
    from parlai.core.params import get_model_name

    if get_model_name(opt) in plugin.AGENTS:  # another's may have flags of the same names
        given = {name: value for name, value in (opt.get("override") or {}).items() if value}
        refuse_unread({**opt, "override": given}, (_DEPENDENT,))
    return stock(opt)
