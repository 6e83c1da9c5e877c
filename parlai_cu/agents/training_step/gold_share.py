"""
The base's loss on gold labels counts less where an example follows a teacher.

The value that the base sees, and reports, stays its own; only the gradient is weighted. What does
not pass through the scores, such as the loss of a second head, is left as it is.
"""

from typing import Any

import torch


class GoldShare:
    """
    Weighs what the gold labels of each example have to say.

    :param weights: FloatTensor[bsz]
    """

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights
        # weighted where the losses of rows are known, then not again at the scores
        self.weighted = False
        self._rows: int | None = None

    def at_scores(self, scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """
        The same scores, whose gradient will be weighted.

        :param scores: FloatTensor[bsz, ..., choices]
        :param labels: LongTensor[bsz, length], where they are the gold choices of the last rows
        :return: FloatTensor[bsz, ..., choices]
        """
        given: torch.Tensor = _Weighted.apply(scores, self, labels)  # type: ignore[no-untyped-call]
        self._rows = scores[..., 0].numel()
        return given

    def at_criterion(self, criterion: object, args: tuple[Any, ...], losses: object) -> Any:
        """
        The losses of all rows, whose gradients are weighted (a forward hook of the criterion's).

        :param criterion: the base's
        :param args: what it was given
        :param losses: what it gave; left alone unless they are one for each row
        """
        if not args or not torch.is_tensor(losses) or not losses.requires_grad:
            return None
        if losses.dim() != 1 or len(losses) != self._rows or len(losses) % len(self.weights):
            return None
        self.weighted = True
        weighted = losses * self.weights.repeat_interleave(len(losses) // len(self.weights))
        return losses.detach() + (weighted - weighted.detach())


class _Weighted(torch.autograd.Function):
    """The identity, with a weighted gradient."""

    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, share: GoldShare, labels: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.share, ctx.labels = share, labels
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (grad,) = grads
        if ctx.share.weighted:
            return grad, None, None
        weights = ctx.share.weights.to(grad).view(-1, *[1] * (grad.dim() - 1))
        if ctx.labels is None:
            return grad * weights, None, None
        # a loss on gold labels raises their scores; what lowers them is another (unlikelihood)
        length = ctx.labels.size(1)
        of_gold = grad[:, -length:].gather(-1, ctx.labels.unsqueeze(-1))
        weights = torch.where(of_gold > 0, torch.ones_like(weights), weights)
        weighted = grad.clone()
        weighted[:, -length:] *= weights
        return weighted, None, None
