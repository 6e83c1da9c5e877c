"""
Commands that look into a model, over ``-m deployed``: they get the live version's own agent.

``parlai token_stats`` and ``parlai torchscript`` ask for tokens and for tensors, which a
conversation with the live version does not have.
"""

from typing import Any

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt


@instead_of("parlai.scripts.token_stats:create_agent", "parlai.scripts.torchscript:create_agent")
def _create_agent(stock: Stock, opt: Opt, *args: Any, **kwargs: Any) -> Any:
    agent = stock(opt, *args, **kwargs)
    return agent.live_agent() if hasattr(agent, "live_agent") else agent
