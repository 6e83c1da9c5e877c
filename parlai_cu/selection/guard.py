"""
The proof that what is frozen did not change: digests taken at load, compared at every save.
"""

import hashlib
from collections.abc import Iterable, Mapping

import torch

from parlai_cu.errors import FrozenBreachError


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 of the bytes of a tensor, with its type and shape."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    # equal bytes of another type or shape are another tensor
    sha = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    sha.update(flat.view(torch.uint8).numpy().data)
    return sha.hexdigest()


class FrozenGuard:
    """
    Remembers the frozen tensors of a model and checks that they are bit-identical later.

    :param model: the model, loaded
    :param frozen: names of its frozen parameters and buffers
    :param originals: the tensors as they stand in the model file, where known; shapes as in the
        model. Under fp16 the model in memory is rounded; :meth:`restore` then writes the originals,
        so that the file keeps the bits of the deployed model.
    :param beside: further tensors of any shape, by name, that are no part of the model
    """

    def __init__(
        self,
        model: torch.nn.Module,
        frozen: Iterable[str],
        originals: dict[str, torch.Tensor] | None = None,
        beside: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        state = {**model.state_dict(), **(beside or {})}
        self.digests = {name: digest(state[name]) for name in frozen}
        self._originals = {
            name: tensor
            for name, tensor in (originals or {}).items()
            # where the type is the same, the model's own tensor has the bits of the file
            if name in self.digests and tensor.dtype != state[name].dtype
        }

    def verify(self, state: Mapping[str, torch.Tensor]) -> None:
        """
        Compare with the state now.

        :param state: a state dict of the model, with the frozen names in it
        :raises FrozenBreachError: naming the tensors that changed
        """
        changed = [
            name
            for name, known in self.digests.items()
            if name not in state or digest(state[name]) != known
        ]
        if changed:
            raise FrozenBreachError(_breach(changed))

    def restore(self, state: dict[str, torch.Tensor], aliases: dict[str, list[str]]) -> None:
        """
        Put the original precision of the frozen tensors back into ``state``.

        :param state: a verified state dict; changed in place
        :param aliases: frozen name -> further names of the same tensor in ``state``
        """
        for name, tensor in self._originals.items():
            for key in (name, *aliases.get(name, ())):
                state[key] = tensor


def _breach(changed: list[str]) -> str:
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return (
        f"{len(changed)} frozen tensor(s) changed in training: {', '.join(changed[:5])}{more}. "
        "Nothing was saved. Something writes to them outside of the optimizer; to let them "
        "change, add them to --tune"
    )
