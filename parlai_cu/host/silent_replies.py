"""
ParlAI's agents fail on their own reply when it has no text.

Seen with ParlAI 1.7.2: ENTER as the first message of ``interactive`` is ``KeyError: 'text'``: there
is nothing to answer, the reply has no text, and the agent that hears itself asks for it. So with
any agent of torch, ``-m deployed`` and ``kb_augmented``, and with a front end that sends no text.

Such a reply is not remembered; to people it is an empty text.
"""

from typing import Any

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Act


@instead_of("parlai.core.torch_agent:TorchAgent.self_observe")
def _self_observe(stock: Stock, self: Any, self_message: Act) -> None:
    seen = self.observation or {}
    labelled = "labels" in seen or "eval_labels" in seen
    if self_message is None or self_message.get("text") is not None or labelled:
        stock(self, self_message)
        return
    history = self.history
    history.add_reply = lambda *arguments: None  # of this conversation only
    try:
        stock(self, {**self_message, "text": ""})
    finally:
        del history.add_reply


@instead_of("parlai.core.torch_agent:TorchAgent.act")
def _act(stock: Stock, self: Any) -> Any:
    reply = stock(self)
    if self.opt.get("interactive_mode") and reply.get("text") is None:
        reply.force_set("text", "")
    return reply


@instead_of("parlai.agents.seq2seq.seq2seq:Seq2seqAgent.is_valid")
def _is_valid(stock: Stock, self: Any, obs: Act) -> bool:
    return obs.get("text_vec") is not None and bool(stock(self, obs))
