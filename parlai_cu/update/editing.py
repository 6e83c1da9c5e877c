"""
A small update is judged by what it is for, as edits of models are.

Reliability: what was corrected is answered as corrected. Generality: it is when asked otherwise.
Locality: nothing else changes (Yao et al. 2023, https://arxiv.org/abs/2305.13172, section 2; Meng
et al. 2022, https://arxiv.org/abs/2202.05262, section 3.4, for neighbours).
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from parlai_cu.retention.paired import student_t
from parlai_cu.update.gate import FAIL, PASS, UNDECIDED, Check
from parlai_cu.update.wording import Example, denies, normal, stated_values, tokens, values

# of the corrections this share is to be answered as corrected
RELIABLE = 0.9
# of answers that tell no values this share of words, both ways, has to be the same
_SAME_WORDS = 0.8
# of the neighbours that were answered rightly this share may no longer be
_LOST = 0.1
# with fewer conversations each of them has to gain
_FEWEST = 5
# what two wordings share beside their values, to tell the same fact of before and now
_SAME_FACT = 0.6
_SHORT = {
    "what is": "what's",
    "that is": "that's",
    "where is": "where's",
    "how is": "how's",
    "i am": "i'm",
    "do not": "don't",
    "does not": "doesn't",
    "can not": "can't",
    "cannot": "can't",
    "i would": "i'd",
}
_LONG = {short: long for long, short in _SHORT.items()}


def says(reply: str, example: Example) -> bool:
    """Whether a reply says what the example's answer does: its values, or most of its words."""
    if normal(reply) == normal(example.label):
        return True
    if denies(reply) != denies(example.label):
        return False
    wanted = stated_values(example)
    if wanted:
        return wanted <= set(tokens(reply))
    return _overlap(tokens(reply), tokens(example.label)) >= _SAME_WORDS


def _overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """F1 of two lists of words."""
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / max(len(one) + len(other), 1)


def folds(examples: Sequence[Example]) -> list[list[int]]:
    """
    Which examples are held out in each of two trainings, so that wordings of one answer are told
    from each other; none where nothing is worded in two ways.
    """
    groups: dict[object, list[int]] = {}
    for i, example in enumerate(examples):
        said = frozenset(values(example.label)) or normal(example.label)
        groups.setdefault(said, []).append(i)
    held: list[list[int]] = [[], []]
    for members in groups.values():
        asked = sorted({normal(examples[i].context) for i in members})
        for i in members if len(asked) > 1 else []:
            held[asked.index(normal(examples[i].context)) % 2].append(i)
    return held if all(held) else []


def otherwise(question: str) -> list[str]:
    """
    The same question with what people put around it, and with its short forms changed.

    Only what leaves the meaning alone whatever the question is.
    """
    asked = question.strip()
    first = asked[:1].lower() + asked[1:] if asked[1:2].islower() or asked[1:2] == " " else asked
    found = [f"Hi, {first}", f"{asked} Thanks.", f"Please tell me: {first}"]
    for pairs in (_SHORT, _LONG):
        for one, other in pairs.items():
            changed = re.sub(rf"\b{one}\b", other, asked, count=1, flags=re.IGNORECASE)
            if changed != asked:
                found.append(changed[:1].upper() + changed[1:])
    return list(dict.fromkeys(found))


def neighbours(corrected: Sequence[Example], old: Sequence[Example], most: int) -> list[int]:
    """
    Old examples whose questions are nearest to those that were corrected, but for the same fact.

    :param corrected: the update
    :param old: examples of what is to be retained
    :param most: how many examples at most
    :return: their indices in ``old``, nearest first
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    asked = {normal(e.context) for e in corrected}
    places = [
        i
        for i, e in enumerate(old)
        if normal(e.context) not in asked and not any(same_fact(e, c) for c in corrected)
    ]
    if not places or not corrected:
        return []
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]")
    known = vectorizer.fit_transform([old[i].text for i in places])
    near = (known @ vectorizer.transform([e.text for e in corrected]).T).toarray()
    # of each correction its nearest, then of each its second nearest
    order = np.argsort(-near, axis=0, kind="stable")
    found = dict.fromkeys(
        int(order[rank, j]) for rank in range(len(places)) for j in range(near.shape[1])
    )
    return [places[i] for i in list(found)[:most]]


def same_fact(old: Example, corrected: Example) -> bool:
    """Whether an old answer tells what is corrected, in its old form or already in the new one."""
    one, other = _stated(old.text, old.label), _stated(corrected.text, corrected.label)
    if one.answer == other.answer:
        return True
    return one.names == other.names and _overlap(one.words, other.words) >= _SAME_FACT


class _Stated(NamedTuple):
    """An answer, the names in it and its question, and its words but for numbers."""

    answer: str
    names: frozenset[str]
    words: tuple[str, ...]


@functools.lru_cache(maxsize=1 << 14)  # each is compared with each
def _stated(text: str, label: str) -> _Stated:
    names = {value for value in values(label) | values(text) if not value[0].isdigit()}
    words = tuple(word for word in tokens(label) if not word[0].isdigit())
    return _Stated(normal(label), frozenset(names), words)


# -- checks -----------------------------------------------------------------------------------


def check_reliability(learnt: Sequence[bool]) -> Check:
    """
    That the corrections are answered as corrected: all are asked, so nothing is estimated.

    :param learnt: of each correction whether it is answered so
    """
    count, share = len(learnt), sum(learnt) / max(len(learnt), 1)
    words = (
        f"{sum(learnt)} of {count} corrections are answered as corrected; wanted at least "
        f"{RELIABLE:.0%}"
    )
    figures = {"share": share, "count": count}
    result = PASS if share >= RELIABLE else FAIL
    return Check("reliability", "update", result, words, figures)


def check_generality(
    name: str,
    said: Sequence[tuple[bool, bool]],
    gains: Sequence[float],
    least: float,
    confidence: float,
    by_likelihood: bool = True,
) -> Check:
    """
    That what was corrected is also learnt where it is asked otherwise.

    Where there are few corrections, each has to gain; of more the mean, by Student's t.

    :param name: what was asked
    :param said: of each wording, whether the live model and the candidate said the right answer
    :param gains: of each correction by how much the answer became likelier (nats a token), or how
        many more of its wordings get it
    :param least: gain that is wanted, in the same unit
    :param confidence: of the one-sided test
    :param by_likelihood: what the gains are of
    """
    before, after = (sum(one[which] for one in said) for which in (0, 1))
    words = (
        f"{after} of {len(said)} wordings that were not trained on are answered as corrected, "
        f"{before} by the live model; "
    )
    found = np.asarray(gains, dtype=float)
    share = after / max(len(said), 1)
    figures = {"share": share, "count": len(said), "conversations": len(found)}
    if not len(found):
        return Check(name, "update", UNDECIDED, "nothing was asked otherwise", figures)
    unit = "answers gain {} nats a token" if by_likelihood else "that is {} of each one's wordings"
    if len(found) < _FEWEST:
        ok = bool((found > least).all())
        words += f"{unit.format(f'{found.min():+.3f}')} or more; wanted above {least:.3f}"
        return Check(name, "update", PASS if ok else FAIL, words, figures)
    mean = float(found.mean())
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    reach = student_t(confidence, len(found)) * error
    words += (
        f"{unit.format(f'{mean:+.3f}')}, with {confidence:.0%} confidence at least "
        f"{mean - reach:+.3f}; wanted above {least:.3f}"
    )
    if mean - reach > least:
        return Check(name, "update", PASS, words, figures)
    result = FAIL if mean + reach <= least else UNDECIDED
    return Check(name, "update", result, words, figures)


def check_neighbours(before: Sequence[bool], after: Sequence[bool], confidence: float) -> Check:
    """
    That what is asked much like the corrections is answered as well as before.

    Fails where more is lost than chance makes of a tenth of what was right (binomial test).

    :param before: whether the live model answers each old example as it should
    :param after: whether the candidate does
    :param confidence: of the one-sided test
    """
    from scipy.stats import binom  # type: ignore[import-untyped]

    count, right = len(before), sum(before)
    lost = sum(one and not two for one, two in zip(before, after))
    won = sum(two and not one for one, two in zip(before, after))
    allowed = int(binom.ppf(confidence, right, _LOST)) if right else 0
    words = (
        f"of {count} old questions that are most like the corrected ones, {right} were answered "
        f"rightly; {lost} of those no longer are, {won} others now are; allowed {allowed} (a tenth "
        f"of {right}, by chance with {confidence:.0%} confidence)"
    )
    ok = lost - won <= allowed
    figures = {"share": lost / max(count, 1), "count": count}
    return Check("locality: near neighbours", "retained", PASS if ok else FAIL, words, figures)
