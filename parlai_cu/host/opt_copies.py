"""
ParlAI's Opt notes every copy that was ever made of it, and hands the whole list on to each copy.

Seen with ParlAI 1.7.2: a chat service copies its options for every user and every model clone
(``parlai/core/agents.py``, line 71), so that memory grows with the number of conversations that
there ever were, and so does the time that the next one takes to begin
(``parlai/core/opt.py``, lines 72 to 79). 2000 conversations: 20 MB.

Here the last copies are noted.
"""

import traceback
from typing import Any

from parlai_cu.host import Stock, instead_of

# the notes are for debugging: "where was this copied?"
KEPT = 16


@instead_of("parlai.core.opt:Opt.__deepcopy__")
def _deepcopy(stock: Stock, self: Any, memo: dict[int, Any]) -> Any:
    # as ParlAI's own, which would find these functions instead of their caller
    where = traceback.format_stack(limit=4)[-4]
    del self.deepcopies[: 1 - KEPT]
    copied = stock(self, memo)
    self.deepcopies[-1] = copied.deepcopies[-1] = where
    return copied
