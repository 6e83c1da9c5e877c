"""``--kb-gate classifier``: learnt from labels, or from the facts and ordinary turns alone."""

import zlib
from typing import List, Optional, Sequence, Tuple

import torch

from parlai_cu.knowledge.words import words
from parlai_cu.token_classifier import TokenClassifier
from parlai_cu.types import Evidence, GateDecision, Turn

_DEFAULT = 0.5
# words are told apart by a hash of so many values; 0 is padding
_BUCKETS = 2**16
_LONGEST = 64
# the best fact's score is one more word, one of so many
_STEPS = 10


class Classifier(torch.nn.Module):
    """
    Logistic regression on the last turn's words, their pairs, and how well the best fact matches.

    :param threshold: probability from which on knowledge is used
    """

    needs_entropy = False

    def __init__(self, threshold: Optional[float] = None) -> None:
        super().__init__()
        self.threshold = _DEFAULT if threshold is None else threshold
        self.model = TokenClassifier(_BUCKETS, 2)

    def forward(
        self, turns: Sequence[Turn], evidence: Sequence[Sequence[Evidence]]
    ) -> torch.Tensor:
        """
        :return: FloatTensor[turns, 2], logits of no and yes
        """
        rows = [_features(turn, found) for turn, found in zip(turns, evidence)]
        length = max(len(row) for row in rows)
        tokens = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        logits: torch.Tensor = self.model(tokens.to(self.model.bias.device))
        return logits

    @torch.no_grad()
    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: Optional[float]
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        score = float(self([turn], [evidence]).softmax(dim=-1)[0, 1])
        return GateDecision(bool(evidence) and score >= self.threshold, score, "classifier")


def threshold_for(judged: Sequence[Tuple[float, bool]], precision: float) -> float:
    """
    The lowest threshold at which enough of what passes is right; so that most of it passes.

    :param judged: (probability, whether knowledge was needed) of validation examples
    :param precision: wanted share of right ones among those that pass
    :return: 1.0 where no threshold gives it
    """
    best, right, passed = 1.0, 0, 0
    ordered = sorted(judged, reverse=True)
    for i, (score, needed) in enumerate(ordered):
        right, passed = right + needed, passed + 1
        tied = i + 1 < len(ordered) and ordered[i + 1][0] == score
        if not tied and right / passed >= precision:
            best = score
    return best


def _features(turn: Turn, evidence: Sequence[Evidence]) -> List[int]:
    score = min(max(evidence[0].score if evidence else 0.0, 0.0), 1.0)
    match = f"<match {int(score * _STEPS)}>" if evidence else "<nothing>"
    asked = ["<?>"] if "?" in turn.text else []
    said = _without_names(words(turn.text), evidence)[-_LONGEST:]
    return [
        zlib.crc32(word.encode()) % (_BUCKETS - 1) + 1 for word in [match, *asked, *said, "<end>"]
    ]


def _without_names(said: List[str], evidence: Sequence[Evidence]) -> List[str]:
    """One word for every entity that was found: what is asked of one is asked of all."""
    text = f" {' '.join(said)} "
    for name in {" ".join(words(fact.entity)) for fact in evidence} - {""}:
        text = text.replace(f" {name} ", " <entity> ")
    return text.split()
