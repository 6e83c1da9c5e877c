"""
ParlAI's agents fail on their own reply when it has no text.

Seen with ParlAI 1.7.2: ENTER as the first message of ``interactive`` is ``KeyError: 'text'``: there
is nothing to answer, the reply has no text, and the agent that hears itself asks for it. So with
any agent of torch, ``-m deployed`` and ``kb_augmented``, and with a front end that sends no text.
Goes when: never; ParlAI is archived.

Such a reply is not remembered; to people it is an empty text.
"""

import functools
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI's agents fail on an empty first message"


def after(module: Any) -> None:
    """Let agents hear themselves say nothing (parlai.core.torch_agent, and seq2seq)."""
    if module.__name__ == "parlai.agents.seq2seq.seq2seq":
        _look_before_reading(module.Seq2seqAgent)
        return
    agent = module.TorchAgent
    stock_observe, stock_act = agent.self_observe, agent.act

    @functools.wraps(stock_observe)
    def self_observe(self: Any, self_message: Any) -> None:
        seen = self.observation or {}
        labelled = "labels" in seen or "eval_labels" in seen
        if self_message is None or self_message.get("text") is not None or labelled:
            stock_observe(self, self_message)
            return
        history = self.history
        history.add_reply = lambda *arguments: None  # of this conversation only
        try:
            stock_observe(self, {**self_message, "text": ""})
        finally:
            del history.add_reply

    @functools.wraps(stock_act)
    def act(self: Any) -> Any:
        reply = stock_act(self)
        if self.opt.get("interactive_mode") and reply.get("text") is None:
            reply.force_set("text", "")
        return reply

    agent.self_observe, agent.act = self_observe, act


def _look_before_reading(agent: Any) -> None:
    stock = agent.is_valid

    @functools.wraps(stock)
    def is_valid(self: Any, obs: Any) -> bool:
        return obs.get("text_vec") is not None and bool(stock(self, obs))

    agent.is_valid = is_valid
