"""
Freezing: gradients, dropout and running statistics of what does not learn.

A parameter outside the selection gets ``requires_grad=False``: autograd then computes no
gradient for it, and the backward pass stops below the lowest layer that learns.

**The rule for dropout and running statistics.** A module none of whose parameters and
buffers learn runs as in evaluation: no dropout, batch normalisation by its stored
statistics. So a frozen block computes the same function in training as in service, and its
buffers cannot drift. A module that holds something that learns trains as usual, dropout
included.
"""

from collections.abc import Iterable, Iterator

import torch


def freeze(
    model: torch.nn.Module, learning: Iterable[str]
) -> tuple[list[torch.nn.Parameter], list[str]]:
    """
    Let only the named parameters and buffers change in training.

    :param model: the model; its ``requires_grad`` flags are set and its frozen modules get a
        hook that keeps them in evaluation mode
    :param learning: names of parameters and buffers that may change
    :return: the parameters that learn, each once, and the paths of the largest modules that
        are frozen as a whole
    """
    names = set(learning)
    # by identity: a tensor that is tied has several names, any of which may be the selected one
    learning_ids = {id(tensor) for name, tensor in named_tensors(model) if name in names}
    parameters = []
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in learning_ids)
        if parameter.requires_grad:
            parameters.append(parameter)
    frozen_modules: list[str] = []
    _hook_frozen_modules(model, "", learning_ids, frozen_modules)
    return parameters, frozen_modules


def named_tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers of a ``module``, tensors of any shape; tied ones by each name."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _hook_frozen_modules(
    module: torch.nn.Module, path: str, learning: set[int], hooked: list[str]
) -> None:
    own = [*module.parameters(), *module.buffers()]
    if own and not any(id(tensor) in learning for tensor in own):
        # ParlAI calls model.train() before every update, so the mode is set when it is used
        module.register_forward_pre_hook(_evaluate)
        hooked.append(path)
        return
    for name, child in module.named_children():
        _hook_frozen_modules(child, f"{path}.{name}" if path else name, learning, hooked)


def _evaluate(module: torch.nn.Module, inputs: object) -> None:
    if module.training:
        module.eval()
