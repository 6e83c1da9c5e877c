"""
All that an agent could train or saves beside its model: modules and parameters of its own, what
its optimizer got, tensors in its states.

ParlAI's agents have none; others add a second module, often where the optimizer is made.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from parlai_cu.parlai_types import ModelAgent
from parlai_cu.selection.catalogue import TensorInfo
from parlai_cu.selection.freeze import freeze, named_tensors

# what a state dict of ParlAI's holds of the run, not of what was learnt
_OF_THE_RUN = ("model", "optimizer", "lr_scheduler", "warmup_scheduler")

Params = list[Any]


def beside_the_model(
    agent: ModelAgent, optimized: Iterable[torch.Tensor], states: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """
    The tensors that an agent holds outside of ``self.model``, by name.

    :param agent: built
    :param optimized: tensors of any shape, all that its optimizer is to train
    :param states: what the agent saves; may be empty
    :return: tensors of any shape; ``side.weight`` for those of ``agent.side``, a path for those of
        its states, ``optimizer.0`` for what has no other name
    """
    found: dict[str, torch.Tensor] = {}
    model = getattr(agent.model, "module", agent.model)
    seen = {id(t) for t in [*model.parameters(), *model.buffers()]}
    places = {t.data_ptr() for t in [*model.parameters(), *model.buffers()]}

    def add(name: str, tensor: torch.Tensor) -> None:
        if id(tensor) not in seen and name not in found:
            seen.add(id(tensor))
            found[name] = tensor

    for name, value in list(vars(agent).items()):
        if name != "model":
            for path, tensor in _modules_in(name, value):
                add(path, tensor)
    for number, tensor in enumerate(optimized):
        add(f"optimizer.{number}", tensor)
    places |= {t.data_ptr() for t in found.values()}
    for path, tensor in _tensors_in("", {k: v for k, v in states.items() if k not in _OF_THE_RUN}):
        if tensor.data_ptr() not in places:
            add(path, tensor)
    return found


def describe(beside: Mapping[str, torch.Tensor], optimized: Iterable[Any]) -> list[TensorInfo]:
    """
    The entries of these tensors for a selection.

    :param beside: tensors of any shape, see :func:`beside_the_model`
    :param optimized: what the base's optimizer is to train; no other parameter ever learns
    """
    trained = {id(tensor) for tensor in optimized}
    return [
        TensorInfo(
            name=name,
            aliases=(),
            owner=name.split(".")[0],
            numel=tensor.numel(),
            itemsize=tensor.element_size(),
            is_buffer=not isinstance(tensor, torch.nn.Parameter),
            is_fixed=isinstance(tensor, torch.nn.Parameter) and id(tensor) not in trained,
        )
        for name, tensor in beside.items()
    ]


def freeze_beside(
    agent: ModelAgent,
    beside: Mapping[str, torch.Tensor],
    learning: Iterable[str],
    optimized: Iterable[Any],
) -> None:
    """
    Let only the named ones change in training.

    :param agent: in training
    :param beside: tensors of any shape, see :func:`beside_the_model`
    :param learning: names of those that learn
    :param optimized: what the base's optimizer is to train; the rest is left as the base has it
    """
    names, trained = set(learning), {id(tensor) for tensor in optimized}
    # by identity: a module beside the model may hold parts of it, as a classifier's base_model does
    learns = {id(t) for n, t in [*named_tensors(agent.model), *beside.items()] if n in names}
    for attribute, value in list(vars(agent).items()):
        for module in _modules(value) if attribute != "model" else ():
            if any(id(p) in trained for p in module.parameters()):
                freeze(module, {n for n, t in named_tensors(module) if id(t) in learns})
    for name, tensor in beside.items():
        if id(tensor) in trained:
            tensor.requires_grad_(name in names)


@contextlib.contextmanager
def choosing(agent: ModelAgent, choose: Callable[[Params], Params]) -> Iterator[None]:
    """
    Within, the optimizer that the base makes gets what is chosen of what the base gives it.

    :param agent: whose ``init_optim`` runs
    :param choose: from parameters or groups of them, to those that learn; called once
    """
    stock = agent.optim_opts
    called: list[Any] = []

    def chosen(make: Callable[..., Any]) -> Any:
        def optimizer(params: Iterable[Any], **kwargs: Any) -> Any:
            called.append(make)
            return make(choose([*params]), **kwargs)

        return optimizer

    agent.optim_opts = lambda: {name: chosen(make) for name, make in stock().items()}
    try:
        yield
    finally:
        del agent.optim_opts
    if not called and getattr(agent, "optimizer", None) is not None:
        # a base that makes its optimizer by itself
        groups = agent.optimizer.param_groups
        for group, kept in zip(groups, choose([dict(group) for group in groups])):
            group["params"] = kept["params"]


def learning_only(params: Params, learning: Iterable[torch.Tensor]) -> Params:
    """
    What of an optimizer's parameters learns.

    :param params: tensors of any shape, or groups of them
    :param learning: tensors of any shape; those that are in no group join the first one
    """
    wanted = {id(tensor): tensor for tensor in learning}
    grouped = bool(params) and isinstance(params[0], dict)
    groups = params if grouped else [{"params": params}]
    kept = [{**g, "params": [p for p in g["params"] if id(p) in wanted]} for g in groups]
    placed = {id(p) for group in kept for p in group["params"]}
    kept[0]["params"] += [tensor for key, tensor in wanted.items() if key not in placed]
    return kept if grouped else kept[0]["params"]


def flat(params: Params) -> list[torch.Tensor]:
    """
    All parameters of an optimizer, tensors of any shape.

    :param params: tensors, or groups of them
    """
    return [p for g in params for p in (g["params"] if isinstance(g, dict) else [g])]


def _modules(value: object) -> Iterator[torch.nn.Module]:
    if isinstance(value, torch.nn.Module):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _modules(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, str):
                yield from _modules(part)


def _modules_in(name: str, value: object) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of modules, and parameters, in an attribute of an agent's."""
    if isinstance(value, torch.nn.Parameter):
        yield name, value
    elif isinstance(value, torch.nn.Module):
        # a criterion's weights of classes are no more than settings
        if any(True for _ in value.parameters()) or not isinstance(
            value, torch.nn.modules.loss._Loss
        ):
            for path, tensor in value.state_dict(keep_vars=True).items():
                if torch.is_tensor(tensor):
                    yield f"{name}.{path}", tensor
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _modules_in(f"{name}.{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, str):
                yield from _modules_in(f"{name}.{key}", part)


def _tensors_in(path: str, value: object) -> Iterator[tuple[str, torch.Tensor]]:
    if torch.is_tensor(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors_in(f"{path}.{key}" if path else str(key), part)
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _tensors_in(f"{path}.{i}", part)
