"""
The gradients of a loss over some examples, as running sums.

No gradient of a single example is kept: the memory is a few times the model's, however many
examples there are.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import nn

from parlai_cu.errors import DivergedError

# one draw: an example, or where an example has no loss by itself (a ranker whose candidates are
# the other replies of a batch) a few of them
Loss = Callable[[], torch.Tensor]


class GradientMoments:
    """
    Mean and mean square of the gradient of each parameter, over draws.

    :param parameters: by name
    :param first: whether the mean is needed as well, not only the mean square
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], first: bool = True) -> None:
        self.parameters = dict(parameters)
        self.draws = 0
        self._sums = self._zeros() if first else {}
        self._squares = self._zeros()

    def _zeros(self) -> dict[str, torch.Tensor]:
        return {
            name: torch.zeros_like(p, dtype=torch.float32) for name, p in self.parameters.items()
        }

    def add(self, loss: torch.Tensor) -> None:
        """
        Take in one draw.

        :param loss: scalar; a parameter that it does not reach has a gradient of zero
        :raises DivergedError: when it is not a number
        """
        if not torch.isfinite(loss.detach()).all():
            raise DivergedError(
                f"the loss of example {self.draws + 1} is {loss.detach().sum().item()}: there is "
                "no gradient to score parameters by"
            )
        # none of the parameters has a part in it: all gradients are zero, and the draw counts
        if not loss.requires_grad:
            self.draws += 1
            return
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
        for name, gradient in zip(self.parameters, gradients):
            if gradient is None:
                continue
            # sums are kept in float32: squares of half precision gradients underflow
            gradient = gradient.detach().to(self._squares[name])
            if self._sums:
                self._sums[name] += gradient
            self._squares[name].addcmul_(gradient, gradient)
        self.draws += 1

    def mean(self, name: str) -> torch.Tensor:
        """The mean gradient of a parameter, in its shape."""
        return self._sums[name] / max(self.draws, 1)

    def square(self, name: str) -> torch.Tensor:
        """
        The mean of the squared gradient, in the parameter's shape; of negative log-likelihoods, the
        empirical Fisher.

        Of each draw by itself: the square of a batch's mean gradient would be smaller by about
        the batch's size.
        """
        return self._squares[name] / max(self.draws, 1)


def gradient_moments(
    model: nn.Module,
    losses: Iterable[Loss],
    first: bool = True,
    progress: Callable[[int], None] | None = None,
) -> GradientMoments:
    """
    Sum up the gradients of losses over the parameters of ``model`` that learn.

    The model runs as in evaluation, without dropout, so that the same examples give the same
    result; its modes are put back afterwards.

    :param model: parameters with ``requires_grad`` count, tied ones once, by their first name
    :param losses: one function a draw
    :param first: see :class:`GradientMoments`
    :param progress: called after each draw with the number of draws so far
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    moments = GradientMoments(named, first)
    # cuDNN's recurrent layers have no backward pass in evaluation mode
    with _evaluation(model), torch.backends.cudnn.flags(enabled=False):
        for loss in losses:
            moments.add(loss())
            if progress is not None:
                progress(moments.draws)
    return moments


@contextlib.contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
