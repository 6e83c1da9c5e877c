"""
Which parts of a model give the same for an example in every epoch, so that it can be kept.

Encoders that are frozen as a whole, and the first frozen layers of a ParlAI transformer of which
later layers learn.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from parlai.agents.transformer.modules import TransformerEncoder
from parlai.agents.transformer.modules.decoder import BaseTransformerDecoder
from parlai.core.message import Message
from parlai.core.torch_generator_agent import TorchGeneratorModel

from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import ModelAgent

# what each stack's class itself does with its layers; a subclass that does else is left alone
_STACKS = (TransformerEncoder, BaseTransformerDecoder)


class Part(NamedTuple):
    """
    What is kept of one module.

    :param path: of the module
    :param module: itself
    :param layers: how many of its first layers; 0: all of the module
    :param call: the module on made-up rows
    """

    path: str
    module: torch.nn.Module
    layers: int
    call: Any


def find(agent: ModelAgent, frozen: Sequence[str]) -> tuple[list[Part], list[str]]:
    """
    What can be kept, and of what else why not.

    :param agent: whose model it is
    :param frozen: paths of the modules that are frozen as a whole
    :raises UsageError: when it is nothing
    """
    model = agent.model
    is_generator = isinstance(model, TorchGeneratorModel)
    encoder = getattr(model, "encoder", None) if is_generator else None
    parts: list[Part] = []
    reasons: list[str] = []
    whole: list[torch.nn.Module] = []
    for path, module in model.named_modules():
        is_stack = isinstance(module, _STACKS)
        if not (is_stack or module is encoder) or any(_holds(m, module) for m in whole):
            continue
        if _is_under(path, frozen) and not isinstance(module, BaseTransformerDecoder):
            call = functools.partial(_encode, agent) if module is encoder else module
            parts.append(Part(path, module, 0, call))
            whole.append(module)
        elif is_stack:
            layers = _first_frozen(module, path, frozen)
            reason = _why_not(agent, module, path, frozen, layers)
            if isinstance(module, BaseTransformerDecoder) and not (
                is_generator and any(m is encoder for m in whole)
            ):
                reason = reason or "the encoder it listens to learns"
            if reason:
                reasons.append(f"{path}: {reason}")
            else:
                parts.append(Part(path, module, layers, None))
        else:
            reasons.append(f"{path}: some of it learns")
    if not parts:
        why = "; ".join(reasons) or "it has neither an encoder nor a transformer of ParlAI's"
        raise UsageError(
            f"--cache-frozen {agent.own['cache_frozen']}: {agent.own.get('base_agent')} with this "
            f"selection has nothing that can be kept: {why}. Expected: an encoder, or the first "
            "layers of a transformer, in which nothing learns; or leave the flag away"
        )
    return parts, reasons


def _first_frozen(module: Any, path: str, frozen: Sequence[str]) -> int:
    """How many of the first layers are frozen."""
    count = 0
    while count < len(module.layers) and _is_under(f"{path}.layers.{count}", frozen):
        count += 1
    return count


def _why_not(
    agent: ModelAgent, module: Any, path: str, frozen: Sequence[str], layers: int
) -> str | None:
    """Why the first layers of a transformer cannot be kept."""
    kind = next(kind for kind in _STACKS if isinstance(module, kind))
    if type(module).forward_layers is not kind.forward_layers or getattr(
        module.layers, "is_model_parallel", False
    ):
        return "its layers do not run as ParlAI's transformer runs them"
    if not layers:
        return "its first layer learns"
    for name, child in module.named_children():
        if child is not module.layers and [*child.parameters(), *child.buffers()]:
            if not _is_under(f"{path}.{name}", frozen):
                return f"{name} learns"
    if module.dropout.p and agent.own["cache_frozen_exact"]:
        return (
            f"its input has dropout {module.dropout.p:g}, so its {layers} frozen layers give "
            "something else each time (--cache-frozen-exact false turns it off, and so does "
            "--dropout 0)"
        )
    return None


def made_up_tokens(agent: ModelAgent) -> list[int]:
    """A few tokens that are nothing special."""
    special = {agent.NULL_IDX, agent.START_IDX, agent.END_IDX}
    few = [i for i in range(min(len(agent.dict), 64)) if i not in special]
    return (few * 7)[:7]


def _encode(agent: ModelAgent, tokens: torch.Tensor) -> Any:
    """The encoder's outputs for made-up rows, as the agent puts a batch together for training."""
    label = torch.tensor([agent.END_IDX])
    rows = [Message(text_vec=row[row.ne(agent.NULL_IDX)].cpu(), labels_vec=label) for row in tokens]
    batch = agent.batchify(rows)
    if tokens.is_cuda:
        batch = batch.to(tokens.device.index)
    return agent.model.encoder(*agent._encoder_input(batch))


def _is_under(path: str, frozen: Sequence[str]) -> bool:
    return any(top == "" or path == top or path.startswith(f"{top}.") for top in frozen)


def _holds(module: torch.nn.Module, other: torch.nn.Module) -> bool:
    return any(part is other for part in module.modules())
