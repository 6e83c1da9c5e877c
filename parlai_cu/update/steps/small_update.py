"""A small update beside the model in service: measured on what is needed to decide, and judged."""

from collections.abc import Sequence

import numpy as np

from parlai_cu.types import Verdict
from parlai_cu.update import editing, gate, safety
from parlai_cu.update.choice import KB, ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.steps import comparison
from parlai_cu.update.steps.data import Data, as_episodes, write
from parlai_cu.update.steps.evaluation import EvaluatedModel, Measured
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import UpdateContext
from parlai_cu.update.steps.training import ModelFile

# nearest old questions, of which both models' replies are compared
_NEIGHBOURS = 40
Crossed = Sequence[tuple[Data, ModelFile]]


def judge(
    work: UpdateContext,
    candidate: EvaluatedModel,
    crossed: Crossed,
    live: comparison.Answers,
    limits: comparison.Limits,
    choice: ModeChoice,
    diagnosis: Diagnosis,
) -> tuple[Verdict, list[safety.Pair]]:
    """
    Whether a candidate may go live, and the replies of both models.

    :param work: what all steps work with
    :param candidate: the model
    :param crossed: what was held out in trainings on the rest, and their models
    :param live: the live model's answers
    :param limits: of :func:`comparison.limits_of`
    :param choice: how the update was learnt
    :param diagnosis: of the update
    """
    # a fact that is told word for word has no likelihood
    by_likelihood = choice.mode != KB
    checks = [_reliability(work, candidate), *_generality(work, candidate, crossed, by_likelihood)]
    after = comparison.held_out(work, candidate, "candidate", work.old)
    near = _neighbours(work, candidate, checks)
    for data in work.old:
        checks += comparison.of_limits(work, data, live, after, limits)
    pairs = [
        pair
        for data in work.old
        for pair in comparison.pairs_of(data, live[data.name], after[data.name])
        if pair.before or pair.after
    ]
    pairs = _asked_again(work, candidate) + near + pairs
    return comparison.concluded(work, candidate, checks, pairs, diagnosis), pairs


def _asked_again(work: UpdateContext, candidate: EvaluatedModel) -> list[safety.Pair]:
    before, after = (_answers(model, work.update) for model in (work.model, candidate))
    return comparison.pairs_of(work.update, before, after)


def _answers(model: EvaluatedModel, data: Data, split: str = "valid") -> list[Measured]:
    return model.measure(data, split, len(data.examples[split]))


def _reliability(work: UpdateContext, candidate: EvaluatedModel) -> gate.Check:
    say(f"candidate model on the corrections of {work.update.short}")
    found = _answers(candidate, work.update)
    return editing.check_reliability([editing.says(m.reply, m.example) for m in found])


def _generality(
    work: UpdateContext, candidate: EvaluatedModel, crossed: Crossed, by_likelihood: bool
) -> list[gate.Check]:
    say("the same questions, worded otherwise")
    groups = [(work.update, candidate)]
    name = "generality: with other words around it"
    checks = [_asked_otherwise(work, name, groups, by_likelihood)]
    if crossed:
        held = [
            (data, EvaluatedModel(work.opt, made.path, made.content, work.cache, made.kb))
            for data, made in crossed
        ]
        name = "generality: asked in another way"
        checks.append(_asked_otherwise(work, name, held, by_likelihood))
    return checks


def _asked_otherwise(
    work: UpdateContext,
    name: str,
    asked: Sequence[tuple[Data, EvaluatedModel]],
    by_likelihood: bool,
) -> gate.Check:
    # wordings of one correction count as one
    gains: dict[str, list[float]] = {}
    said: list[tuple[bool, bool]] = []
    for data, model in asked:
        for one, two in zip(_answers(work.model, data, "test"), _answers(model, data, "test")):
            right = [editing.says(m.reply, m.example) for m in (one, two)]
            said.append((right[0], right[1]))
            if by_likelihood:
                before, after = (m.replied.loss / max(m.replied.tokens, 1e-9) for m in (one, two))
                gain = before - after
            else:
                gain = float(right[1]) - float(right[0])
            gains.setdefault(one.example.label, []).append(gain)
    return editing.check_generality(
        name,
        said,
        [float(np.mean(found)) for found in gains.values()],
        comparison.least_gain(work) if by_likelihood else gate.OTHERS_MIN_GAIN,
        work.settings.limits.confidence,
        by_likelihood,
    )


def _neighbours(
    work: UpdateContext, candidate: EvaluatedModel, checks: list[gate.Check]
) -> list[safety.Pair]:
    """Adds the check of the near neighbours; both models' replies to them."""
    old = [e for data in work.old for e in data.examples["test"] + data.examples["valid"]]
    near = editing.neighbours(work.update.examples["train"], old, _NEIGHBOURS)
    if not near:
        return []
    say(f"{len(near)} old questions that are most like the corrected ones")
    folder = work.cache.data_folder
    data = write("near neighbours", {"test": as_episodes([old[i] for i in near])}, folder)
    before, after = (_answers(model, data, "test") for model in (work.model, candidate))
    right = [[editing.says(m.reply, m.example) for m in model] for model in (before, after)]
    checks.append(editing.check_neighbours(right[0], right[1], work.settings.limits.confidence))
    return comparison.pairs_of(data, before, after)
