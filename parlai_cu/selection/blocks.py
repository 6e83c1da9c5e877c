"""The blocks of a model, by its tensors' names."""

import re

# A dotted path up to and including its first number: `encoder.layers.0`, `transformer.h.11`.
_BLOCK = re.compile(r"^(.*?\.\d+)(?:\.|$)")


def block_of(name: str) -> str:
    """The block that a tensor of this name belongs to: ``encoder.layers.0``."""
    match = _BLOCK.match(name)
    if match:
        return match.group(1)
    return name.rpartition(".")[0] or name
