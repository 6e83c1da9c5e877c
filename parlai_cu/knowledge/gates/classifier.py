"""
``--kb-gate classifier``: learnt from labels, or from the facts and ordinary turns alone.

Logistic regression on the words of the last turn, on runs of up to three of them and on the runs of
letters in them, each one of a number of hashed weights (Joulin et al. 2017,
https://arxiv.org/abs/1607.01759, section 2.2): runs of letters see that "internet" and "wi-fi" go
with "wifi", and misspelt words.
"""

import functools
import zlib
from typing import List, Optional, Sequence

import torch

from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, GateDecision, Turn

_DEFAULT = 0.5
# features share so many weights; 0 is padding
_BUCKETS = 2**18
_LONGEST = 64
# words in a row, letters in a row
_WORDS, _LETTERS = 3, (2, 6)
# how far a weight's change moves the sum
_SCALE = 1.5
# the best fact's score is one more word, one of so many
_STEPS = 10


class Classifier(torch.nn.Module):
    """
    A linear model of what is said, and of how well the best fact matches.

    :param threshold: probability from which on knowledge is used
    """

    needs_entropy = False
    may_abstain = True
    temperature: torch.Tensor

    def __init__(self, threshold: Optional[float] = None) -> None:
        super().__init__()
        self.threshold = _DEFAULT if threshold is None else threshold
        # zero: before it has learnt it is undecided
        self.weights = torch.nn.Parameter(torch.zeros(_BUCKETS))
        self.bias = torch.nn.Parameter(torch.zeros(()))
        # of its logits, fit on validation data once it has learnt
        self.register_buffer("temperature", torch.ones(()))

    def forward(
        self, turns: Sequence[Turn], evidence: Sequence[Sequence[Evidence]]
    ) -> torch.Tensor:
        """
        :return: FloatTensor[turns], logits of knowledge being needed
        """
        totals = []
        for turn, found in zip(turns, evidence):
            features = torch.tensor(_features(turn, found), device=self.bias.device)
            # by the root of the count: long turns are surer, but not without bound
            totals.append(self.weights[features].sum() / len(features) ** 0.5)
        return (_SCALE * torch.stack(totals) + self.bias) / self.temperature

    @torch.no_grad()
    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: Optional[float]
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        score = float(self.forward([turn], [evidence]).sigmoid()[0])
        return GateDecision(bool(evidence) and score >= self.threshold, score, "classifier")


def _features(turn: Turn, evidence: Sequence[Evidence]) -> List[int]:
    score = min(max(evidence[0].score if evidence else 0.0, 0.0), 1.0)
    match = f"<match {int(score * _STEPS)}>" if evidence else "<nothing>"
    said = _without_names(words(turn.text), evidence)[-_LONGEST:]
    said += ["<?>"] if "?" in turn.text else []
    found = {match}
    for length in range(1, _WORDS + 1):
        found.update(" ".join(said[i : i + length]) for i in range(len(said) - length + 1))
    letters = f" {' '.join(said)} "
    for length in range(_LETTERS[0], _LETTERS[1] + 1):
        found.update("#" + letters[i : i + length] for i in range(len(letters) - length + 1))
    return sorted(_number(feature) for feature in found)


@functools.lru_cache(maxsize=200_000)
def _number(feature: str) -> int:
    return zlib.crc32(feature.encode()) % _BUCKETS


def _without_names(said: List[str], evidence: Sequence[Evidence]) -> List[str]:
    """One word for every entity that was found: what is asked of one is asked of all."""
    text = f" {' '.join(said)} "
    for name in {" ".join(words(fact.entity)) for fact in evidence} - {""}:
        text = text.replace(f" {name} ", " <entity> ")
    return text.split()
