"""
Shortcuts are proven on the run's own first batches.

A shortcut is another way to the base's own loss. On the first batches both ways are gone, from
the same random numbers; where the loss or the gradients differ by more than rounding, the
shortcut is dropped, and one line says so.
"""

from collections.abc import Callable
from typing import Any

import parlai.utils.logging as logging
import torch

from parlai_cu.agents.teacher import same_random_numbers
from parlai_cu.agents.training_step.own_loss import without_metrics
from parlai_cu.parlai_types import ModelAgent

# batches on which both ways are gone
BATCHES = 2
# relative to the size of the loss and of the gradient; in half precision more is rounding
TOLERANCE, HALF_TOLERANCE = 1e-3, 5e-2
_SMALLEST = 1e-7

Way = Callable[[], torch.Tensor | None]


class Proof:
    """
    Whether a shortcut may be taken.

    :param name: of the shortcut, for the line that says that it is dropped
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.holds = True
        self.left = BATCHES

    def try_batch(self, agent: ModelAgent, plain: Way, short: Way, half: bool) -> bool:
        """
        Go both ways on a batch, if that is still to be done.

        :param agent: in training
        :param plain: gives the loss as the base does, a scalar
        :param short: the same by the shortcut
        :param half: whether either is computed in half precision
        :return: whether the shortcut may be taken on this batch
        """
        if not self.holds or not self.left:
            return self.holds
        parameters = [p for p in agent.model.parameters() if p.requires_grad]
        # one that is wrapped for several devices waits for a backward pass after each forward pass
        wrapped, agent.model = agent.model, agent.bare_model()
        try:
            why = self._compare(agent, plain, short, parameters, half)
        finally:
            agent.model = wrapped
        self.left -= 1
        if why:
            self.holds = False
            logging.info(f"{self.name} is not used: {why}. The base's own way is")
        return self.holds

    def _compare(
        self, agent: ModelAgent, plain: Way, short: Way, parameters: list[Any], half: bool
    ) -> str | None:
        with without_metrics(agent):
            expected = _loss_and_gradients(plain, parameters)
        try:
            with without_metrics(agent):
                found = _loss_and_gradients(short, parameters)
        except Exception as error:  # made for other agents, it may fail in any way here
            said = (str(error).splitlines() or [""])[0]
            return f"it fails ({type(error).__name__}: {said[:80]})"
        return _difference(expected, found, HALF_TOLERANCE if half else TOLERANCE)


def _loss_and_gradients(way: Way, parameters: list[Any]) -> tuple[float, list[Any]]:
    with same_random_numbers():
        loss = way()
    if loss is None or not loss.requires_grad:
        return (0.0 if loss is None else loss.item()), []
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return loss.item(), [g for g in gradients]


def _difference(expected: Any, found: Any, tolerance: float) -> str | None:
    (loss, gradients), (other, others) = expected, found
    if abs(loss - other) > tolerance * abs(loss) + _SMALLEST:
        return f"it gives the loss {other:.4g} where the base's is {loss:.4g}"
    if len(gradients) != len(others):
        return "it gives gradients where the base has none"
    size = distance = 0.0
    for one, two in zip(gradients, others):
        one = torch.zeros(()) if one is None else one.float()
        two = torch.zeros(()) if two is None else two.float()
        size += one.pow(2).sum().item()
        distance += (one.to(two.device) - two).pow(2).sum().item()
    if distance**0.5 > tolerance * size**0.5 + _SMALLEST:
        return f"its gradient is {distance**0.5:.2g} from the base's, whose size is {size**0.5:.2g}"
    return None
