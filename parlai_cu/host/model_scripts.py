"""
Commands that look into a model, over ``-m deployed``: they get the live version's own agent.

``parlai token_stats`` and ``parlai torchscript`` ask for tokens and for tensors, which a
conversation with the live version does not have.
"""

from typing import Any


def after(module: Any) -> None:
    """Let the command have the live version's agent (parlai.scripts.token_stats, torchscript)."""
    stock = module.create_agent

    def create_agent(opt: Any, *args: Any, **kwargs: Any) -> Any:
        agent = stock(opt, *args, **kwargs)
        return agent.live_agent() if hasattr(agent, "live_agent") else agent

    create_agent.__doc__ = stock.__doc__
    module.create_agent = create_agent
