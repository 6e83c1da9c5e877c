"""
Whether a candidate may go live: each limit tested on paired examples, plus checks of safety.

A candidate is accepted when every check passes, so the share of bad candidates that pass is at
most that of a single check (intersection-union test, Berger 1982, Technometrics 24(4)); no
correction for their number is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parlai_cu.errors import UsageError, nearest
from parlai_cu.retention.metric_info import (
    PREFERRED,
    allowed_loss,
    direction,
    is_logarithmic,
    preferred,
)
from parlai_cu.retention.paired import PairedDifference, Sums, paired_difference
from parlai_cu.types import ACCEPT, NOT_ENOUGH_DATA, REFUSE, Verdict
from parlai_cu.update.planning import conversations_do_not_tell, needed

PASS, FAIL, UNDECIDED = "pass", "fail", "not enough data"

# the share of answers that a generator would write word for word
WORD_FOR_WORD = "token_em"
# of perplexity the share by which it may rise or must fall, of the others (shares) the difference
DEFAULT_MAX_LOSS = {"ppl": 0.05}
DEFAULT_MIN_GAIN = {"ppl": 0.02}
OTHERS_MAX_LOSS, OTHERS_MIN_GAIN = 0.03, 0.01
# with fewer conversations an interval is not to be trusted (benchmarks/gate.py)
MIN_CONVERSATIONS = 20
# nats a token by which an answer is to be likelier after its own question than after another
_LIKELIER = 0.1
# of an update's questions so many may have two answers: a slip in fifty examples, or two
_CONTRADICTORY, _FEWEST_CONTRADICTORY = 0.02, 2


@dataclass(frozen=True)
class Check:
    """
    One thing that was tested.

    :param name: what, for people: "telecom:retain ppl"
    :param kind: retained, update, safety or user
    :param result: pass, fail or not enough data
    :param reason: in words and numbers
    :param figures: base, candidate, change, low, high, error (standard), limit, examples,
        conversations
    """

    name: str
    kind: str
    result: str
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GateLimits:
    """
    How much may be lost and how much must be gained.

    :param losses: metric, or "task/metric" -> at most; of perplexity the share by which it rises
    :param gains: metric -> at least, in the same units
    :param confidence: of each one-sided test
    :param min_conversations: fewer are not enough data
    """

    losses: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 0.95
    min_conversations: int = MIN_CONVERSATIONS

    def of_retained(self, task: str, short: str, there: Sequence[str]) -> dict[str, float]:
        """
        Metric -> how much of it a retained task may lose.

        :param task: its name
        :param short: another name for the task
        :param there: metrics that it has
        :raises UsageError: when a limit is of a metric that is not there
        """
        split = [(*name.rpartition("/")[::2], most) for name, most in self.losses.items()]
        own = {name: most for where, name, most in split if where and where in (task, short)}
        shared = {name: most for where, name, most in split if not where}
        default = {} if shared or own else _default(there, DEFAULT_MAX_LOSS, OTHERS_MAX_LOSS)
        return self._known({**default, **shared, **own}, there, "--max-loss")

    def of_update(self, there: Sequence[str]) -> dict[str, float]:
        """
        Metric -> how much of it the update must gain; ``there``: metrics that it has.

        :raises UsageError: when a limit is of a metric that is not there
        """
        default = {} if self.gains else _default(there, DEFAULT_MIN_GAIN, OTHERS_MIN_GAIN)
        return self._known({**default, **self.gains}, there, "--min-gain")

    def _known(self, wanted: dict[str, float], there: Sequence[str], flag: str) -> dict[str, float]:
        for name in wanted:
            if name not in there:
                close = nearest(name, there) or sorted(there)
                raise UsageError(
                    f"{flag} {name}: the live model has no such metric there; nearest: "
                    f"{', '.join(close)}"
                )
        return wanted


def _default(
    there: Sequence[str], limits: Mapping[str, float], otherwise: float
) -> dict[str, float]:
    name = preferred(there)
    if name is None:
        raise UsageError(
            "none of the metrics "
            f"{', '.join(PREFERRED)} is there; name one by --max-loss and --min-gain. There are: "
            f"{', '.join(sorted(there)) or 'none (do the examples have labels?)'}"
        )
    return {name: limits.get(name, otherwise)}


def parse_limits(text: str | None, flag: str) -> dict[str, float]:
    """
    "ppl=0.05,telecom:retain/f1=0.02" as a dictionary.

    :param text: the limits; None for none
    :param flag: where it was typed, for the message
    :raises UsageError: where it is not that
    """
    found: dict[str, float] = {}
    for part in filter(None, (text or "").split(",")):
        name, _, value = part.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            name = ""
        if not name.strip():
            raise UsageError(f"{flag} {part}: expected METRIC=NUMBER or TASK/METRIC=NUMBER")
    return found


def improvement(metric: str, base: Sums, candidate: Sums, level: float) -> PairedDifference:
    """
    By how much the candidate is better, with the interval whose ends are one-sided bounds.

    Of perplexity: the fall of its logarithm.

    :param metric: its name
    :param base: example by example
    :param candidate: on the same examples
    :param level: of each one-sided bound, e.g. .95
    """
    one, other = (sums.scaled(direction(metric)) for sums in (base, candidate))
    return paired_difference(one, other, level=2 * level - 1)


def _figures(metric: str, found: PairedDifference, limit: float, count: int) -> dict[str, Any]:
    sign = direction(metric)
    shown = [sign * found.base, sign * found.candidate]
    if is_logarithmic(metric):
        shown = [float(np.exp(value)) for value in shown]
    return {
        "metric": metric,
        "base": shown[0],
        "candidate": shown[1],
        "change": found.difference,
        "low": found.low,
        "high": found.high,
        "limit": limit,
        "error": found.error,
        "examples": count,
        "conversations": found.conversations,
        "unit": "log" if is_logarithmic(metric) else "",
    }


def check_retained(
    task: str, metric: str, most: float, base: Sums, candidate: Sums, limits: GateLimits
) -> Check:
    """
    That a retained task loses no more than allowed.

    Passes when the bound of the loss is within the limit, fails when the loss is beyond it
    whatever the chance; between the two there is not enough data.

    :param task: its name
    :param metric: its name
    :param most: what may be lost, in the units of :class:`GateLimits` (of perplexity a share)
    :param base: the live model's, example by example
    :param candidate: the candidate's, on the same examples
    :param limits: of the gate
    """
    count = base.conversations
    name = f"{task} {metric}"
    allowed = allowed_loss(metric, most)
    if count < limits.min_conversations:
        return _too_few(name, "retained", count, limits.min_conversations)
    found = improvement(metric, base, candidate, limits.confidence)
    loss, largest = -found.difference, -found.low
    figures = _figures(metric, found, allowed, len(base.total))
    words = (
        f"{_change(metric, figures)}; loss {loss:+.3f}, with {limits.confidence:.0%} confidence "
        f"at most {largest:+.3f}; allowed {allowed:.3f}"
    )
    return _bounded(name, "retained", -allowed, found, figures, words, "too much is lost", limits)


def check_update(
    task: str, metric: str, least: float, base: Sums, candidate: Sums, limits: GateLimits
) -> Check:
    """
    That the update is learnt: the bound of the gain is above what is asked for.

    :param task: its name
    :param metric: its name
    :param least: what must be gained, in the units of :class:`GateLimits`
    :param base: the live model's, example by example
    :param candidate: the candidate's, on the same examples
    :param limits: of the gate
    """
    count = base.conversations
    name = f"{task} {metric}"
    # the share by which perplexity falls, in logarithms
    wanted = float(-np.log1p(-least)) if is_logarithmic(metric) else least
    if count < limits.min_conversations:
        return _too_few(name, "update", count, limits.min_conversations)
    found = improvement(metric, base, candidate, limits.confidence)
    figures = _figures(metric, found, wanted, len(base.total))
    words = (
        f"{_change(metric, figures)}; gain {found.difference:+.3f}, with "
        f"{limits.confidence:.0%} confidence at least {found.low:+.3f}; wanted above {wanted:.3f}"
    )
    return _bounded(
        name, "update", wanted, found, figures, words, "the update is not learnt", limits
    )


def check_dependence(own: Sums, other: Sums, limits: GateLimits) -> Check:
    """
    That the candidate finds answers likelier after their own questions than after others.

    Where answers do not follow from the questions (labels in the wrong rows), a model still gains
    in perplexity, by learning what answers look like; that gain is worth nothing.
    """
    name = "answers follow from questions"
    count = own.conversations
    if count < limits.min_conversations:
        return Check(name, "update", PASS, f"not tested: only {count} conversations")
    found = improvement("loss", other, own, limits.confidence)
    figures = _figures("loss", found, _LIKELIER, len(own.total))
    words = (
        f"their loss is {found.difference:.3f} less after their own questions than after others, "
        f"with {limits.confidence:.0%} confidence at least {found.low:+.3f} and at most "
        f"{found.high:+.3f}; wanted above {_LIKELIER}"
    )
    return _bounded(name, "update", _LIKELIER, found, figures, words, "they do not", limits)


def _bounded(
    name: str,
    kind: str,
    limit: float,
    found: PairedDifference,
    figures: dict[str, Any],
    words: str,
    otherwise: str,
    limits: GateLimits,
) -> Check:
    """
    Passes when the lower bound is above the limit, fails when the upper one is not.

    What is retained may lie on its limit: of a model that is the same both bounds are 0.
    """
    low, high = found.low - limit, found.high - limit
    if low > 0 or (kind == "retained" and low == 0):
        return Check(name, kind, PASS, words, figures)
    if high < 0 or (kind == "update" and high == 0):
        return Check(name, kind, FAIL, f"{words}: {otherwise}", figures)
    margin = found.difference - limit
    figures["needed"] = needed(found.error, found.conversations, margin, limits.confidence)
    why = conversations_do_not_tell(found, margin, limits.confidence)
    return Check(name, kind, UNDECIDED, f"{words}: {why}", figures)


def check_agreement(contradictory: int, examples: int) -> Check:
    """
    That the update's own answers to one question agree.

    An update that tells different values for the same question cannot be right in both, whatever
    the candidate makes of it; of facts in a knowledge base one of them is told by chance.

    :param contradictory: questions of the update with two answers that contradict each other
    :param examples: of the update, that were trained on
    """
    allowed = max(_FEWEST_CONTRADICTORY, int(_CONTRADICTORY * examples))
    words = (
        f"{contradictory} questions of {examples} examples have answers that contradict each "
        f"other; allowed {allowed}"
    )
    ok = contradictory <= allowed
    return Check("answers agree with each other", "safety", PASS if ok else FAIL, words)


def _change(metric: str, figures: Mapping[str, Any]) -> str:
    return f"{metric} {figures['base']:.4g} -> {figures['candidate']:.4g}"


def _too_few(name: str, kind: str, count: int, wanted: int) -> Check:
    return Check(
        name,
        kind,
        UNDECIDED,
        f"{count} held-out conversations, expected {wanted} or more",
        {"conversations": count},
    )


def verdict(checks: Sequence[Check]) -> Verdict:
    """Refuse what fails anywhere; accept what passes everywhere; else say that data is missing."""
    failed = [check for check in checks if check.result == FAIL]
    unsure = [check for check in checks if check.result == UNDECIDED]
    decision, why = ACCEPT, list(checks)
    if failed:
        decision, why = REFUSE, failed
    elif unsure or not any(check.kind == "update" for check in checks):
        decision, why = NOT_ENOUGH_DATA, unsure
    reasons: list[str] = [f"{check.name}: {check.reason}" for check in why]
    if not reasons:
        reasons = ["nothing shows whether the update was learnt"]
    rows: tuple[dict[str, Any], ...] = tuple(
        {
            "name": check.name,
            "kind": check.kind,
            "result": check.result,
            "reason": check.reason,
            **check.figures,
        }
        for check in checks
    )
    return Verdict(decision=decision, reasons=tuple(reasons), checks=rows)
