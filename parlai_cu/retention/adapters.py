"""
Isolation: what each domain changed of one frozen model, put in place for its own turns only.

One set of parameters a domain over a shared model, as in AdapterCL (Madotto et al. 2021,
https://arxiv.org/abs/2012.15504, section 3): what another domain needs is never touched, so
nothing can be forgotten. A set here is whatever a candidate changed, be it low-rank factors
merged into their weights, or some layers.
"""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


def changed_tensors(base: Mapping[str, torch.Tensor], candidate: Mapping[str, object]) -> Tensors:
    """
    The tensors of a candidate that are not those of the model it was tuned from.

    :param base: state dict of the deployed model
    :param candidate: state dict of the candidate, of the same names and shapes
    :return: the candidate's tensors that differ in any bit, shapes as in ``base``
    :raises ValueError: naming the first tensor that is missing, or of another shape
    """
    changed = {}
    for name, tensor in base.items():
        other = candidate.get(name)
        if not torch.is_tensor(other) or other.shape != tensor.shape:
            found = list(other.shape) if torch.is_tensor(other) else "nothing"
            raise ValueError(f"{name}: expected a tensor of {list(tensor.shape)}, found {found}")
        # any bit counts: a set that left out small changes would not be the candidate
        if not torch.equal(tensor, other):
            changed[name] = other.detach().clone()
    return changed


class Adapters:
    """
    One model, and what each domain has in the place of some of its tensors.

    :param model: the deployed model; its own tensors are in place outside of :meth:`using`
    :param sets: domain -> name of a parameter or buffer -> tensor of its shape
    """

    def __init__(self, model: nn.Module, sets: Mapping[str, Tensors]) -> None:
        self._places = dict(model.state_dict(keep_vars=True))
        self.sets = {
            domain: {name: tensor.to(self._places[name]) for name, tensor in tensors.items()}
            for domain, tensors in sets.items()
        }

    @contextlib.contextmanager
    def using(self, domain: str) -> Iterator[None]:
        """
        The domain's tensors are in place; any other name stands for the model as it is.

        Only references are exchanged: it costs no copy, and what comes back is bit-identical.
        """
        tensors = self.sets.get(domain, {})
        kept = {name: self._places[name].data for name in tensors}
        try:
            for name, tensor in tensors.items():
                self._places[name].data = tensor
            yield
        finally:
            # also where the turn failed: the next one is another domain's
            for name, tensor in kept.items():
                self._places[name].data = tensor
