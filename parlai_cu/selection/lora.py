"""
Low-rank adaptation: ``W x`` becomes ``W x + (alpha / rank) B A x`` with W frozen.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1. The
factors hang on the linear layer as a child called ``lora`` and enter through a forward hook,
so that the names of all other tensors stay what they are and the layer can be one of
transformers' transposed ``Conv1D`` too. Merging adds ``(alpha / rank) B A`` to W.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F

from parlai_cu.errors import UsageError
from parlai_cu.selection.catalogue import TensorInfo

CHILD = "lora"


class LowRankFactors(torch.nn.Module):
    """
    The two factors of one linear layer.

    A is drawn as ``nn.Linear`` draws its weight, B starts at zero: at first nothing changes.

    :param weight: the frozen weight, ``[out, in]`` (or ``[in, out]`` if ``transposed``)
    :param rank: inner width
    :param alpha: scale; the product is multiplied by ``alpha / rank``
    :param transposed: the layer computes ``x W`` rather than ``x W^T``
    :param generator: draws A
    """

    def __init__(
        self,
        weight: torch.Tensor,
        rank: int,
        alpha: float,
        transposed: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        outputs, inputs = reversed(weight.shape) if transposed else weight.shape
        bound = 1 / math.sqrt(inputs)
        first = torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)
        self.A = torch.nn.Parameter(first.to(weight))
        self.B = torch.nn.Parameter(torch.zeros(outputs, rank).to(weight))
        self.scale = alpha / rank
        self.transposed = transposed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in]`` -> ``[..., out]``: what is added to the layer's output."""
        return F.linear(F.linear(x, self.A), self.B) * self.scale

    @torch.no_grad()
    def delta(self) -> torch.Tensor:
        """What merging adds to the weight, in the weight's shape, float32."""
        product = (self.B.float() @ self.A.float()) * self.scale
        return product.t() if self.transposed else product


def inject(
    model: torch.nn.Module, weights: Iterable[TensorInfo], rank: int, alpha: float, seed: int
) -> list[TensorInfo]:
    """
    Give the linear layers among ``weights`` their factors.

    :param model: changed in place
    :param weights: the selected tensors; those that are not the weight of a linear layer, that a
        second layer shares (tying), or whose layer does more than multiply by them, are passed over
    :param rank: inner width of the factors, from 1 on
    :param alpha: scale
    :param seed: of the drawing of A
    :return: the weights that got factors
    :raises UsageError: when none of ``weights`` belongs to a linear layer
    """
    generator = torch.Generator().manual_seed(seed)
    adapted = []
    for tensor in weights:
        layers = {model.get_submodule(_layer_path(name)) for name in tensor.names}
        layer = layers.pop()
        # tied to a second layer: factors of one would not enter the other
        if layers or not tensor.name.endswith(".weight") or not _is_linear(layer):
            continue
        # transformers' Conv1D keeps its weight the other way round
        transposed = not isinstance(layer, torch.nn.Linear)
        weight = model.get_parameter(tensor.name)
        if not _computes_as_linear(layer, weight, transposed):
            continue
        factors = LowRankFactors(weight, rank, alpha, transposed, generator)
        layer.add_module(CHILD, factors)
        layer.register_forward_hook(_add_product)
        adapted.append(tensor)
    if not adapted:
        raise UsageError(
            "--lora-rank: none of the selected tensors is the weight of a linear layer of its own, "
            "which gives its input times that weight; try --tune '@attention,@ffn'"
        )
    return adapted


def factor_names(tensor: TensorInfo) -> list[str]:
    """The names of the factors of one adapted weight; more than two if its layer has aliases."""
    return [f"{_layer_path(name)}.{CHILD}.{factor}" for name in tensor.names for factor in "AB"]


def merge(
    model: torch.nn.Module, state: dict[str, torch.Tensor], adapted: Iterable[TensorInfo]
) -> dict[str, dict[str, torch.Tensor]]:
    """
    Turn the state of an adapted model into the state of an ordinary one.

    :param model: the adapted model
    :param state: its state dict; changed in place: the factors leave, the weights take them in
    :param adapted: the weights that have factors
    :return: ``{"factors": ..., "originals": ...}``, by first names, in the shapes that the model
        has: what it takes to go on training
    """
    factors, originals = {}, {}
    for tensor in adapted:
        names = factor_names(tensor)
        removed = {name: state.pop(name) for name in names}
        factors.update({name: removed[name] for name in names[:2]})
        originals[tensor.name] = state[tensor.name]
        delta = _factors(model, tensor).delta()
        merged = (state[tensor.name].float() + delta).to(state[tensor.name])
        # under all its names, which torch saved one by one
        state.update({name: merged for name in tensor.names})
    return {"factors": factors, "originals": originals}


def restore_originals(model: torch.nn.Module, originals: dict[str, torch.Tensor]) -> None:
    """
    Undo a merge: put the frozen weights back. Runs before :func:`inject`.

    :param model: with the merged weights
    :param originals: of :func:`merge`, shapes as the parameters'
    """
    with torch.no_grad():
        for name, weight in originals.items():
            model.get_parameter(name).copy_(weight)


def load_factors(model: torch.nn.Module, factors: dict[str, torch.Tensor]) -> None:
    """
    Go on with saved factors. Runs after :func:`inject`.

    :param model: with factors of its own
    :param factors: of :func:`merge`, shapes as the parameters'
    """
    with torch.no_grad():
        for name, factor in factors.items():
            model.get_parameter(name).copy_(factor)


@contextlib.contextmanager
def merged(model: torch.nn.Module, adapted: Iterable[TensorInfo]) -> Iterator[None]:
    """
    Within, the products are in the weights, as in a saved model, and not beside them.

    :param model: the adapted model
    :param adapted: the weights to merge
    """
    kept = []
    with torch.no_grad():
        for tensor in adapted:
            weight, factors = model.get_parameter(tensor.name), _factors(model, tensor)
            kept.append((weight, weight.clone(), factors, factors.B.clone()))
            weight.copy_((weight.float() + factors.delta()).to(weight))
            factors.B.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before, factors, second in kept:
                weight.copy_(before)
                factors.B.copy_(second)


@contextlib.contextmanager
def perturbed(
    model: torch.nn.Module, adapted: Iterable[TensorInfo], seed: int = 0
) -> Iterator[None]:
    """
    Within, the products are as if the factors had learnt already, each as large as its weight.

    :param model: the adapted model
    :param adapted: the weights that have factors
    :param seed: of the drawing
    """
    generator = torch.Generator().manual_seed(seed)
    kept = []
    with torch.no_grad():
        for tensor in adapted:
            factors, weight = _factors(model, tensor), model.get_parameter(tensor.name)
            kept.append((factors, factors.B.clone()))
            drawn = torch.randn(factors.B.shape, generator=generator)
            factors.B.copy_(drawn.to(factors.B))
            size = factors.delta().norm().clamp_min(1e-12)
            factors.B.mul_((weight.float().norm() / size).to(factors.B))
    try:
        yield
    finally:
        with torch.no_grad():
            for factors, second in kept:
                factors.B.copy_(second)


def _factors(model: torch.nn.Module, tensor: TensorInfo) -> LowRankFactors:
    factors = model.get_submodule(f"{_layer_path(tensor.name)}.{CHILD}")
    assert isinstance(factors, LowRankFactors)
    return factors


def _layer_path(name: str) -> str:
    return name.rpartition(".")[0]


def _is_linear(layer: torch.nn.Module) -> bool:
    # MultiheadAttention uses its out_proj without calling it: a hook would never run
    if type(layer).__name__ == "NonDynamicallyQuantizableLinear":
        return False
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ == "Conv1D"


def _computes_as_linear(layer: torch.nn.Module, weight: torch.Tensor, transposed: bool) -> bool:
    """
    Whether a change of the weight changes the output by the input times that change.

    So it is of ``nn.Linear`` itself. A subclass may mask or scale its weight, and a hook may too:
    they are tried.
    """
    plain = type(layer) is torch.nn.Linear or type(layer).__module__.startswith("transformers.")
    if plain and not layer._forward_hooks and not layer._forward_pre_hooks:
        return True
    generator = torch.Generator().manual_seed(0)
    outputs, inputs = reversed(weight.shape) if transposed else weight.shape
    x = torch.randn(1, 4, inputs, generator=generator).to(weight)
    change = torch.randn(outputs, inputs, generator=generator).to(weight)
    before, training = weight.detach().clone(), layer.training
    layer.eval()
    try:
        with torch.no_grad():
            first = layer(x)
            weight.add_(change.t() if transposed else change)
            difference = layer(x) - first
            expected = F.linear(x, change)
    except Exception:  # it wants other inputs: no linear layer
        return False
    finally:
        layer.train(training)
        with torch.no_grad():
            weight.copy_(before)
    tolerance = 1e-3 if weight.dtype == torch.float32 else 5e-2
    if not torch.is_tensor(difference) or difference.shape != expected.shape:
        return False
    return bool((difference - expected).norm() <= tolerance * expected.norm())


def _add_product(layer: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = getattr(layer, CHILD)(inputs[0])
    return output + product
