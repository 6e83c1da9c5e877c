"""The candidate beside the model in service: what the gate tests, measured on both."""

import math
from collections.abc import Mapping, Sequence

from parlai_cu.errors import DataError
from parlai_cu.retention.paired import both_measured
from parlai_cu.types import Verdict
from parlai_cu.update import gate, safety, slices
from parlai_cu.update.choice import KB, ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.editing import RELIABLE
from parlai_cu.update.planning import DecisionPlan, before_training
from parlai_cu.update.step_cache import Step
from parlai_cu.update.steps.data import Data, swapped
from parlai_cu.update.steps.evaluation import (
    MOST_LATENCIES,
    EvaluatedModel,
    Measured,
    metrics_of,
    side_by_side,
    sums,
)
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import UpdateContext

# of validation data, to try parts of what was learnt on
_TRIED_ON = 200
# Validation data is a rehearsal of the gate: a part may lose half there of what the gate allows
_OF_THE_LIMIT = 0.5
# metrics of generators that need no reply
_WITHOUT_REPLIES = ("ppl", "loss", "token_acc")

LATENCIES: Step[list[list[float]]] = Step("latencies", list[list[float]], format=2)

# name of a task -> metric -> how much may be lost, or must be gained
Limits = dict[str, dict[str, float]]
# name of a task -> its held-out examples
Answers = dict[str, list[Measured]]


def held_out(
    work: UpdateContext, model: EvaluatedModel, name: str, tasks: Sequence[Data] | None = None
) -> Answers:
    """
    Answers to the held-out examples that training does not hold.

    :raises DataError: when training holds all of a task's held-out examples
    """
    answers = {}
    for data in work.tasks if tasks is None else tasks:
        say(f"{name} model on held-out {data.short}")
        found = model.measure(data, "test", work.settings.examples, _told(work, data))
        if not found:
            raise DataError(
                f"{data.name}: training holds all of its held-out examples too (do all "
                "conversations open alike?), so that nothing is left to judge by. Hold out "
                "conversations that differ"
            )
        answers[data.name] = found
    return answers


def pairs_of(
    data: Data, before: Sequence[Measured], after: Sequence[Measured]
) -> list[safety.Pair]:
    """The replies of two models to the same examples, with the conversations that these are of."""
    return [
        safety.Pair(
            data.short,
            one.example.context,
            one.example.label,
            one.reply,
            two.reply,
            one.conversation,
            data.rejected.get(one.example.key, ()),
        )
        for one, two in zip(before, after)
    ]


def _told(work: UpdateContext, data: Data) -> bool:
    """Whether replies are written to old questions: for a small update where limits need them."""
    limits = work.settings.limits
    named = {name.rpartition("/")[2] for name in [*limits.losses, *limits.gains]}
    likely = work.model.generates and not work.model.traits.has_knowledge
    by_likelihood = likely and KB not in work.settings.mode and named <= set(_WITHOUT_REPLIES)
    return not (work.update.small and by_likelihood) or data is work.update


def least_gain(work: UpdateContext) -> float:
    """What an update's answers must gain in likelihood, in nats a token."""
    least = work.settings.limits.gains.get("ppl", gate.DEFAULT_MIN_GAIN["ppl"])
    return -math.log1p(-min(least, 1 - 1e-9))


def limits_of(work: UpdateContext, live: Answers, choice: ModeChoice) -> Limits:
    """
    What each task may lose or must gain.

    :raises UsageError: when a metric was named that is not there
    """
    limits = work.settings.limits
    found: Limits = {}
    for data in work.tasks:
        there = metrics_of(live[data.name])
        if KB in choice.mode:
            # a fact that is told word for word has no likelihood
            there = [name for name in there if name not in _WITHOUT_REPLIES]
            there = [name for name in there if name != "accuracy" or "f1" not in there]
        found[data.name] = (
            limits.of_update(there)
            if data is work.update
            else limits.of_retained(data.name, data.short, there)
        )
    return found


def judge(
    work: UpdateContext,
    candidate: EvaluatedModel,
    live: Answers,
    limits: Limits,
    choice: ModeChoice,
    diagnosis: Diagnosis,
) -> tuple[Verdict, list[safety.Pair]]:
    """Whether a candidate may go live, and the replies of both models."""
    after = held_out(work, candidate, "candidate")
    pairs = [
        pair for data in work.tasks for pair in pairs_of(data, live[data.name], after[data.name])
    ]
    checks = [check for data in work.tasks for check in of_limits(work, data, live, after, limits)]
    if work.model.generates and choice.mode != KB:
        checks.append(_dependence(work, candidate, live[work.update.name]))
    return concluded(work, candidate, checks, pairs, diagnosis), pairs


def concluded(
    work: UpdateContext,
    candidate: EvaluatedModel,
    checks: Sequence[gate.Check],
    pairs: Sequence[safety.Pair],
    diagnosis: Diagnosis,
) -> Verdict:
    """The verdict of these checks and of those that every update has to pass."""
    checks = list(checks)
    checks.append(gate.check_agreement(len(diagnosis.contradictions), diagnosis.examples))
    if not work.old:
        checks.append(
            gate.Check(
                "what is kept",
                "retained",
                gate.UNDECIDED,
                "without --retain-task nothing shows what the candidate still knows",
            )
        )
    return gate.verdict([*checks, *_of_safety(work, candidate, pairs)])


def of_limits(
    work: UpdateContext, data: Data, live: Answers, after: Answers, limits: Limits
) -> list[gate.Check]:
    """
    The tests of a task's limits, and of its slices.

    :param work: what all steps work with
    :param data: the task
    :param live: the live model's answers
    :param after: the candidate's
    :param limits: of :func:`limits_of`
    """
    before, now = live[data.name], after[data.name]
    checks = []
    for metric, limit in limits[data.name].items():
        pair = both_measured(sums(before, metric), sums(now, metric))
        if data is work.update:
            checks.append(gate.check_update(data.short, metric, limit, *pair, work.settings.limits))
            continue
        checks.append(gate.check_retained(data.short, metric, limit, *pair, work.settings.limits))
        found = slices.check_slices(
            data.short,
            metric,
            limit,
            *_slices(data, before, metric),
            *pair,
            work.settings.limits,
        )
        checks += [found] if found else []
    return checks


def _slices(
    data: Data, answers: Sequence[Measured], metric: str
) -> tuple[Sequence[str], Sequence[str]]:
    """Which slice each example is of that has the metric, and what was asked."""
    counted = [one for one in answers if one.sums.get(metric, [0.0, 0.0])[1] > 0]
    parts = [one.part or data.parts.get(one.example.key, "") for one in counted]
    questions = [one.example.text for one in counted]
    return slices.slices_of(parts, questions, [one.conversation for one in counted]), questions


def say_what_it_takes(
    work: UpdateContext, live: Answers, limits: Limits, earlier: Sequence[Verdict] = ()
) -> list[DecisionPlan]:
    """
    Say, before anything is trained, whether the gate can decide with the data there is.

    :param work: what all steps work with
    :param live: the live model's answers
    :param limits: of :func:`limits_of`
    :param earlier: verdicts on other updates
    """
    settings, plans = work.settings.limits, []
    # a small update is not estimated: each correction is asked again
    for data in work.old if work.update.small else work.tasks:
        for metric, limit in limits[data.name].items():
            measured = sums(live[data.name], metric)
            measured = measured.of(measured.count > 0)
            if not len(measured.total) or limit <= 0:
                continue
            name = f"{data.short} {metric}"
            plan = before_training(
                name,
                metric,
                limit,
                measured,
                settings.confidence,
                settings.min_conversations,
                of_update=data is work.update,
                earlier=[
                    row["error"] * math.sqrt(row["conversations"])
                    for verdict in earlier
                    for row in verdict.checks
                    if row["name"] == name and row.get("error") and data is not work.update
                ],
            )
            plans.append(plan)
            say(f"  {plan.words()}")
    return plans


def _of_safety(
    work: UpdateContext, candidate: EvaluatedModel, pairs: Sequence[safety.Pair]
) -> list[gate.Check]:
    model, settings = work.model, work.settings
    checks = list(safety.check_replies(pairs))
    # what was trained on is to be learnt; of what was held out as much as the live model knew
    checks += safety.check_rejected(pairs, 1 - RELIABLE if work.update.small else 1.0)
    said = [[pair.context, pair.label] for pair in pairs[:MOST_LATENCIES]]
    times = work.cache.get(
        LATENCIES,
        {"live": model.content, "candidate": candidate.content, "said": said},
        lambda _: side_by_side(model, candidate, [one for one, _ in said], [o for _, o in said]),
    )
    checks.append(safety.check_latency(times[0], times[1], settings.max_slower))
    checks.append(safety.check_size(model.traits.size, candidate.traits.size, safety.MAX_LARGER))
    for name, check in zip(settings.checks, work.user_checks):
        checks.append(safety.run_user_check(name, check, pairs))
    return checks


def _dependence(
    work: UpdateContext, candidate: EvaluatedModel, answers: Sequence[Measured]
) -> gate.Check:
    found = [one.example for one in answers]
    losses = [
        sums(candidate.measure(data, "test", len(found), replies=False), "loss")
        for data in swapped(found, work.cache.data_folder)
    ]
    return gate.check_dependence(*both_measured(*losses), work.settings.limits)


def on_validation(
    work: UpdateContext,
    candidate: EvaluatedModel,
    data: Data,
    limits: Mapping[str, float],
) -> list[gate.Check]:
    """
    The gate's own tests of what is kept, on a retained task's validation data.

    Half of what the gate allows may be lost there, as test data has surprises of its own.

    :param work: what all steps work with
    :param candidate: the model
    :param data: the retained task
    :param limits: of the task
    """
    told = work.model.generates and any(name not in _WITHOUT_REPLIES for name in limits)
    count = min(work.settings.examples, _TRIED_ON)
    before, after = (
        model.measure(data, "valid", count, replies=told) for model in (work.model, candidate)
    )
    return [
        gate.check_retained(
            data.short,
            metric,
            min(most, _OF_THE_LIMIT * most),
            *both_measured(sums(before, metric), sums(after, metric)),
            work.settings.limits,
        )
        for metric, most in limits.items()
    ]
