"""What a gate is."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch

from parlai_cu.types import Evidence, GateDecision, Turn


class Gate(Protocol):
    """
    One file per variant in this package, and one line in ``parlai_cu/plugin.py``.

    A variant is made as ``Variant(threshold)``: with None it takes the one that suits it.
    """

    # whether it has to be told how unsure the model is of its own reply
    needs_entropy: bool
    # whether what it lets pass is used only if the best fact answers at all
    may_abstain: bool
    threshold: float

    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """
        Whether a turn is to be answered with knowledge.

        :param turn: what was said
        :param evidence: what was found for it, best first; with nothing the answer is no
        :param entropy: of the model's own reply, in nats a token, for a gate that needs it
        """
        ...


@runtime_checkable
class TrainableGate(Gate, Protocol):
    """A gate that learns; it is a ``torch.nn.Module`` as well."""

    # whether it is of use before it has learnt
    optional: bool
    # whether its probabilities are fit on validation data once it has learnt
    calibrates: bool

    def __call__(
        self, turns: Sequence[Turn], evidence: Sequence[Sequence[Evidence]]
    ) -> torch.Tensor:
        """
        :param turns: what was said
        :param evidence: for each turn what was found for it, best first
        :return: FloatTensor[turns], logits of knowledge being needed
        """
        ...

    def loss(self, logits: torch.Tensor, needed: torch.Tensor) -> torch.Tensor:
        """
        :param logits: FloatTensor[turns]
        :param needed: FloatTensor[turns], 1 where knowledge is needed, else 0
        :return: FloatTensor[]
        """
        ...

    def count_words(self, facts: Callable[[], Iterable[str]], said: Iterable[str]) -> None:
        """
        Learn which words facts have and which dialogues, where it makes a difference.

        :param facts: gives the facts as sentences, where they were not counted yet
        :param said: utterances of one turn
        """
        ...

    def calibrate(self, heat: float, shift: float) -> None:
        """Divide its logits by ``heat`` after adding ``shift``, on top of what was so far."""
        ...

    def forget_calibration(self) -> None:
        """Its logits are as they were learnt."""
        ...
