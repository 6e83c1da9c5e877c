"""What a training step gives: scores, targets, losses, mask; and what a term makes of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from parlai_cu.parlai_types import Batch

# what a term may need: the weights that learn alone; the scores; more of the forward pass than
# its scores, so that their gradient alone would not do
PARAMETERS, SCORES, FORWARD = "parameters", "scores", "forward"


@dataclasses.dataclass
class StepResult:
    """
    A batch as the base's forward pass left it. A row is a token of a reply, or an example.

    :param mask: BoolTensor[rows], False for padding
    :param scores: FloatTensor[rows, choices], or of those that are no padding (``position``)
    :param targets: LongTensor[rows], where they are known
    :param losses: FloatTensor[rows] on the gold labels, where they are known
    :param log_probs: FloatTensor[rows, choices], the log-softmax of ``scores`` where it is there
    :param output: where logits of all rows would not fit: ``scores`` are hidden states, and this
        the output layer, [rows, width] to [rows, choices]
    :param position: LongTensor[rows], where ``scores`` hold no padding: the place of each row
    :param candidates: of rankers, LongTensor[candidates, length] or [bsz, candidates, length]
    :param metrics: what terms report: one metric, or one for each example
    """

    mask: torch.Tensor
    scores: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    losses: torch.Tensor | None = None
    log_probs: torch.Tensor | None = None
    output: Callable[[torch.Tensor], torch.Tensor] | None = None
    position: torch.Tensor | None = None
    candidates: torch.Tensor | None = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        """What the base divides by: how many rows are no padding, at least 1."""
        return max(int(self.mask.sum()), 1)


class LossTerm:
    """One part of the loss beside the base's own; one small file a variant."""

    # the flag that asked for it, for messages
    name: str
    weight: float
    # PARAMETERS, SCORES or FORWARD
    needs: str

    def start(self) -> None:
        """A forward pass begins: what was seen of another is forgotten."""

    def stop(self) -> None:
        """The step is done."""

    def __call__(self, result: StepResult, batch: Batch) -> torch.Tensor:
        """
        :param result: of the base's forward pass
        :param batch: with the observations that it is made of
        :return: FloatTensor[rows], whose sum times the weight joins the loss; of length 0 where
            the batch holds nothing for it
        """
        raise NotImplementedError
