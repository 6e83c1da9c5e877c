"""How the ranker of ``-m kb_augmented`` learns and is judged: by labels that are facts."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from parlai.core.metrics import AverageMetric, Metric
from parlai.core.opt import Opt
from parlai.core.torch_classifier_agent import ConfusionMatrixMetric

from parlai_cu.agents.kb_augmented.gate_training import NEEDED, NOT_NEEDED
from parlai_cu.agents.kb_augmented.label_linking import MeantFacts
from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.knowledge.rankers.base import TrainableRanker
from parlai_cu.types import Evidence, Turn

# a right fact among so many counts for kb_hits@5
FIRST = 5


class RankTraining:
    """
    What an agent teaches its ranker by, and judges it by.

    :param ranker: may be one that does not learn
    :param meant: which facts labels are
    :param opt: of the agent
    :param record: takes the name of a metric of the run, and it
    """

    def __init__(
        self, ranker: Any, meant: MeantFacts, opt: Opt, record: Callable[[str, Metric], None]
    ) -> None:
        self.ranker, self._meant, self._opt, self._record = ranker, meant, opt, record
        # of validation examples: the facts' shares and whether they are right, and how many are
        self._shares: list[tuple[list[tuple[float, bool]], int]] = []

    def teach(
        self, turn: Turn, labels: Sequence[str], found: Sequence[Evidence]
    ) -> list[torch.Tensor]:
        """
        The loss (a scalar) on one turn; none where no right fact is found for it.

        :param turn: that asks
        :param labels: facts that answer it
        :param found: what the knowledge base found for it
        :raises UsageError: when the labels are none
        """
        ranker = self.ranker
        meant = self._meant.ids(labels) if isinstance(ranker, TrainableRanker) else set()
        if not meant:
            raise UsageError(
                f"found the label {labels[0][:60]!r}: --kb-gate {self._opt['kb_gate']} learns from "
                f"{NEEDED} and {NOT_NEEDED}, as of -t dstc11:detection; --kb-rank word_pairs from "
                "facts of --kb, word for word, as of -t dstc11:selection; --kb-gate classifier "
                "alone from any dialogues"
            )
        right = torch.tensor([float(fact.id in meant) for fact in found])
        self._record("kb_found", AverageMetric(int(right.sum() > 0)))
        if not right.sum():
            return []
        logits = ranker(turn, found)
        loss = ranker.loss(logits, right.to(logits.device))
        self._record("rank_loss", AverageMetric(loss.item()))
        return [loss]

    def judge(self, turn: Turn, labels: Sequence[str], found: Sequence[Evidence]) -> None:
        """
        Where a label is a fact: whether it, or another one meant, comes first, and in five.

        And the facts chosen, as a set: ``kb_set_p``, ``kb_set_r``, ``kb_set_f1`` (micro-averaged)
        and ``kb_set_em`` are those of DSTC11 track 5.
        """
        try:
            meant: set[str] = self._meant.ids(labels)
        except KnowledgeError:  # is said where the turn asks
            return
        if not meant:
            return
        ranked = self.ranker.rank(turn, found)
        best = [fact.id in meant for fact in ranked[:FIRST]]
        self._record("kb_hits@1", AverageMetric(int(any(best[:1]))))
        self._record(f"kb_hits@{FIRST}", AverageMetric(int(any(best))))
        if isinstance(self.ranker, TrainableRanker):
            shares = self.ranker.shares(turn, ranked)
            self._shares.append(
                ([(share, fact.id in meant) for share, fact in zip(shares, ranked)], len(meant))
            )
        chosen = {fact.id for fact in self.ranker.chosen(turn, ranked[: self._opt["kb_top_k"]])}
        right = len(chosen & meant)
        counts = right, 0, len(chosen) - right, len(meant) - right
        for name, metric in zip("p r f1".split(), ConfusionMatrixMetric.compute_many(*counts)):
            self._record(f"kb_set_{name}", metric)
        self._record("kb_set_em", AverageMetric(int(chosen == meant)))

    def begin_step(self) -> None:
        """What was judged before is of other weights."""
        self._shares = []

    def settle(self) -> None:
        """How near to the first a fact must come to be an answer as well, by what was judged."""
        if self._shares:
            self.ranker.settle(self._shares)
