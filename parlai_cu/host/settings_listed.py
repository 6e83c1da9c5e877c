"""
ParlAI lists every setting before the first word of a conversation.

Seen with ParlAI 1.7.2, ``parlai interactive -m deployed``: 140 lines of "INFO | adam_eps: 1e-08",
most of them of a training long ago, and the prompt below them.

Of a model in service (``deployed``, ``kb_augmented``) they are listed where ``--loglevel`` asks for
them; other models list them as ever.
"""

from typing import Any

from parlai_cu.host import Stock, instead_of

# the agents that speak with people
_IN_SERVICE = {"deployed", "kb_augmented"}


@instead_of("parlai.core.opt:Opt.log")
def _log(stock: Stock, self: Any, *args: Any, **kwargs: Any) -> None:
    override = self.get("override") or {}
    named = {self.get("model"), override.get("model")}
    if "loglevel" in override or not named & _IN_SERVICE or self.get("task") != "interactive":
        stock(self, *args, **kwargs)
