"""
ParlAI warns of options that an agent took over on purpose.

Seen with ParlAI 1.7.2, with ``--init-model``: two screens of "your model is being loaded with
opts that differ ... Add the following args to your run command to change this: --model
transformer/generator ...", which would undo what the user asked for.

The warning is right where architecture must be restated by hand. Agents of ours inherit the
deployed model's options and check them (``base_agent`` is set in their options).
"""

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt


@instead_of("parlai.core.agents:compare_init_model_opts")
def _compare_init_model_opts(stock: Stock, opt: Opt, curr_opt: Opt) -> None:
    if not curr_opt.get("base_agent"):
        stock(opt, curr_opt)
