"""
transformers 4.31 (2023) no longer saves GPT-2's causal mask; later it dropped it altogether.

Seen: a GPT-2 or DialoGPT model that an older transformers trained does not load,
``Unexpected key(s) in state_dict: "decoder.transformer.h.0.attn.bias", ...``
(``parlai/core/torch_agent.py``, ``load_state_dict``).
Goes when: ``Gpt2Agent.load_state_dict`` leaves out what the model no longer has, as it
already adds ``masked_bias`` where that is missing.

The two buffers are constants (a triangle of ones, and -10000), so nothing learned is lost.
"""

import importlib.util
import re
from types import ModuleType
from typing import Any

_CONSTANT = re.compile(r"\.attn\.(masked_)?bias$")


def needed() -> str | None:
    """Why the repair is active, or None."""
    if importlib.util.find_spec("transformers") is None:
        return None
    from transformers import GPT2Config, GPT2Model

    sizes: dict[str, Any] = dict(vocab_size=2, n_positions=2, n_embd=2, n_layer=1, n_head=1)
    tiny = GPT2Model(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    if any(_CONSTANT.search(name) for name in tiny.state_dict()):
        return None
    return "this transformers does not save GPT-2's causal mask, which older models carry"


def after(module: ModuleType) -> None:
    """Leave the masks of older models out when one is loaded."""
    agent: Any = module.Gpt2Agent
    stock = agent.load_state_dict

    def load_state_dict(self: Any, state_dict: dict[str, Any]) -> Any:
        known = self.model.state_dict()
        for name in list(state_dict):
            if _CONSTANT.search(name) and name not in known:
                del state_dict[name]
        return stock(self, state_dict)

    agent.load_state_dict = load_state_dict
