"""
The verdict by slice: a candidate that is fine on average and destroys one intent is refused.

A slice fails when its loss is beyond the limit of slices, by Holm's procedure over all of them
(Holm 1979, https://www.jstor.org/stable/4615733): the probability that any slice of an honest
candidate fails is at most one less the confidence. It passes when the bound of its loss is within
that limit. What is too small for that is tested together with the other small ones.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parlai_cu.retention.metric_info import allowed_loss, direction, is_logarithmic
from parlai_cu.retention.paired import PairedDifference, Sums, paired_difference, student_t
from parlai_cu.update.gate import FAIL, PASS, UNDECIDED, Check, GateLimits

# of a slice: so many times what the whole task may lose, and never less than that
SLICE_LOSS = 3.0
_FLOOR = {"ppl": 0.15, "others": 0.09}
# a slice of fewer conversations is not tested by itself
_FEWEST = 6
_MOST = 20
# conversations of a cluster, about
_OF_A_CLUSTER = 20
_WORST = 3


@dataclass(frozen=True)
class SliceResult:
    """
    A slice's test.

    :param name: of the slice
    :param conversations: that it has
    :param loss: what it lost; above 0 is worse
    :param low: the least it lost, with the test's confidence
    :param high: the most
    :param result: pass, fail or not enough data
    :param worst: numbers of examples, of each of the conversations that lost most the worst one
    """

    name: str
    conversations: int
    loss: float
    low: float
    high: float
    result: str
    worst: tuple[int, ...] = ()


REST = "all that is too small"


def slices_of(
    parts: Sequence[str], questions: Sequence[str], conversations: Sequence[object]
) -> list[str]:
    """
    A name of the slice of every example.

    The task's own, where it has more than one; else clusters of the questions.

    :param parts: as the task names them; may be empty
    :param questions: what is to be answered
    :param conversations: of each example
    """
    known = Counter(part for part in parts if part)
    if len(known) > 1:
        kept = {name for name, _ in known.most_common(_MOST)}
        return [part if part in kept else "others" for part in parts]
    count = min(_MOST, len(set(conversations)) // _OF_A_CLUSTER)
    return _clusters(questions, count) if count > 1 else [""] * len(parts)


def check_slices(
    task: str,
    metric: str,
    most: float,
    names: Sequence[str],
    questions: Sequence[str],
    base: Sums,
    candidate: Sums,
    limits: GateLimits,
) -> Check | None:
    """
    That no slice of a retained task is destroyed; None where it has no slices.

    :param task: its name
    :param metric: its name
    :param most: what the whole task may lose, in units of the metric
    :param names: which slice each example is of, see :func:`slices_of`
    :param questions: what was asked in each
    :param base: the live model's, example by example
    :param candidate: the candidate's, on the same examples
    :param limits: of the gate
    """
    if len(set(names)) < 2:
        return None
    one, other = (sums.scaled(-direction(metric)) for sums in (base, candidate))
    floor = _FLOOR["ppl" if is_logarithmic(metric) else "others"]
    allowed = max(SLICE_LOSS * allowed_loss(metric, most), floor)
    results = slice_results(names, one, other, allowed, limits.confidence)
    open_ones = [result for result in results if result.result != PASS]
    failed = any(result.result == FAIL for result in results)
    words = f"{len(results)} slices, each may lose {allowed:.3f}"
    for result in open_ones:
        what = "is broken" if result.result == FAIL else "may be broken"
        told = "; ".join(repr(questions[i]) for i in result.worst)
        words += (
            f". {result.name} {what}: {result.conversations} conversations lost "
            f"{result.loss:+.3f} ({result.low:+.3f} to {result.high:+.3f}), most of all: {told}"
        )
    if not open_ones:
        worst = max(results, key=lambda result: result.loss)
        words += f"; the most was lost by {worst.name}: {worst.loss:+.3f}"
    verdict = FAIL if failed else UNDECIDED if open_ones else PASS
    return Check(f"{task} {metric}, slice by slice", "retained", verdict, words)


def _clusters(questions: Sequence[str], count: int) -> list[str]:
    """k-means over TF-IDF of the words; a cluster is called by those that it has most of."""
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    vectorizer = TfidfVectorizer(
        max_features=2000, sublinear_tf=True, stop_words="english", token_pattern=r"[^\W\d_]{2,}"
    )
    try:
        vectors = vectorizer.fit_transform(questions)
    except ValueError:  # no words at all
        return [""] * len(questions)
    different = len({row.indices.tobytes() + row.data.tobytes() for row in vectors})
    found = KMeans(min(count, different), n_init=3, random_state=0).fit(vectors)
    words = vectorizer.get_feature_names_out()
    names = [
        "questions with " + ", ".join(words[i] for i in np.argsort(-center)[:3])
        for center in found.cluster_centers_
    ]
    return [names[label] for label in found.labels_]


def slice_results(
    names: Sequence[str],
    base: Sums,
    candidate: Sums,
    limit: float,
    confidence: float,
) -> list[SliceResult]:
    """
    Test each slice of a task.

    :param names: of each example, which slice it is of
    :param base: the live model's values, less is better
    :param candidate: the candidate's, of the same examples
    :param limit: what a slice may lose, in units of the metric
    :param confidence: that no slice of an honest candidate fails, and of each that passes
    """
    array = np.array(names)
    found = {name: np.flatnonzero(array == name) for name in sorted(set(names))}
    tested = {n: at for n, at in found.items() if base.of(at).conversations >= _FEWEST}
    pairs = {name: _pair(base, candidate, at, confidence) for name, at in tested.items()}
    broken = _broken(pairs, limit, confidence)
    results = []
    small = [at for name, at in found.items() if name not in tested]
    for name, at in tested.items():
        pair = pairs[name]
        if name in broken:
            results.append(_result(name, pair, FAIL, _worst(base, candidate, at)))
        elif pair.high <= limit:
            results.append(_result(name, pair, PASS))
        elif _tells(pair, limit, confidence, len(tested)):
            results.append(_result(name, pair, UNDECIDED, _worst(base, candidate, at)))
        else:
            small.append(at)
    if small:
        at = np.concatenate(small)
        pair = _pair(base, candidate, at, confidence)
        enough = pair.conversations >= _FEWEST
        fails = enough and pair.low > limit
        passes = pair.high <= limit or not enough or not _tells(pair, limit, confidence, 1)
        result = FAIL if fails else PASS if passes else UNDECIDED
        worst = () if passes else _worst(base, candidate, at)
        results.append(_result(REST, pair, result, worst))
    return results


def _broken(pairs: dict[str, PairedDifference], limit: float, confidence: float) -> set[str]:
    """
    Those that fail by Holm's procedure: the clearest first, at what is left of the level.

    By the jackknife and Student's t alone: so far out, a bootstrap of ten conversations finds
    bounds that no loss is beyond.
    """
    beyond = {n: (p.difference - limit) / max(p.error, 1e-12) for n, p in pairs.items()}
    broken: set[str] = set()
    for i, name in enumerate(sorted(beyond, key=lambda name: -beyond[name])):
        level = 1 - (1 - confidence) / (len(beyond) - i)
        if beyond[name] <= student_t(level, pairs[name].conversations):
            break
        broken.add(name)
    return broken


def _pair(base: Sums, candidate: Sums, at: np.ndarray, confidence: float) -> PairedDifference:
    return paired_difference(base.of(at), candidate.of(at), level=2 * confidence - 1)


def _tells(pair: PairedDifference, limit: float, confidence: float, slices: int) -> bool:
    """Whether a slice that lost nothing would pass, in all but the share of cases that may fail."""
    from scipy.stats import norm  # type: ignore[import-untyped]

    factor = student_t(confidence, pair.conversations)
    factor += float(norm.ppf(1 - (1 - confidence) / slices))
    return bool(factor * pair.error <= limit)


def _result(
    name: str, pair: PairedDifference, result: str, worst: tuple[int, ...] = ()
) -> SliceResult:
    return SliceResult(
        name, pair.conversations, pair.difference, pair.low, pair.high, result, worst
    )


def _worst(base: Sums, candidate: Sums, at: np.ndarray) -> tuple[int, ...]:
    """Of the conversations that lost most the example that did."""
    ids = base.of(at).ids()
    change = candidate.total[at] - base.total[at]
    lost = np.bincount(ids, change)
    chosen = np.argsort(-lost)[:_WORST]
    return tuple(int(at[max(np.flatnonzero(ids == c), key=lambda i: change[i])]) for c in chosen)
