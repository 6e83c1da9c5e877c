"""
ParlAI's Opt notes every copy that was ever made of it, and hands the whole list on to each copy.

Seen with ParlAI 1.7.2: a chat service copies its options for every user and every model clone
(``parlai/core/agents.py``, line 71), so that memory grows with the number of conversations that
there ever were, and so does the time that the next one takes to begin
(``parlai/core/opt.py``, lines 72 to 79). 2000 conversations: 20 MB.
Goes when: never; ParlAI is archived.

Here the last copies are noted.
"""

import traceback
from typing import Any

# the notes are for debugging: "where was this copied?"
KEPT = 16


def needed() -> str | None:
    """Why the repair is active."""
    return "Opt keeps a note of every copy for ever; services copy it for each user"


def after(module: Any) -> None:
    """Drop old notes before each copy (parlai.core.opt)."""
    stock = module.Opt.__deepcopy__

    def __deepcopy__(self: Any, memo: Any) -> Any:
        # as ParlAI's own, which would find this function here instead of its caller
        where = traceback.format_stack(limit=3)[-3]
        del self.deepcopies[: 1 - KEPT]
        copied = stock(self, memo)
        self.deepcopies[-1] = copied.deepcopies[-1] = where
        return copied

    module.Opt.__deepcopy__ = __deepcopy__
