"""
A linear model over words and word pairs: which domain a conversation is of, what a turn needs.

Small enough to be trained in seconds.
"""

import torch
from torch import nn

# pairs of tokens share this many weights; few collide at the size of a service's vocabulary
PAIR_BUCKETS = 2**16
_MULTIPLIER = 1_000_003


class TokenClassifier(nn.Module):
    """
    Multinomial logistic regression on tokens and hashed pairs of neighbours.

    :param vocabulary: number of tokens
    :param classes: number of classes
    :param padding: the token that does not count
    """

    def __init__(self, vocabulary: int, classes: int, padding: int = 0) -> None:
        super().__init__()
        self.vocabulary, self.padding = vocabulary, padding
        # zero: before it has learnt, no class is likelier than another, and the first wins
        self.weights = nn.Parameter(torch.zeros(vocabulary + PAIR_BUCKETS, classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """
        :param tokens: LongTensor[bsz, length], what was said
        :return: FloatTensor[bsz, classes], logits
        """
        pairs = (tokens[:, :-1] * _MULTIPLIER + tokens[:, 1:]) % PAIR_BUCKETS + self.vocabulary
        real = tokens.ne(self.padding)
        features = torch.cat([tokens, pairs], dim=1)
        mask = torch.cat([real, real[:, :-1] & real[:, 1:]], dim=1).float()
        total = (self.weights[features].float() * mask.unsqueeze(-1)).sum(dim=1)
        # by the root of the count: long conversations are surer, but not without bound
        return total / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt() + self.bias
