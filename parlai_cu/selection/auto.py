"""
``auto[:SCORE][:FRACTION]``: the parameters that gradients recommend, as a ``--tune`` line.
"""

import dataclasses
import re
from collections.abc import Iterable

from parlai_cu.errors import PatternError, hint, nearest
from parlai_cu.selection.catalogue import TensorInfo
from parlai_cu.selection.patterns import GROUPS, split_patterns
from parlai_cu.selection.scores import NEED_RETAINED, SCORES, Scores, know

WORD = "auto"
# the number of a layer within a name: `.3.`
_LAYER = re.compile(r"\.\d+\.")
DEFAULT_SCORE = "rgn"
DEFAULT_FRACTION = 0.75


@dataclasses.dataclass(frozen=True)
class Auto:
    """
    What ``auto[:SCORE][:FRACTION]`` asks for.

    :param score: by which groups of tensors are ranked, one of :data:`SCORES`
    :param fraction: of the parameters that may learn, at most
    """

    score: str = DEFAULT_SCORE
    fraction: float = DEFAULT_FRACTION

    @property
    def needs_retained(self) -> bool:
        """Whether the score compares the update with old data."""
        return self.score in NEED_RETAINED


def find_auto(tune: str | None) -> Auto | None:
    """
    What the ``auto`` among the patterns of ``--tune`` asks for; None where there is none.

    :param tune: comma-separated patterns
    :raises PatternError: when it is not understood, or there are two
    """
    autos = [_parse(pattern) for pattern in split_patterns(tune or "") if is_auto(pattern)]
    if len(autos) > 1:
        raise PatternError(f"--tune {tune}: expected one {WORD}, found {len(autos)}")
    return autos[0] if autos else None


def is_auto(pattern: str) -> bool:
    """Whether a pattern is ``auto`` or begins with ``auto:``."""
    return pattern == WORD or pattern.startswith(WORD + ":")


def replace_auto(tune: str, line: str) -> str:
    """``--tune`` with a line of patterns in the place of ``auto``."""
    return ",".join(line if is_auto(pattern) else pattern for pattern in split_patterns(tune))


def _parse(pattern: str) -> Auto:
    parts = pattern.split(":")[1:]
    expected = (
        f"--tune {pattern}: expected {WORD}[:SCORE][:FRACTION], with a score of "
        f"{', '.join(SCORES)} and a fraction above 0, at most 1, e.g. {WORD}:{DEFAULT_SCORE}:0.1"
    )
    score, fraction = DEFAULT_SCORE, DEFAULT_FRACTION
    if parts and not _is_number(parts[0]):
        score = parts.pop(0)
        if score not in SCORES and parts and not _is_number(parts[0]):
            score += ":" + parts.pop(0)
        if not know(score, f"--tune {pattern}:"):
            raise PatternError(expected + hint(nearest(score, SCORES)))
    if parts and _is_number(parts[0]):
        fraction = float(parts.pop(0))
    if parts or not 0.0 < fraction <= 1.0:
        raise PatternError(expected)
    return Auto(score, fraction)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class ParameterChoice:
    """
    What was chosen.

    :param auto: what was asked for
    :param tune: the patterns that mean exactly the chosen tensors
    :param names: the chosen tensors, by their first names
    :param numel: how many parameters these are
    :param share: of all parameters that were scored
    """

    auto: Auto
    tune: str
    names: tuple[str, ...]
    numel: int
    share: float


def choose(
    scores: Scores,
    auto: Auto,
    tensors: Iterable[TensorInfo],
    eligible: frozenset[str] | None = None,
) -> ParameterChoice:
    """
    The best groups (a block's tensors of one kind) that together fit in the fraction.

    From the best one down until one no longer fits, so that none is left out for a worse one. Only
    a group that is larger than the whole fraction is passed over.

    :param scores: of the model
    :param auto: by which score, and how much
    :param tensors: all tensors of the model (:func:`list_tensors`), for the patterns
    :param eligible: first names of the tensors that may be chosen; by default all that were scored
    :raises PatternError: when no group fits
    """
    scored = [t for t in scores.tensors if eligible is None or t.tensor.name in eligible]
    total = sum(t.tensor.numel for t in scored)
    room = auto.fraction * total
    tensors = tuple(tensors)
    chosen: set[tuple[str, str]] = set()
    sizes: list[int] = []
    for key, sums in dataclasses.replace(scores, tensors=tuple(scored)).ranked(auto.score):
        sizes.append(sums.numel)
        if sums.numel > auto.fraction * total:
            continue
        if sums.numel > room:
            break
        chosen.add(key)
        room -= sums.numel
    if not chosen:
        raise PatternError(
            f"--tune {WORD}:{auto.score}:{auto.fraction:g}: no group of tensors is that small; the "
            f"smallest is {min(sizes, default=0) / max(total, 1):.2%} of the parameters"
        )
    taken = [t.tensor for t in scored if (t.block, t.kind) in chosen]
    names = [t.name for t in taken]
    numel = sum(t.numel for t in taken)
    line = tune_line(names + _buffers_of(taken, tensors), tensors)
    return ParameterChoice(auto, line, tuple(names), numel, numel / scores.numel)


def _buffers_of(taken: list[TensorInfo], tensors: Iterable[TensorInfo]) -> list[str]:
    """What the modules of the chosen parameters keep count of (running statistics)."""
    modules = {name.rpartition(".")[0] for t in taken for name in t.names}
    return [t.name for t in tensors if t.is_buffer and t.name.rpartition(".")[0] in modules]


def tune_line(names: Iterable[str], tensors: Iterable[TensorInfo]) -> str:
    """
    Patterns for ``--tune`` that select exactly these parameters, as few as is simple.

    :param names: first names of parameters
    :param tensors: all tensors of the model
    """
    learnable = [t for t in tensors if not t.is_fixed]
    covers = _candidates(learnable)
    wanted = set(names)
    if wanted >= {t.name for t in learnable}:
        return "*"
    exact = [p for p, covered in covers.items() if covered and covered <= wanted]
    return ",".join(_fewest(exact, covers, wanted))


def _candidates(tensors: list[TensorInfo]) -> dict[str, set[str]]:
    """Pattern -> first names of what it selects: groups, prefixes, the same part of all layers."""
    groups: dict[str, set[str]] = {}
    for group, test in GROUPS.items():
        groups[group] = {t.name for t in tensors if test(t)}
    prefixes: dict[str, set[str]] = {}
    for t in tensors:
        for name in t.names:
            parts = name.split(".")
            for i in range(len(parts)):
                prefix = ".".join(parts[: i + 1])
                prefixes.setdefault(prefix, set()).add(t.name)
                of_all = _LAYER.sub("[:].", prefix, count=1)
                if of_all != prefix:
                    prefixes.setdefault(of_all, set()).add(t.name)
    groups.update(sorted(prefixes.items(), key=lambda item: item[0].count(".")))
    return groups


def _fewest(patterns: list[str], covers: dict[str, set[str]], wanted: set[str]) -> list[str]:
    """The widest first, as long as there is something left to cover."""
    line, left = [], set(wanted)
    for pattern in sorted(patterns, key=lambda p: -len(covers[p])):
        if covers[pattern] & left:
            line.append(pattern)
            left -= covers[pattern]
    return line
