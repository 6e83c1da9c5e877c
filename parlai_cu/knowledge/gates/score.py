"""``--kb-gate score``: the best fact matches well enough."""

from collections.abc import Callable, Iterable, Sequence

import torch

from parlai_cu.knowledge.answer_fields import is_asked_for
from parlai_cu.types import Evidence, GateDecision, Turn

# a third of what the question says is in the fact; less is mostly small talk that shares a word
_DEFAULT = 0.3
# trained, it is a probability
_TRAINED = 0.5
# a score is within 0 and 1, where logits are told apart by tens
_SCALE = 10.0


class Score(torch.nn.Module):
    """
    The score of the best fact, which for the embedded knowledge base is between 0 and 1; for a
    row of a thing that is asked about by its name it is 1, however few of the words are in the row.

    As it is, that is no probability but the share of what the question says that is in the fact.
    Trained on turns labelled yes and no it becomes one: the logistic function of the score
    (Platt 1999), with a slope and an offset that are learnt.

    :param threshold: from which on the fact is used
    """

    needs_entropy = False
    may_abstain = True
    trained: torch.Tensor
    # it is of use without training
    optional = True
    calibrates = False

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self._given = threshold
        self.threshold = _DEFAULT if threshold is None else threshold
        self.slope = torch.nn.Parameter(torch.ones(()))
        self.offset = torch.nn.Parameter(torch.tensor(-_DEFAULT))
        self.register_buffer("trained", torch.zeros(()))

    def forward(
        self, turns: Sequence[Turn], evidence: Sequence[Sequence[Evidence]]
    ) -> torch.Tensor:
        """
        :param turns: what was said
        :param evidence: for each turn what was found for it, best first
        :return: FloatTensor[turns], logits of knowledge being needed
        """
        if not self.trained:
            self.trained.fill_(1)
            self.threshold = _TRAINED if self._given is None else self._given
        found = [_best(turn, facts) for turn, facts in zip(turns, evidence)]
        scores = torch.tensor(found, device=self.slope.device)
        logits: torch.Tensor = _SCALE * (self.slope * scores + self.offset)
        return logits

    def loss(self, logits: torch.Tensor, needed: torch.Tensor) -> torch.Tensor:
        """Cross-entropy; see :class:`~parlai_cu.knowledge.gates.base.TrainableGate`."""
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, needed)

    def count_words(self, facts: Callable[[], Iterable[str]], said: Iterable[str]) -> None:
        """Words make no difference."""

    def calibrate(self, heat: float, shift: float) -> None:
        """What is learnt are a slope and an offset already."""

    def forget_calibration(self) -> None:
        """There is none."""

    @torch.no_grad()
    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        score = _best(turn, evidence)
        if self.trained:
            score = float(self.forward([turn], [evidence]).sigmoid()[0])
        return GateDecision(bool(evidence) and score >= self.threshold, score, "score")


def _best(turn: Turn, evidence: Sequence[Evidence]) -> float:
    """The best fact's score; a row of what is asked about by its name is sure."""
    if not evidence:
        return 0.0
    return 1.0 if is_asked_for(turn, evidence[0]) else min(evidence[0].score, 1.0)
