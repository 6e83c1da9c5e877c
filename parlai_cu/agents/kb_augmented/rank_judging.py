"""How well the ranker of ``-m kb_augmented`` chooses facts, by labels that are facts."""

from collections.abc import Sequence
from typing import Any

from parlai.core.agents import Agent
from parlai.core.metrics import AverageMetric
from parlai.core.torch_classifier_agent import ConfusionMatrixMetric

from parlai_cu.knowledge.rankers import word_pairs
from parlai_cu.types import Evidence, Turn

# a right fact among so many counts for kb_hits@5
FIRST = 5


class RankJudging(Agent):
    """The part of the agent that judges its ranker. It sits before the base agent in the MRO."""

    # what the agent has
    ranker: Any

    def __init__(self, opt: Any, shared: dict[str, Any] | None = None) -> None:
        # of validation examples: the facts' shares and whether they are right, and how many are
        self._shares: list[tuple[list[tuple[float, bool]], int]] = []
        super().__init__(opt, shared)

    def judge_ranking(self, turn: Turn, meant: Any, found: Sequence[Evidence]) -> None:
        """
        Whether a fact that is meant comes first, and in five; and the facts chosen, as a set.

        ``kb_set_p``, ``kb_set_r``, ``kb_set_f1`` (micro-averaged) and ``kb_set_em`` are those of
        DSTC11 track 5.

        :param turn: that asks
        :param meant: ids of the facts that the labels are
        :param found: what the knowledge base found for it
        """
        ranked = self.ranker.rank(turn, found)
        best = [fact.id in meant for fact in ranked[:FIRST]]
        self.global_metrics.add("kb_hits@1", AverageMetric(int(any(best[:1]))))
        self.global_metrics.add(f"kb_hits@{FIRST}", AverageMetric(int(any(best))))
        if hasattr(self.ranker, "shares"):
            shares = self.ranker.shares(turn, ranked)
            self._shares.append(
                ([(share, fact.id in meant) for share, fact in zip(shares, ranked)], len(meant))
            )
        chosen = {fact.id for fact in self.ranker.chosen(turn, ranked[: self.opt["kb_top_k"]])}
        right = len(chosen & meant)
        counts = right, 0, len(chosen) - right, len(meant) - right
        for name, metric in zip("p r f1".split(), ConfusionMatrixMetric.compute_many(*counts)):
            self.global_metrics.add(f"kb_set_{name}", metric)
        self.global_metrics.add("kb_set_em", AverageMetric(int(chosen == meant)))

    def forget_ranking(self) -> None:
        """What was judged before is of other weights."""
        self._shares = []

    def settle_ranker(self) -> None:
        """How near to the first a fact must come to be an answer as well, by what was judged."""
        if self._shares:
            self.ranker.share.fill_(word_pairs.best_share(self._shares))
