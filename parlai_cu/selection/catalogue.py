"""
The tensors of a model, as a user names them.

A tensor that several modules share (tied embeddings) is one entry with aliases: it learns
as one or not at all.
"""

import dataclasses

import torch

from parlai_cu.selection.blocks import block_of


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """
    One parameter or buffer of a model.

    :param name: its first name in the model, dotted
    :param aliases: further names of the same tensor (tying), in the model's order
    :param owner: class name of the module that holds it, e.g. ``LayerNorm``
    :param numel: number of elements
    :param itemsize: bytes per element
    :param is_buffer: a buffer (running statistics, constants) rather than a parameter
    :param is_fixed: a parameter that the model itself never trains, e.g. sinusoidal positions
    """

    name: str
    aliases: tuple[str, ...]
    owner: str
    numel: int
    itemsize: int
    is_buffer: bool
    is_fixed: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the tensor."""
        return (self.name, *self.aliases)

    @property
    def block(self) -> str:
        """The block it belongs to: ``encoder.layers.0``, or the module outside of layers."""
        return block_of(self.name)


def list_tensors(model: torch.nn.Module) -> list[TensorInfo]:
    """
    Every parameter and persistent buffer of ``model``, in the model's order.

    Buffers that are not saved with the model (``persistent=False``) are left out: they are
    rebuilt at load time and nobody can freeze them.
    """
    saved: set[str] = set(model.state_dict(keep_vars=True))
    names: dict[int, list[str]] = {}
    tensors: dict[int, torch.Tensor] = {}
    buffers: set[int] = set()
    for is_buffer, named in (
        (False, model.named_parameters(remove_duplicate=False)),
        (True, model.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            if name not in saved:
                continue
            names.setdefault(id(tensor), []).append(name)
            tensors[id(tensor)] = tensor
            if is_buffer:
                buffers.add(id(tensor))
    return [
        TensorInfo(
            name=aliases[0],
            aliases=tuple(aliases[1:]),
            owner=type(model.get_submodule(aliases[0].rpartition(".")[0])).__name__,
            numel=tensors[key].numel(),
            itemsize=tensors[key].element_size(),
            is_buffer=key in buffers,
            is_fixed=key not in buffers and not tensors[key].requires_grad,
        )
        for key, aliases in names.items()
    ]
