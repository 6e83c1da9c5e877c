"""From the model in service to the candidate: widened, trained, and only as far as it bears."""

import dataclasses
import os

from parlai_cu.retention.metric_info import preferred
from parlai_cu.update import gate, knowledge
from parlai_cu.update.choice import KB, ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.editing import folds
from parlai_cu.update.step_cache import Step, StepCache, content_of
from parlai_cu.update.steps import comparison, training, vocab_extension, weight_interpolation
from parlai_cu.update.steps.data import Data, as_episodes, without, write
from parlai_cu.update.steps.evaluation import EvaluatedModel, metrics_of
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import LOOKED_AT, UpdateContext
from parlai_cu.update.update_report import TrainingRun
from parlai_cu.update.wording import contradictions, normal

# share of answers with pieces that the dictionary lacks, from which on it is given them
_LACKING = 0.01


@dataclasses.dataclass(frozen=True)
class Learnt:
    """
    The candidate.

    :param model: its file
    :param runs: each training: its command, its curves, and how much of it was kept
    :param crossed: of a small update: what was held out in a training on the rest, and its model
    """

    model: training.ModelFile
    runs: list[TrainingRun]
    crossed: tuple[tuple[Data, training.ModelFile], ...] = ()


@dataclasses.dataclass(frozen=True)
class Widened:
    """
    The live model with more pieces in its dictionary.

    :param content: fingerprint; None of a model that cannot be given any
    :param pieces: how many it lacks
    :param tune: the tensors with a row for each piece, which are to learn
    """

    content: str | None
    pieces: int
    tune: tuple[str, ...]


WIDENED: Step[Widened] = Step("widened", Widened)
PART: Step[float] = Step("part", float)
PART_OF: Step[str] = Step("part-of", str)


def learn(
    work: UpdateContext,
    choice: ModeChoice,
    diagnosis: Diagnosis,
    facts: knowledge.CandidateFacts | None,
    limits: comparison.Limits,
) -> Learnt:
    """Make the candidate in the way that was chosen."""
    options = training.run_options(work.opt)
    live = training.ModelFile(work.model.model_file, work.model.content)
    plan = training.Plan(
        choice=choice,
        live=live,
        update=work.update,
        old=_replayed(work),
        width=work.model.traits.width,
        metric=_metric(work),
        generates=work.model.generates,
        has_soft_labels=work.model.traits.has_soft_labels,
        seed=work.settings.seed,
        more=work.settings.training,
    )
    runs: list[TrainingRun] = []
    crossed: list[tuple[Data, training.ModelFile]] = []
    below = live
    if choice.mode != KB:
        if (diagnosis.unwritable or 0.0) >= _LACKING:
            plan = _widened(plan, work)
        trained, run = training.train(plan, options, work.cache)
        part = _part(plan, trained, work, limits)
        runs.append(dataclasses.replace(run, part=part))
        below = _part_of(plan, trained, part, work.cache)
        for data in halves(work.update, work.cache.data_folder):
            half, _ = training.train(dataclasses.replace(plan, update=data), options, work.cache)
            crossed.append((data, _part_of(plan, half, part, work.cache)))
    if facts is None and work.model.traits.has_knowledge:
        below = training.keep_knowledge(live, below, work.cache)
    if facts is not None:
        base = facts.candidate_uri
        data = training.gate_data(
            work.update, work.old, work.cache.data_folder, knowledge.holder(base)
        )
        below, run = training.with_knowledge(
            plan, below, (base, facts.snapshot), data, options, work.cache
        )
        runs.append(run)
        if choice.mode == KB and facts.facts:
            for data in halves(work.update, work.cache.data_folder):
                told = knowledge.facts_of(data.examples["train"])
                half_facts = knowledge.CandidateFacts(facts.uri, told, work.cache)
                content = f"{below.content} {half_facts.snapshot}"
                half = training.ModelFile(below.path, content, half_facts.candidate_uri)
                crossed.append((data, half))
    return Learnt(below, runs, tuple(crossed))


def halves(update: Data, folder: str) -> list[Data]:
    """
    Of a small update with answers that are asked for in several ways: each half of the wordings
    as the test of what is trained on the rest.
    """
    found = []
    corrected = update.examples["train"]
    for held in folds(corrected) if update.small else []:
        rest = [e for i, e in enumerate(corrected) if i not in held]
        asked = [corrected[i] for i in held]
        parts = {"train": as_episodes(rest), "valid": as_episodes(rest), "test": as_episodes(asked)}
        made = write(f"{update.short} but for other wordings", parts, folder)
        found.append(dataclasses.replace(made, small=True))
    return found


def _widened(plan: training.Plan, work: UpdateContext) -> training.Plan:
    """The same from a model that has what the live one's dictionary lacks, where that can be."""
    inputs = {"model": plan.live.content, "update": work.update.content["train"]}
    path = os.path.join(work.cache.place(WIDENED, inputs), training.MODEL)

    def widen(folder: str) -> Widened:
        agent = work.model.agent
        pieces = vocab_extension.missing_pieces(agent.dict, work.update.examples["train"])
        if not vocab_extension.widen(agent, plan.live.path, pieces, path):
            return Widened(None, len(pieces), ())
        rows = vocab_extension.of_pieces(agent.model.state_dict(), len(agent.dict))
        # tied ones by one of their names
        names = {t.data_ptr(): name for name, t in reversed(list(rows.items()))}
        return Widened(content_of(path, f"{path}.opt"), len(pieces), tuple(names.values()))

    found = work.cache.get(WIDENED, inputs, widen)
    if found.content is None:
        say(f"the dictionary lacks {found.pieces} pieces, and this model cannot be given them")
        return plan
    say(f"{found.pieces} pieces that the dictionary lacks are added to it")
    # new pieces are to be learnt, whatever else is
    tune = None if plan.choice.tune is None else ",".join([plan.choice.tune, *found.tune])
    return dataclasses.replace(
        plan,
        live=training.ModelFile(path, found.content),
        choice=dataclasses.replace(plan.choice, tune=tune),
    )


def _part(
    plan: training.Plan,
    trained: training.ModelFile,
    work: UpdateContext,
    limits: comparison.Limits,
) -> float:
    """How much of what was learnt is kept: as much as the old skill bears, on validation."""
    least = work.settings.limits.min_conversations
    judged = [data for data in work.old if data.conversations("valid") >= least]
    if not judged:
        return 1.0

    def chosen(folder: str) -> float:
        for part in weight_interpolation.PARTS:
            made = _part_of(plan, trained, part, work.cache)
            candidate = EvaluatedModel(work.opt, made.path, made.content, work.cache)
            checks = [
                check
                for data in judged
                for check in comparison.on_validation(work, candidate, data, limits[data.name])
            ]
            lost = [check for check in checks if check.result != gate.PASS]
            if not lost:
                break
            say(f"{part:.0%} of what was learnt, on validation data: {lost[0].reason}")
        return part

    inputs = {
        "live": plan.live.content,
        "trained": trained.content,
        "retained": [[data.name, data.content["valid"], limits[data.name]] for data in judged],
        "examples": work.settings.examples,
        "confidence": work.settings.limits.confidence,
        "fewest": work.settings.limits.min_conversations,
    }
    part = work.cache.get(PART, inputs, chosen)
    say(f"the candidate has {part:.0%} of what was learnt")
    return part


def _part_of(
    plan: training.Plan, trained: training.ModelFile, part: float, cache: StepCache
) -> training.ModelFile:
    """The model that is part of the way; all of it is what was trained."""
    if part == 1.0:
        return trained
    inputs = {"start": plan.live.content, "trained": trained.content, "part": part}

    def write(path: str) -> None:
        weight_interpolation.put(plan.live.path, trained.path, part, path)

    return training.made(PART_OF, inputs, cache, write)


def _metric(work: UpdateContext) -> str:
    """Which validation goes by."""
    if work.model.generates and not work.update.small:
        return "ppl"
    count = len(work.update.examples["train"]) if work.update.small else LOOKED_AT
    there = metrics_of(work.model.measure(work.update, "train", count, replies=False))
    if work.model.generates:
        return gate.WORD_FOR_WORD if gate.WORD_FOR_WORD in there else "ppl"
    metric = preferred(there)
    assert metric is not None  # or the limits of the gate had none
    return metric


def _replayed(work: UpdateContext) -> list[Data]:
    """The retained tasks without what the update contradicts."""
    kept = []
    for data in work.old:
        wrong = contradictions(data.examples["train"], work.update.examples["train"])
        contexts = {normal(pair[0].context) for pair in wrong}
        if contexts:
            say(f"{len(contexts)} old questions of {data.short} are put right: not replayed")
            data = without(work.opt, data, contexts, work.cache.data_folder)
        kept.append(data)
    return kept
