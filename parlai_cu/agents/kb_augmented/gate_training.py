"""How the gate of ``-m kb_augmented`` learns: from labels, or from facts and ordinary dialogues."""

import random
from collections.abc import Sequence
from typing import Any, Optional

import parlai.utils.logging as logging
import torch
from parlai.core.agents import Agent
from parlai.core.metrics import AverageMetric, Metric

from parlai_cu.knowledge import made_questions
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


_cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits


class GateTraining(Agent):
    """The part of the agent that teaches its gate. It sits before the base agent in the MRO."""

    # what the agent has
    gate: Any
    kb: Any

    def __init__(self, opt: Any, shared: dict[str, Any] | None = None) -> None:
        # of validation examples: the gate's probability, and whether knowledge was needed
        self._judged: list[tuple[float, bool]] = []
        self._held_out: list[Example] = []
        self._facts: list[Fact] = []
        self._counted_facts = False
        self._rng = random.Random(opt.get("seed") or 0)
        super().__init__(opt, shared)

    def teach_gate(
        self, turn: Turn, needed: bool, found: Sequence[Evidence]
    ) -> torch.Tensor | None:
        """
        The loss (a scalar) on one turn; None for a gate that does not learn.

        :param turn: labelled
        :param needed: its label: whether it needs knowledge
        :param found: what the knowledge base found for it
        """
        if not isinstance(self.gate, torch.nn.Module):
            return None
        logits = self.gate([turn], [found[: self.opt["kb_top_k"]]])
        wanted = torch.tensor([float(needed)], device=logits.device)
        loss: torch.Tensor = getattr(self.gate, "loss", _cross_entropy)(logits, wanted)
        self.global_metrics.add("gate_loss", AverageMetric(loss.item()))
        self.global_metrics.add("gate_acc", AverageMetric(int((logits.item() > 0) == needed)))
        return loss

    def count_words(self, turn: Turn) -> None:
        """Let the gate know how often facts and dialogues have each word, if it wants to."""
        if not hasattr(self.gate, "count_said"):
            return
        if not self._counted_facts:
            self._counted_facts = True
            if self.gate.told[-1] == 0:
                self.gate.count_facts(made_questions.statements(self.kb, self._rng))
        # the exchange before; what was said earlier is that of other turns
        self.gate.count_said(turn.history[-2:])

    def teach_gate_unlabelled(self, turn: Turn) -> list[torch.Tensor]:
        """
        Losses (scalars) on an ordinary turn, and on a question made from a fact in its place.

        The fact itself is not among what is found for its question: it would match as well as no
        fact does when people ask in their own words.
        """
        if not self._facts:
            self._facts = made_questions.sample(self.kb, self._rng)
            logging.info(
                f"no labels yes and no: the gate learns from questions made of {len(self._facts)} "
                "facts against the turns of the dialogues"
            )
        self.count_words(turn)
        fact = self._rng.choice(self._facts)
        asked = Turn(made_questions.question(fact, self._rng), turn.history)
        others = [found for found in self.ask(asked) if found.id != fact.id]
        examples: list[Example] = [(turn, self.ask(turn), False), (asked, others, True)]
        if self._rng.randrange(_HELD_OUT) == 0 and len(self._held_out) < _MOST_HELD_OUT:
            self._held_out += examples
            return []
        losses = (self.teach_gate(said, needed, found) for said, found, needed in examples)
        return [loss for loss in losses if loss is not None]

    def begin_step(self) -> None:
        """What was judged before is of other weights; and a temperature waits for the end."""
        self._judged = []
        self._forget_calibration()

    def gate_reply(self, observation: Any, decision: GateDecision) -> Any:
        """The answer to a message that asks if knowledge is needed."""
        labels = observation.get("eval_labels")
        if labels:
            needed = NEEDED in labels
            self._judged.append((decision.score, needed))
            self.global_metrics.add("gate_ece", CalibrationError.of(decision.score, needed))
        reply = self.empty_reply()
        reply["text"] = NEEDED if decision.score >= self.gate.threshold else NOT_NEEDED
        return reply

    def settle_gate(self) -> None:
        """
        Calibration, and threshold where it is to be chosen, by what was judged last.

        Once for all saves of the same weights: the calibration is of logits as they were learnt.
        """
        people_asked = bool(self._judged)
        judged, self._judged = self._judged or self._judge_held_out(), []
        if hasattr(self.gate, "temperature") and judged:
            # made questions are easier than people's: they do not tell where the boundary is
            heat, shift = scale_for(judged, shifts=people_asked)
            # on top of what was applied when these were judged
            self.gate.shift.add_(shift * self.gate.temperature)
            self.gate.temperature.mul_(heat)
            before = calibration_error(judged)
            judged = [(scaled(score, heat, shift), needed) for score, needed in judged]
            logging.info(
                f"gate calibrated on {len(judged)} turns: temperature {heat:.2f}, shift "
                f"{shift:.2f}, expected calibration error {before:.3f} -> "
                f"{calibration_error(judged):.3f}"
            )
        if self.opt.get("kb_gate_threshold") == "auto" and judged:
            precision = self.opt["kb_gate_precision"]
            self.gate.threshold = threshold_for(judged, precision)
            logging.info(
                f"gate threshold {self.gate.threshold:.3f}: precision {precision:.0%} on "
                f"{len(judged)} turns"
            )

    def _judge_held_out(self) -> list[tuple[float, bool]]:
        """What is made of the turns kept from learning without labels."""
        if not self._held_out:
            return []
        self._forget_calibration()
        top_k = self.opt["kb_top_k"]
        return [
            (self.gate.decide(turn, found[:top_k], None).score, needed)
            for turn, found, needed in self._held_out
        ]

    def _forget_calibration(self) -> None:
        if hasattr(self.gate, "temperature"):
            self.gate.temperature.fill_(1)
            self.gate.shift.fill_(0)
