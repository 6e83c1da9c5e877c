"""
``--kb-gate classifier``: learnt from labels, or from the facts and ordinary turns alone.

A linear model of the last turn's words, of runs of letters in them, and of the words before it,
each one of a number of hashed weights (Joulin et al. 2017, https://arxiv.org/abs/1607.01759,
section 2.2): runs of letters see that "internet" and "wi-fi" go with "wifi", and misspelt words.

A word that no training turn had says something as well: whether facts have it more often than
dialogues do. So each word is also seen as one of a few kinds, by the logarithm of that ratio.
"""

import functools
import math
import zlib
from collections.abc import Callable, Iterable, Sequence

import torch

from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, GateDecision, Turn

_DEFAULT = 0.5
# features share so many weights
_BUCKETS = 2**18
# words are counted in so many places
_COUNTED = 2**16
_LONGEST = 64
# kinds of words in a row, letters in a row, words of the turn before in a row
_KINDS, _LETTERS, _BEFORE = 3, (2, 6), 2
# what the turn before counts beside this one; by cross-validation on DSTC11's training dialogues
_WORTH_BEFORE = 0.3
# a word's kind is how much likelier it is in questions than in answers: the logarithm of that
# ratio in steps of 1.2, at most three to either side
_APART, _MOST_KIND = 1.2, 3
# how far a weight's change moves the sum
_SCALE = 0.03
# the best fact's score is one more word, one of so many
_STEPS = 10


class Classifier(torch.nn.Module):
    """
    A linear model of what is said, and of how well the best fact matches.

    :param threshold: probability from which on knowledge is used
    """

    needs_entropy = False
    may_abstain = True
    optional = False
    calibrates = True
    temperature: torch.Tensor
    shift: torch.Tensor
    told: torch.Tensor
    said: torch.Tensor

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = _DEFAULT if threshold is None else threshold
        # zero: before it has learnt it is undecided
        self.weights = torch.nn.Parameter(torch.zeros(_BUCKETS))
        self.bias = torch.nn.Parameter(torch.zeros(()))
        # of its logits, fit on validation data once it has learnt
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))
        # in how many facts, and in how many utterances, each word stands; the last is of all
        self.register_buffer("told", torch.zeros(_COUNTED + 1))
        self.register_buffer("said", torch.zeros(_COUNTED + 1))

    def count_facts(self, facts: Iterable[str]) -> None:
        """Learn which words facts have."""
        _count(facts, self.told)

    def count_said(self, utterances: Iterable[str]) -> None:
        """Learn which words dialogues have, of their utterances."""
        _count(utterances, self.said)

    def count_words(self, facts: Callable[[], Iterable[str]], said: Iterable[str]) -> None:
        """See :class:`~parlai_cu.knowledge.gates.base.TrainableGate`."""
        if not self.told[-1]:
            self.count_facts(facts())
        self.count_said(said)

    def forward(
        self, turns: Sequence[Turn], evidence: Sequence[Sequence[Evidence]]
    ) -> torch.Tensor:
        """
        :param turns: what was said
        :param evidence: for each turn what was found for it, best first
        :return: FloatTensor[turns], logits of knowledge being needed
        """
        totals = []
        for turn, found in zip(turns, evidence):
            numbers, worth = self._features(turn, found)
            device = self.bias.device
            weights = self.weights[torch.tensor(numbers, device=device)]
            totals.append(weights @ torch.tensor(worth, device=device))
        margins = _SCALE * torch.stack(totals) + self.bias
        return (margins + self.shift) / self.temperature

    def loss(self, logits: torch.Tensor, needed: torch.Tensor) -> torch.Tensor:
        """
        Squared hinge loss: what is surely right moves nothing, unlike with cross-entropy.

        :param logits: FloatTensor[turns]
        :param needed: FloatTensor[turns], 1 where knowledge is needed, else 0
        :return: FloatTensor[]
        """
        return torch.relu(1 - (2 * needed - 1) * logits).square().mean()

    def calibrate(self, heat: float, shift: float) -> None:
        """See :class:`~parlai_cu.knowledge.gates.base.TrainableGate`."""
        # the shift is of logits that were divided already
        self.shift.add_(shift * self.temperature)
        self.temperature.mul_(heat)

    def forget_calibration(self) -> None:
        """Its logits are as they were learnt."""
        self.temperature.fill_(1)
        self.shift.fill_(0)

    @torch.no_grad()
    def decide(
        self, turn: Turn, evidence: Sequence[Evidence], entropy: float | None
    ) -> GateDecision:
        """See :class:`~parlai_cu.knowledge.gates.base.Gate`."""
        score = float(self.forward([turn], [evidence]).sigmoid()[0])
        return GateDecision(bool(evidence) and score >= self.threshold, score, "classifier")

    def _features(self, turn: Turn, evidence: Sequence[Evidence]) -> tuple[list[int], list[float]]:
        """The weights that count, and how much each does."""
        score = min(max(evidence[0].score if evidence else 0.0, 0.0), 1.0)
        names = {" ".join(words(fact.entity)) for fact in evidence} - {""}
        said = _marked(turn.text, names)
        letters = {f"<match {int(score * _STEPS)}>" if evidence else "<nothing>"}
        text = f" {' '.join(said)} "
        for length in range(_LETTERS[0], _LETTERS[1] + 1):
            letters.update("#" + text[i : i + length] for i in range(len(text) - length + 1))
        kinds = [self._kind(word) for word in said]
        known = [int(kind) for kind in kinds if kind.lstrip("-").isdigit()]
        of_kinds = {
            "<all>",
            f"<least {min(known, default='')}>",
            f"<most {max(known, default='')}>",
        }
        of_kinds |= {f"%{run}" for run in _runs(kinds, _KINDS)}
        last = _marked(turn.history[-1], names) if turn.history else ["<first>"]
        before = {f"<{run}" for run in _runs(last, _BEFORE)}
        found: dict[int, float] = {}
        parts = (letters, 1.0), (of_kinds, 1.0), (before, _WORTH_BEFORE)
        for features, worth in parts:
            for feature in features:
                number = _number(feature) % _BUCKETS
                found[number] = found.get(number, 0.0) + worth
        numbers = sorted(found)
        return numbers, [found[number] for number in numbers]

    def _kind(self, word: str) -> str:
        if not word[0].isalnum():
            return word
        place = _number(word) % _COUNTED
        told, said = float(self.told[place]), float(self.said[place])
        if not told and not said:
            return "new"
        share = (told + 0.5) / (float(self.told[-1]) + 1)
        ratio = math.log(share * (float(self.said[-1]) + 1) / (said + 0.5))
        return str(max(-_MOST_KIND, min(_MOST_KIND, round(ratio / _APART))))


def _count(texts: Iterable[str], counts: torch.Tensor) -> None:
    """Each word once a text."""
    places: list[int] = []
    for text in texts:
        places += {_number(word) % _COUNTED for word in words(text)}
        places.append(_COUNTED)
    if places:
        more = torch.bincount(torch.tensor(places), minlength=_COUNTED + 1)
        counts += more.to(counts)


def _runs(parts: Sequence[str], most: int) -> set[str]:
    """Up to so many in a row."""
    return {
        " ".join(parts[i : i + length])
        for length in range(1, most + 1)
        for i in range(len(parts) - length + 1)
    }


@functools.lru_cache(maxsize=200_000)
def _number(feature: str) -> int:
    return zlib.crc32(feature.encode())


def _marked(text: str, names: Iterable[str]) -> list[str]:
    """One word for every entity that was found: what is asked of one is asked of all."""
    said = f" {' '.join(words(text)[-_LONGEST:])} "
    for name in sorted(names, key=len, reverse=True):
        said = said.replace(f" {name} ", " <entity> ")
    return [*said.split(), *(["<?>"] if "?" in text else [])]
