"""
``--kb-integrate fuse``: the model writes, and may copy from the facts at each token.

The next token's distribution is ``(1 - a w) p_model + a w p_facts``. As in a nearest neighbour
language model (Khandelwal et al. 2020, https://arxiv.org/abs/1911.00172, equations 2 and 3) each
token of a fact is kept under what the model expects at its place, and counts the more the nearer
that is to what the model expects now; ``a`` is how near the nearest is. As in a pointer-generator
(See et al. 2017, https://arxiv.org/abs/1704.04368, equation 9) a token that the model has no word
for can be copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn

# the facts' share at most: also with beam search what they say wins against what the model learnt
WEIGHT = 0.8
# how soon places that are less alike stop to count
_TEMPERATURE = 0.1
# a place is the likelier the right one, the more of the last tokens stand before it there as well
_LAST = 3
# what search wrappers put in the place of a token that may not come
_FORBIDDEN = -1e4


class Fuse:
    """
    The model's reply, with the facts in its hand.

    :param weight: of the facts, 0 to 1
    """

    def __init__(self, weight: float = WEIGHT) -> None:
        self.weight = weight

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        told = [found.text for found in evidence]
        return model.fused(told, shares(evidence), self.weight)


def shares(evidence: Sequence[Evidence]) -> Sequence[float]:
    """How much each fact counts: the fourth power of its score, so that near ones are not mixed."""
    powers = [max(found.score, 0.0) ** 4 for found in evidence]
    total = sum(powers)
    return [power / total for power in powers] if total else [1 / len(powers)] * len(powers)


@dataclass(frozen=True)
class Places:
    """
    The tokens of all facts, each with what the model expects where it stands.

    :param expected: FloatTensor[places, vocab], probabilities
    :param before: LongTensor[places, 3], the tokens before it, the last first; -1 before the first
    :param tokens: LongTensor[places]; from ``vocab`` on those that the model has no word for
    :param shares: FloatTensor[places], how much its fact counts
    :param unknown: how many tokens there are from ``vocab`` on
    """

    expected: torch.Tensor
    before: torch.Tensor
    tokens: torch.Tensor
    shares: torch.Tensor
    unknown: int = 0


def before(tokens: torch.Tensor) -> torch.Tensor:
    """
    What stands before each token of a text.

    :param tokens: LongTensor[length]
    :return: LongTensor[length, 3], the last first; -1 before the first
    """
    padded = torch.cat([tokens.new_full((_LAST,), -1), tokens])
    return padded.unfold(0, _LAST, 1)[: len(tokens)].flip(1)


def fused(
    log_probs: torch.Tensor, written: torch.Tensor, places: Places, weight: float
) -> torch.Tensor:
    """
    The distribution of the next token, with what may be copied.

    :param log_probs: FloatTensor[hypotheses, vocab], the model's
    :param written: LongTensor[hypotheses, length], what each has so far; without a start token
    :param places: where each token of the facts stands
    :param weight: of the facts
    :return: FloatTensor[hypotheses, vocab + unknown], log probabilities; what the model may not
        say (a prefix is being forced) stays forbidden
    """
    model = log_probs.float().exp()
    alike = model.sqrt() @ places.expected.sqrt().t() + _same_before(written, places.before)
    attention = (alike / _TEMPERATURE + places.shares.log()).softmax(dim=-1)
    share = weight * alike.amax(dim=-1, keepdim=True).clamp(max=1)
    room = model.new_zeros(len(model), places.unknown)
    copied = torch.cat([torch.zeros_like(model), room], dim=1)
    copied.index_add_(1, places.tokens, attention)
    mixed = (1 - share) * torch.cat([model, room], dim=1) + share * copied
    mixed = mixed.clamp(min=torch.finfo(mixed.dtype).tiny).log()
    forbidden = log_probs < _FORBIDDEN
    mixed[:, : forbidden.size(1)][forbidden] = log_probs.float()[forbidden]
    return mixed


def _same_before(written: torch.Tensor, at_places: torch.Tensor) -> torch.Tensor:
    """FloatTensor[hypotheses, places]: of the last three tokens, the share that is the same."""
    hypotheses = torch.stack([before(torch.cat([row, row.new_zeros(1)]))[-1] for row in written])
    same = hypotheses.unsqueeze(1) == at_places.unsqueeze(0)
    return same.cumprod(dim=-1).sum(dim=-1).float() / _LAST
