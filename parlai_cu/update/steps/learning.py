"""From the model in service to the candidate: widened, trained, and only as far as it bears."""

import dataclasses
import os
from typing import Any

from parlai_cu.update import gate, knowledge
from parlai_cu.update.choice import KB, ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.steps import comparison, training, vocab_extension, weight_interpolation
from parlai_cu.update.steps.data import Data, without
from parlai_cu.update.steps.evaluation import EvaluatedModel, metrics_of
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import UpdateContext
from parlai_cu.update.wording import contradictions, normal

# share of answers with pieces that the dictionary lacks, from which on it is given them
_LACKING = 0.01


def learn(
    work: UpdateContext,
    choice: ModeChoice,
    diagnosis: Diagnosis,
    facts: knowledge.CandidateFacts | None,
    limits: comparison.Limits,
) -> list[dict[str, Any]]:
    """
    Make the candidate in the way that was chosen.

    :param work: what all steps work with
    :param choice: how the update is learnt
    :param diagnosis: of the update
    :param facts: for a knowledge base beside it
    :param limits: of the gate
    :return: each training: its command, its curves, and how much of it was kept
    """
    options = training.run_options(work.opt)
    last = work.model_file("candidate")
    skill = last if facts is None else work.model_file("skill")
    start = work.live_file
    if choice.mode != KB and (diagnosis.unwritable or 0.0) >= _LACKING:
        start = _widened(work)
    if start != work.live_file and choice.tune is not None:
        choice = _with_pieces(choice, choice.tune, work.model)
    plan = training.Plan(
        choice=choice,
        live=start,
        candidate=skill,
        update=work.update,
        old=_replayed(work),
        width=work.model.width(),
        metric="ppl" if work.model.generates else _choosing_metric(work),
        generates=work.model.generates,
        seed=work.settings.seed,
        more=work.settings.training,
    )
    trained: list[dict[str, Any]] = []
    if choice.mode != KB:
        trained.append(training.train(plan, options))
        trained[0]["part"] = _part(plan, work, limits)
    if facts is None and work.model.has_knowledge:
        training.keep_knowledge(work.live_file, last)
    if facts is not None:
        below = work.live_file if choice.mode == KB else skill
        task = training.gate_data(
            work.update, work.old, work.data_folder, knowledge.holder(facts.candidate_uri)
        )
        behind = dataclasses.replace(plan, candidate=last)
        trained.append(training.with_knowledge(behind, below, facts.candidate_uri, task, options))
    return trained


def _widened(work: UpdateContext) -> str:
    """The live model, or the same with what its dictionary lacks to spell the update."""
    agent = work.model.agent
    pieces = vocab_extension.missing_pieces(agent.dict, work.update.examples["train"])
    found = vocab_extension.widen(
        agent, work.live_file, pieces, os.path.join(work.kept.folder, "widened")
    )
    if found == work.live_file:
        say(f"the dictionary lacks {len(pieces)} pieces, and this model cannot be given them")
    else:
        say(f"{len(pieces)} pieces that the dictionary lacks are added to it")
    return found


def _with_pieces(choice: ModeChoice, tune: str, model: EvaluatedModel) -> ModeChoice:
    """New pieces are to be learnt, whatever else is."""
    rows = vocab_extension.of_pieces(model.agent.model.state_dict(), len(model.agent.dict))
    # tied ones by one of their names
    names = {t.data_ptr(): name for name, t in reversed(list(rows.items()))}
    return dataclasses.replace(choice, tune=",".join([tune, *names.values()]))


def _part(plan: training.Plan, work: UpdateContext, limits: comparison.Limits) -> float:
    """How much of what was learnt is kept: as much as the old skill bears, on validation."""
    judged = [data for data in work.old if len(data.examples["valid"]) >= gate.MIN_EXAMPLES]
    if not judged:
        return 1.0

    def chosen() -> float:
        for part in weight_interpolation.PARTS:
            weight_interpolation.put(plan.live, plan.candidate, part)
            candidate = EvaluatedModel(work.opt, plan.candidate)
            checks = [
                check
                for data in judged
                for check in comparison.on_validation(
                    work, candidate, part, data, limits[data.name]
                )
            ]
            lost = [check for check in checks if check.result != gate.PASS]
            if not lost:
                break
            say(f"{part:.0%} of what was learnt, on validation data: {lost[0].reason}")
        say(f"the candidate has {part:.0%} of what was learnt")
        return part

    return float(work.kept.plain("part", chosen))


def _choosing_metric(work: UpdateContext) -> str:
    found = metrics_of(work.kept.measured("live-update-train", list))
    return next(name for name in gate.PREFERRED if name in found)


def _replayed(work: UpdateContext) -> list[Data]:
    """The retained tasks without what the update contradicts."""
    kept = []
    for data in work.old:
        wrong = contradictions(data.examples["train"], work.update.examples["train"])
        contexts = {normal(pair[0].context) for pair in wrong}
        if contexts:
            say(f"{len(contexts)} old questions of {data.short} are put right: not replayed")
            data = without(work.opt, data, contexts, work.data_folder)
        kept.append(data)
    return kept
