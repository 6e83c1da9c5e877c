"""
``--kb-rank word_pairs``: learnt from turns and the facts that answer them.

That "expensive" asks for a fact with "price" in it, or "quiet" for one with "noise", no search by
words knows. Each pair of a word asked and a word told has a weight, and the model is linear in them
(Bai et al. 2009, "Supervised semantic indexing", section 3, with hashed weights instead of low
rank). It is learnt over all facts that the search found at once (ListNet; Cao et al. 2007, 4).
"""

import functools
import zlib
from collections.abc import Sequence

import torch
from torch import nn

from parlai_cu.knowledge.gates import abstaining
from parlai_cu.knowledge.rankers.base import Judged
from parlai_cu.knowledge.words import terms
from parlai_cu.types import Evidence, Turn

# pairs share this many weights
_BUCKETS = 2**18
_MULTIPLIER = 1_000_003
# words of a question and of a fact that count
_ASKED, _TOLD = 20, 30
# stands for any word, so that each word of the other side has a weight of its own as well
_ANY = "<any>"
# before anything is learnt the order is that of the search, with odds of this many to one
_TRUST = 5.0
# how far a weight's change moves the sum
_SCALE = 4.0
# before validation data say more
_SHARE = 0.5


class WordPairs(nn.Module):
    """A weight for each pair of a word asked and a word told, and one for the search's score."""

    candidates = 96
    optional = False
    share: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Embedding(_BUCKETS, 1)
        nn.init.zeros_(self.weights.weight)
        self.trust = nn.Parameter(torch.tensor(_TRUST))
        # of the first fact's probability, from which on another one is an answer as well
        self.register_buffer("share", torch.tensor(_SHARE))

    def forward(self, turn: Turn, evidence: Sequence[Evidence]) -> torch.Tensor:
        """
        :param turn: what was said
        :param evidence: facts found for it
        :return: FloatTensor[facts], the higher the likelier it answers
        """
        rows = [_pairs(turn, found) for found in evidence]
        device = self.trust.device
        lengths = torch.tensor([len(row) for row in rows], device=device)
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        real = torch.arange(padded.size(1), device=device) < lengths.unsqueeze(1)
        weights = self.weights(padded).squeeze(-1)
        total = (weights * real).sum(dim=1) / lengths.float().sqrt()
        scores = torch.tensor([found.score for found in evidence], device=device)
        logits: torch.Tensor = _SCALE * total + self.trust * scores
        return logits

    def loss(self, logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Cross-entropy between what it puts first and the right facts, each as good."""
        return -(logits.log_softmax(dim=0) * right).sum() / right.sum()

    def settle(self, judged: Judged) -> None:
        """See :class:`~parlai_cu.knowledge.rankers.base.TrainableRanker`."""
        self.share.fill_(best_share(judged))

    @torch.no_grad()
    def rank(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """See :class:`~parlai_cu.knowledge.rankers.base.Ranker`."""
        if not evidence:
            return []
        order = self(turn, evidence).argsort(descending=True, stable=True)
        return [evidence[i] for i in order.tolist()]

    @torch.no_grad()
    def shares(self, turn: Turn, evidence: Sequence[Evidence]) -> list[float]:
        """The probability of each fact, as a share of the first one's."""
        if not evidence:
            return []
        logits = self(turn, evidence)
        return [float(share) for share in (logits - logits[0]).exp()]

    def chosen(self, turn: Turn, evidence: Sequence[Evidence]) -> list[Evidence]:
        """Those that are nearly as likely as the first."""
        shares = self.shares(turn, evidence)
        return [fact for fact, share in zip(evidence, shares) if share >= float(self.share)]

    @torch.no_grad()
    def answers(self, turn: Turn, fact: Evidence) -> bool:
        """When they share a word beside the name, or words that were learnt to go together."""
        learnt = self(turn, [fact])[0] - self.trust * fact.score
        return bool(learnt > 0) or abstaining.answers(turn, fact)


def best_share(judged: Judged) -> float:
    """
    The share that gives the best F1 over all facts chosen.

    :param judged: turns
    :return: the default where nothing was judged
    """
    shares = sorted({share for facts, _ in judged for share, _ in facts if share <= 1})
    wanted = sum(count for _, count in judged)
    flat = sorted(((share, right) for facts, _ in judged for share, right in facts), reverse=True)
    best, best_f1, hits, chosen = _SHARE, -1.0, 0, 0
    for share in reversed(shares):
        while chosen < len(flat) and flat[chosen][0] >= share:
            hits += flat[chosen][1]
            chosen += 1
        f1 = 2 * hits / max(chosen + wanted, 1)
        if f1 > best_f1:
            best, best_f1 = share, f1
    return best


def _pairs(turn: Turn, fact: Evidence) -> torch.Tensor:
    """LongTensor[pairs], a bucket of each; the names of what is asked about say nothing."""
    names = set(terms(fact.entity))
    asked = [term for term in dict.fromkeys(terms(turn.text)) if term not in names][:_ASKED]
    told = dict.fromkeys(terms(f"{fact.question} {fact.text}"))
    told_terms = [term for term in told if term not in names][:_TOLD]
    same = min(len(set(asked) & set(told_terms)), _TOLD)
    told_terms += ["<faq>" if fact.question else "<fact>", f"<same {same}>"]
    left = torch.tensor([_number(term) for term in [*asked, _ANY]])
    right = torch.tensor([_number(term) for term in told_terms])
    return ((left.unsqueeze(1) * _MULTIPLIER + right) % _BUCKETS).flatten()


@functools.lru_cache(maxsize=100_000)
def _number(term: str) -> int:
    return zlib.crc32(term.encode())
