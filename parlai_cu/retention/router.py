"""
Which domain a conversation is of: a linear model over the words and word pairs said so far.

It reads the tokens that the model itself reads, so it works under any of them; and it is small
enough to be trained in seconds.
"""

import torch
from torch import nn

# pairs of tokens share this many weights; few collide at the size of a service's vocabulary
PAIR_BUCKETS = 2**16
_MULTIPLIER = 1_000_003


class DomainRouter(nn.Module):
    """
    Multinomial logistic regression on tokens and hashed pairs of neighbours.

    :param vocabulary: number of tokens
    :param domains: number of domains, the deployed model's own first
    :param padding: the token that does not count
    """

    def __init__(self, vocabulary: int, domains: int, padding: int = 0) -> None:
        super().__init__()
        self.vocabulary, self.padding = vocabulary, padding
        # zero: before it has learnt, no domain is likelier than another, and the first wins
        self.weights = nn.Parameter(torch.zeros(vocabulary + PAIR_BUCKETS, domains))
        self.bias = nn.Parameter(torch.zeros(domains))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """
        :param tokens: LongTensor[bsz, length], what was said so far
        :return: FloatTensor[bsz, domains], logits
        """
        pairs = (tokens[:, :-1] * _MULTIPLIER + tokens[:, 1:]) % PAIR_BUCKETS + self.vocabulary
        real = tokens.ne(self.padding)
        features = torch.cat([tokens, pairs], dim=1)
        mask = torch.cat([real, real[:, :-1] & real[:, 1:]], dim=1).float()
        total = (self.weights[features].float() * mask.unsqueeze(-1)).sum(dim=1)
        # by the root of the count: long conversations are surer, but not without bound
        return total / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt() + self.bias
