"""
ParlAI lists every setting before the first word of a conversation.

Seen with ParlAI 1.7.2, ``parlai interactive -m deployed``: 140 lines of "INFO | adam_eps: 1e-08",
most of them of a training long ago, and the prompt below them.

Of a model in service (``deployed``, ``kb_augmented``) they are listed where ``--loglevel`` asks for
them; other models list them as ever.
"""

import functools
from typing import Any

# the agents that speak with people
_IN_SERVICE = ("deployed", "kb_augmented")


def after(module: Any) -> None:
    """Leave them out (parlai.core.opt)."""
    stock = module.Opt.log

    @functools.wraps(stock)
    def log(self: Any, *args: Any, **kwargs: Any) -> None:
        asked = "loglevel" in (self.get("override") or {})
        named = {self.get("model"), (self.get("override") or {}).get("model")}
        if asked or not named & set(_IN_SERVICE) or self.get("task") != "interactive":
            stock(self, *args, **kwargs)

    module.Opt.log = log
