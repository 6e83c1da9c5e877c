r"""
What the gradients say about each parameter tensor: how much it would learn of an update, and how
much old skill depends on it.

Over draws (examples) of the update, with a tensor's mean gradient :math:`\bar g`, its elements'
variance and the weights :math:`\theta`:

========== ===================================================================================
``rgn``    relative gradient norm :math:`\|\bar g\| / \|\theta\|`
``snr``    gradient signal-to-noise, the mean over elements of :math:`\bar g^2 / \mathrm{var}(g)`
``fisher`` empirical Fisher information, the mean over elements of :math:`\overline{g^2}`
========== ===================================================================================

The first two are of Lee et al. 2022, "Surgical Fine-Tuning Improves Adaptation to Distribution
Shifts" (https://arxiv.org/abs/2210.11466, section 4), the third is that of Sung et al. 2021
(https://arxiv.org/abs/2111.09839), taken of whole tensors. With examples of retained data, whose
Fisher information is :math:`F` and mean gradient :math:`r`:

============ =================================================================================
``conflict`` :math:`\sum |\bar g| \sqrt F \,/\, (\|\bar g\| \|\sqrt F\|)`, from 0 to 1: how much
             the update's gradient uses the very elements that old skill depends on. Where it is
             low the update can be learnt beside old skill. The less the better
``cosine``   between :math:`\bar g` and :math:`r`; below 0 the update undoes old skill
============ =================================================================================

Scores of a group of tensors are those of the tensors laid end to end.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from parlai_cu import named
from parlai_cu.errors import PatternError
from parlai_cu.selection.catalogue import TensorInfo, list_tensors
from parlai_cu.selection.gradients import GradientMoments, Loss, gradient_moments
from parlai_cu.selection.patterns import kind_of

# a tensor that is zero still (a fresh bias) would have a gradient infinitely large beside it
_SMALLEST_RMS = 1e-3
# a gradient's variance as a share of its mean square, at least
_LEAST_NOISE = 1e-6
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class GradientSums:
    """
    Sums over the elements of one tensor; those of several tensors add up.

    :param numel: how many elements
    :param weight: of the squared weights
    :param gradient: of the squared mean gradient of the update
    :param snr: of the squared mean gradient over the gradient's variance
    :param fisher: of the update's Fisher information
    :param retained_gradient: of the squared mean gradient of the retained data
    :param retained_fisher: of the retained data's Fisher information
    :param product: of the two mean gradients multiplied
    :param overlap: of the absolute mean gradient of the update times the root of the retained
        Fisher information
    """

    numel: int = 0
    weight: float = 0.0
    gradient: float = 0.0
    snr: float = 0.0
    fisher: float = 0.0
    retained_gradient: float = 0.0
    retained_fisher: float = 0.0
    product: float = 0.0
    overlap: float = 0.0

    def __add__(self, other: "GradientSums") -> "GradientSums":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other))
        return GradientSums(*(one + two for one, two in pairs))


def _rgn(s: GradientSums) -> float:
    weight = max(math.sqrt(s.weight), _SMALLEST_RMS * math.sqrt(s.numel))
    return math.sqrt(s.gradient) / weight


def _conflict(s: GradientSums) -> float:
    return s.overlap / max(math.sqrt(s.gradient * s.retained_fisher), _TINY)


def _cosine(s: GradientSums) -> float:
    return s.product / max(math.sqrt(s.gradient * s.retained_gradient), _TINY)


# by name: the formula, and whether more of it makes a better parameter to tune
SCORES: dict[str, tuple[Callable[[GradientSums], float], bool]] = {
    "rgn": (_rgn, True),
    "snr": (lambda s: s.snr / max(s.numel, 1), True),
    "fisher": (lambda s: s.fisher / max(s.numel, 1), True),
    "conflict": (_conflict, False),
    "cosine": (_cosine, True),
}
# these compare the update with retained data
NEED_RETAINED = ("conflict", "cosine")


def know(name: str, flag: str) -> bool:
    """
    Whether there is a score.

    One of a user's own, ``my.module:score``, is a function of :class:`GradientSums`, of which more
    makes a better parameter to tune. From now on it stands beside the others.

    :param name: what it is called
    :param flag: where it was typed, for the message
    :raises PatternError: when ``my.module:score`` names nothing
    """
    if name not in SCORES and ":" in name:
        SCORES[name] = (named.load(name, flag, PatternError), True)
    return name in SCORES


@dataclasses.dataclass(frozen=True)
class TensorScores:
    """
    One parameter tensor and what its gradients came to.

    :param tensor: its names and size
    :param kind: ``attention``, ``ffn``, ``norm``, ``embeddings``, ``head`` or ``other``
    :param sums: what its scores are made of
    """

    tensor: TensorInfo
    kind: str
    sums: GradientSums

    @property
    def block(self) -> str:
        """The block it belongs to, e.g. ``encoder.layers.0``."""
        return self.tensor.block


@dataclasses.dataclass(frozen=True)
class Scores:
    """
    The scores of a model's parameters.

    :param tensors: in the model's order; those that the model itself never trains are not among
        them
    :param draws: of the update
    :param retained_draws: of the retained data; 0 where none was given
    """

    tensors: tuple[TensorScores, ...]
    draws: int
    retained_draws: int = 0

    @property
    def names(self) -> list[str]:
        """The scores there are: without retained data only those of the update."""
        return [n for n in SCORES if self.retained_draws or n not in NEED_RETAINED]

    @property
    def numel(self) -> int:
        """How many parameters were scored."""
        return sum(t.tensor.numel for t in self.tensors)

    def groups(self) -> dict[tuple[str, str], GradientSums]:
        """(block, kind) -> the sums of its tensors, in the model's order."""
        sums: dict[tuple[str, str], GradientSums] = {}
        for t in self.tensors:
            key = (t.block, t.kind)
            sums[key] = sums.get(key, GradientSums()) + t.sums
        return sums

    def ranked(self, score: str) -> list[tuple[tuple[str, str], GradientSums]]:
        """:meth:`groups` by one score, the best to tune first; ties in the model's order."""
        formula, more_is_better = SCORES[score]
        sign = -1 if more_is_better else 1
        return sorted(self.groups().items(), key=lambda item: sign * formula(item[1]))

    def whole(self) -> GradientSums:
        """The sums of all tensors: ``SCORES["cosine"][0](scores.whole())`` is the model's."""
        return sum((t.sums for t in self.tensors), GradientSums())

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it: draws, and the scores of each tensor and group."""
        return {
            "draws": self.draws,
            "retained_draws": self.retained_draws,
            "model": self._values(self.whole()),
            "groups": [
                {"block": block, "kind": kind, "numel": sums.numel, **self._values(sums)}
                for (block, kind), sums in self.groups().items()
            ],
            "tensors": [
                {
                    "name": t.tensor.name,
                    "aliases": list(t.tensor.aliases),
                    "block": t.block,
                    "kind": t.kind,
                    "numel": t.tensor.numel,
                    **self._values(t.sums),
                }
                for t in self.tensors
            ],
        }

    def _values(self, sums: GradientSums) -> dict[str, float]:
        return {name: SCORES[name][0](sums) for name in self.names}


def score_parameters(
    model: nn.Module,
    update: Iterable[Loss],
    retained: Iterable[Loss] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """
    Score the parameters of ``model`` that learn.

    Each loss is asked for once. Memory: twice the parameters in float32 for the update, twice for
    the retained data, whatever the number of draws.

    :param model: unchanged afterwards; parameters with ``requires_grad`` are scored, tied ones
        once
    :param update: one function a draw (example) of the update, that gives its negative
        log-likelihood
    :param retained: the same, of data that must not be forgotten
    :param progress: called after each draw with the number of draws so far, of both together
    :raises ValueError: when there is no draw
    :raises DivergedError: when a loss is not a number
    """
    new = gradient_moments(model, update, progress=progress)
    old = None
    if retained is not None:
        so_far = new.draws
        shifted = None if progress is None else (lambda n: progress(so_far + n))
        old = gradient_moments(model, retained, progress=shifted)
    if not new.draws or (old is not None and not old.draws):
        raise ValueError("there is no example to score parameters by")
    known = {name: t for t in list_tensors(model) for name in t.names}
    tensors = []
    for name, parameter in new.parameters.items():
        # a parameter that is not saved with the model cannot be chosen
        if name in known:
            t = known[name]
            tensors.append(TensorScores(t, kind_of(t), _sums(name, parameter, new, old)))
    return Scores(tuple(tensors), new.draws, old.draws if old is not None else 0)


@torch.no_grad()
def _sums(
    name: str, parameter: nn.Parameter, new: GradientMoments, old: GradientMoments | None
) -> GradientSums:
    mean, square = new.mean(name), new.square(name)
    power = mean * mean
    # a difference of like numbers is rounding; and a word that does not occur has neither signal
    # nor noise
    variance = torch.maximum(square - power, _LEAST_NOISE * square).clamp_(min=_TINY)
    sums = {
        "numel": parameter.numel(),
        "weight": _total(parameter.detach().float() ** 2),
        "gradient": _total(power),
        "snr": _total(power / variance),
        "fisher": _total(square),
    }
    if old is not None:
        before = old.mean(name)
        fisher = old.square(name)
        sums["retained_gradient"] = _total(before * before)
        sums["retained_fisher"] = _total(fisher)
        sums["product"] = _total(mean * before)
        sums["overlap"] = _total(mean.abs() * fisher.sqrt())
    return GradientSums(**sums)  # type: ignore[arg-type]


def _total(values: torch.Tensor) -> float:
    return float(values.sum(dtype=torch.float64))
