"""How the gate of ``-m kb_augmented`` learns: from labels, or from facts and ordinary dialogues."""

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, Optional

import parlai.utils.logging as logging
import torch
from parlai.core.metrics import AverageMetric, Metric
from parlai.core.opt import Opt

from parlai_cu.knowledge import made_questions
from parlai_cu.knowledge.gates.base import TrainableGate
from parlai_cu.knowledge.gates.calibration import (
    bin_of,
    calibration_error,
    scale_for,
    scaled,
    threshold_for,
)
from parlai_cu.types import Evidence, Fact, GateDecision, Turn

# labels that say whether a turn needs knowledge
NEEDED, NOT_NEEDED = "yes", "no"
# one in so many turns is kept from learning without labels, to judge by; so many at most
_HELD_OUT, _MOST_HELD_OUT = 10, 500
Example = tuple[Turn, list[Evidence], bool]
Ask = Callable[[Turn], list[Evidence]]


class CalibrationError(Metric):
    """
    Expected calibration error over all that was judged
    (:func:`~parlai_cu.knowledge.gates.calibration.calibration_error`).

    :param bins: bin -> sum, over what was judged, of the probability less what was right (0 or 1)
    :param count: how many were judged
    """

    __slots__ = ("_bins", "_count")

    @property
    def macro_average(self) -> bool:
        """Of several tasks the mean."""
        return True

    def __init__(self, bins: dict[int, float], count: int) -> None:
        self._bins, self._count = bins, count

    @classmethod
    def of(cls, probability: float, needed: bool) -> "CalibrationError":
        """That of one example: the gate's ``probability``, and whether knowledge was ``needed``."""
        return cls({bin_of(probability): probability - needed}, 1)

    def __add__(self, other: Optional["CalibrationError"]) -> "CalibrationError":
        if other is None:
            return self
        bins = dict(self._bins)
        for place, gap in other._bins.items():
            bins[place] = bins.get(place, 0.0) + gap
        return type(self)(bins, self._count + other._count)

    def value(self) -> float:
        """The gaps of the bins, by how many fell into each."""
        return sum(map(abs, self._bins.values())) / self._count


class GateTraining:
    """
    What an agent teaches its gate by, and judges it by.

    :param gate: may be one that does not learn
    :param kb: the knowledge base
    :param opt: of the agent
    :param ask: gives what is found for a turn
    :param record: takes the name of a metric of the run, and it
    """

    def __init__(
        self, gate: Any, kb: Any, opt: Opt, ask: Ask, record: Callable[[str, Metric], None]
    ) -> None:
        self.gate, self._kb, self._opt, self._ask, self._record = gate, kb, opt, ask, record
        # of validation examples: the gate's probability, and whether knowledge was needed
        self.judged: list[tuple[float, bool]] = []
        self._held_out: list[Example] = []
        self._facts: list[Fact] = []
        self._rng = random.Random(opt.get("seed") or 0)

    def teach(self, turn: Turn, needed: bool, found: Sequence[Evidence]) -> list[torch.Tensor]:
        """
        The loss (a scalar) on one turn; none for a gate that does not learn.

        :param turn: labelled
        :param needed: its label: whether it needs knowledge
        :param found: what the knowledge base found for it
        """
        if not isinstance(self.gate, TrainableGate):
            return []
        self._count_words(turn)
        return [self._loss(turn, needed, found)]

    def _loss(self, turn: Turn, needed: bool, found: Sequence[Evidence]) -> torch.Tensor:
        logits = self.gate([turn], [found[: self._opt["kb_top_k"]]])
        wanted = torch.tensor([float(needed)], device=logits.device)
        loss: torch.Tensor = self.gate.loss(logits, wanted)
        self._record("gate_loss", AverageMetric(loss.item()))
        self._record("gate_acc", AverageMetric(int((logits.item() > 0) == needed)))
        return loss

    def teach_unlabelled(self, turn: Turn) -> list[torch.Tensor]:
        """
        Losses (scalars) on an ordinary turn, and on a question made from a fact in its place.

        The fact itself is not among what is found for its question: it would match as well as no
        fact does when people ask in their own words.
        """
        if not self._facts:
            self._facts = made_questions.sample(self._kb, self._rng)
            logging.info(
                f"no labels yes and no: the gate learns from questions made of {len(self._facts)} "
                "facts against the turns of the dialogues"
            )
        self._count_words(turn)
        fact = self._rng.choice(self._facts)
        asked = Turn(made_questions.question(fact, self._rng), turn.history)
        others = [found for found in self._ask(asked) if found.id != fact.id]
        examples: list[Example] = [(turn, self._ask(turn), False), (asked, others, True)]
        if self._rng.randrange(_HELD_OUT) == 0 and len(self._held_out) < _MOST_HELD_OUT:
            self._held_out += examples
            return []
        return [
            loss for said, found, needed in examples for loss in self.teach(said, needed, found)
        ]

    def _count_words(self, turn: Turn) -> None:
        # the exchange before; what was said earlier is that of other turns
        statements = functools.partial(made_questions.statements, self._kb, self._rng)
        self.gate.count_words(statements, turn.history[-2:])

    def begin_step(self) -> None:
        """What was judged before is of other weights; and a temperature waits for the end."""
        self.judged = []
        if isinstance(self.gate, TrainableGate):
            self.gate.forget_calibration()

    def judge(self, labels: Sequence[str] | None, decision: GateDecision) -> str:
        """
        The answer to a message that asks if knowledge is needed.

        :param labels: whether it is, where that is known
        :param decision: the gate's
        """
        if labels:
            needed = NEEDED in labels
            self.judged.append((decision.score, needed))
            self._record("gate_ece", CalibrationError.of(decision.score, needed))
        return NEEDED if decision.score >= self.gate.threshold else NOT_NEEDED

    def settle(self) -> None:
        """
        Calibration, and threshold where it is to be chosen, by what was judged last.

        Once for all saves of the same weights: the calibration is of logits as they were learnt.
        """
        if not isinstance(self.gate, TrainableGate):
            return
        people_asked = bool(self.judged)
        judged, self.judged = self.judged or self._judge_held_out(self.gate), []
        if self.gate.calibrates and judged:
            # made questions are easier than people's: they do not tell where the boundary is
            heat, shift = scale_for(judged, shifts=people_asked)
            self.gate.calibrate(heat, shift)
            before = calibration_error(judged)
            judged = [(scaled(score, heat, shift), needed) for score, needed in judged]
            logging.info(
                f"gate calibrated on {len(judged)} turns: temperature {heat:.2f}, shift "
                f"{shift:.2f}, expected calibration error {before:.3f} -> "
                f"{calibration_error(judged):.3f}"
            )
        if self._opt.get("kb_gate_threshold") == "auto" and judged:
            precision = self._opt["kb_gate_precision"]
            self.gate.threshold = threshold_for(judged, precision)
            logging.info(
                f"gate threshold {self.gate.threshold:.3f}: precision {precision:.0%} on "
                f"{len(judged)} turns"
            )

    def _judge_held_out(self, gate: TrainableGate) -> list[tuple[float, bool]]:
        """What is made of the turns kept from learning without labels."""
        if self._held_out:
            gate.forget_calibration()
        top_k = self._opt["kb_top_k"]
        return [
            (gate.decide(turn, found[:top_k], None).score, needed)
            for turn, found, needed in self._held_out
        ]
