"""
transformers 5 (2025) keeps past keys and values in a ``Cache`` object, not in tuples.

Seen: ``-m hugging_face/gpt2`` and ``hugging_face/dialogpt`` die at the first generated token,
``TypeError: expected Tensor as element 2 in argument 0, but got NoneType``
(``parlai/agents/hugging_face/gpt2.py``, line 196), in eval_model, interactive and self_chat.
Goes when: ``reorder_decoder_incremental_state`` there knows ``Cache``.
"""

from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active, or None."""
    try:
        from transformers.cache_utils import DynamicCache
    except ImportError:
        return None
    if hasattr(DynamicCache, "batch_select_indices"):
        return "this transformers has Cache objects, which ParlAI's GPT-2 cannot reorder"
    return None


def after(module: ModuleType) -> None:
    """Let the model reorder a ``Cache`` by its own method; tuples go the stock way."""
    model: Any = module.HFGPT2Model
    stock = model.reorder_decoder_incremental_state

    def reorder_decoder_incremental_state(self: Any, incremental_state: Any, inds: object) -> Any:
        if hasattr(incremental_state, "batch_select_indices"):
            incremental_state.batch_select_indices(inds)
            return incremental_state
        return stock(self, incremental_state, inds)

    model.reorder_decoder_incremental_state = reorder_decoder_incremental_state
