"""
The candidate, trained by the stock ``parlai train_model``: its flags, its run, its curves.

Interrupted, the same training goes on from the last checkpoint; finished, it is not repeated.
"""

import glob
import json
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parlai.core.opt import Opt
from parlai.scripts.train_model import TrainModel

from parlai_cu import checkpoints
from parlai_cu.agents import base_agent, model_files
from parlai_cu.agents.episodes import Episode
from parlai_cu.agents.kb_augmented import flags as kb_flags
from parlai_cu.agents.kb_augmented.kb_augmented import KBAugmentedAgent
from parlai_cu.errors import UsageError
from parlai_cu.retention.metric_info import lower_is_better
from parlai_cu.update.choice import DISTIL, KB, STYLE, TUNE, ModeChoice
from parlai_cu.update.step_cache import Step, StepCache, content_of
from parlai_cu.update.steps.data import Data, context_of, files_named, write
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.validating import training_shown
from parlai_cu.update.update_report import TrainingRun
from parlai_cu.update.wording import Example, stated_values

BATCH, SMALL_BATCH = 32, 16
# how often each example of an update is seen, and how many are seen at least and at most
_EPOCHS, _FEWEST_SEEN, _MOST_SEEN = 4, 3000, 12000
_VALIDATIONS = 6
_VALIDATED = 200
# a small update is learnt when this share is right (of a generator that does not tell: at this
# perplexity); it is looked at after so many steps, and given up after so many, or where it does not
# get better so many times
_LEARNT, _LEARNT_PPL = 0.9, 1.04
_STEPS_BETWEEN, _MOST_STEPS, _PATIENCE = 10, 300, 6
# how much of each batch is old, and of how much old data (docs/retention.md)
REPLAY_SHARE, REPLAY_SIZE, SMALL_REPLAY_SIZE = 0.5, 1000, 400
# of the loss on a replayed example the share of the live model's soft labels: five parts to one of
# gold, as with --penalty lwf. Gold labels of a sample seen over and over are learnt by heart
SOFT_SHARE = 0.83
# of a change of style what is old is the old style: enough of it to keep the content
STYLE_REPLAY_SHARE = 0.25
# where a model stands in a step's folder
MODEL = "model"


@dataclass(frozen=True)
class ModelFile:
    """
    A model on the way to the candidate.

    :param path: of its weights
    :param content: fingerprint of it, and of the state of a knowledge base that it asks
    :param kb: another knowledge base than it names
    """

    path: str
    content: str
    kb: str | None = None


@dataclass(frozen=True)
class Trained:
    """
    What is remembered of a training.

    :param content: fingerprint of the model
    :param run: its command and curves
    """

    content: str
    run: TrainingRun


TRAINING: Step[Trained] = Step("training", Trained)


@dataclass(frozen=True)
class Plan:
    """
    What is to be trained.

    :param choice: the mode and the selection
    :param live: the model that training begins from
    :param update: the update's data
    :param old: the retained tasks, to be replayed; may be none
    :param width: numbers that stand for one token in the live model (elements of its hidden states)
    :param metric: which validation goes by
    :param generates: the live model writes its replies
    :param seed: of the run
    :param more: flags of ``parlai train_model`` that come last, so that they win
    :param has_soft_labels: it scores tokens, candidates or classes, which can be learnt from
    """

    choice: ModeChoice
    live: ModelFile
    update: Data
    old: Sequence[Data]
    width: int
    metric: str
    generates: bool
    seed: int
    more: Sequence[str] = ()
    has_soft_labels: bool = True


def flags(plan: Plan) -> list[str]:
    """The words after ``parlai train_model``, but for ``-mf``."""
    share = _replay_share(plan)
    count = len(plan.update.examples["train"])
    # a width of 160 wants 5e-4, of 256 about 3e-4, of 1024 less than 1e-4
    rate = min(5e-4, 0.08 / plan.width)
    if TUNE in plan.choice.mode:
        words = ["-m", TUNE, "--init-model", plan.live.path, "--tune", plan.choice.tune or "*"]
    else:
        words = ["-m", DISTIL, "--teacher-model", plan.live.path]
    words += ["-t", plan.update.task, *_defence(plan, share)]
    words += _until_learnt(plan, count) if plan.update.small else _for_steps(plan, count, share)
    batch = SMALL_BATCH if plan.update.small else BATCH
    words += ["-bs", str(batch), "--optimizer", "adam", "-lr", f"{rate:.2g}"]
    words += ["--save-after-valid", "true", "--short-final-eval", "true", "--seed", str(plan.seed)]
    if plan.generates:
        words += ["--skip-generation", "true"]
    return [*words, *plan.more]


def _for_steps(plan: Plan, count: int, share: float) -> list[str]:
    """So many steps that each example is seen a few times."""
    seen = min(max(_EPOCHS * count, _FEWEST_SEEN), _MOST_SEEN)
    steps = math.ceil(seen / BATCH / (1 - share))
    best = "min" if lower_is_better(plan.metric) else "max"
    tasks = ",".join([plan.update.task, *(data.task for data in plan.old)])
    words = ["-et", tasks, "-vmt", plan.metric, "-vmm", best, "-vme", str(_VALIDATED)]
    words += ["-vstep", str(max(1, steps // _VALIDATIONS)), "-tstep", str(steps)]
    return [*words, "--lr-scheduler", "cosine", "--warmup-updates", str(max(1, steps // 20))]


def _until_learnt(plan: Plan, count: int) -> list[str]:
    """Until the corrections themselves are answered as corrected."""
    least = lower_is_better(plan.metric)
    cut = _LEARNT_PPL if plan.metric == "ppl" else 0.0 if least else _LEARNT
    words = ["-et", plan.update.task, "-vmt", plan.metric, "-vmm", "min" if least else "max"]
    words += ["-vcut", str(cut)]
    words += ["-vme", str(count), "-vstep", str(_STEPS_BETWEEN), "-tstep", str(_MOST_STEPS)]
    words += ["-vp", str(_PATIENCE)]
    return [*words, "--lr-scheduler", "cosine", "--warmup-updates", str(_STEPS_BETWEEN)]


def train(plan: Plan, options: list[str], cache: StepCache) -> tuple[ModelFile, TrainingRun]:
    """
    Run it, or go on with it; the model, and what it came to.

    :param plan: what and how
    :param options: of the command: where data lies, which device
    :param cache: of what was done
    """
    read = {data.task: data.fingerprint for data in (plan.update, *plan.old)}
    read |= files_named(plan.more)
    validated = (plan.update,) if plan.update.small else (plan.update, *plan.old)
    tasks = [data.short for data in validated]
    read = {"live": plan.live.content, **read}
    return _run(flags(plan), read, options, tasks, cache, plan.update.small)


def _run(
    words: list[str],
    read: Mapping[str, str],
    options: list[str],
    tasks: Sequence[str],
    cache: StepCache,
    small: bool = False,
) -> tuple[ModelFile, TrainingRun]:
    inputs = {"command": words, "read": dict(read)}
    path = os.path.join(cache.place(TRAINING, inputs), MODEL)

    def run(folder: str) -> Trained:
        command = f"parlai train_model {shlex.join([*words, '-mf', path])}"
        say(f"$ {command}")
        with training_shown(tasks, small):
            TrainModel.main(*words, "-mf", path, *options)
        for left in glob.glob(glob.escape(path) + ".checkpoint*"):
            os.unlink(left)
        return Trained(content_of(path, f"{path}.opt"), TrainingRun(command, **curves(path)))

    found = cache.get(TRAINING, inputs, run)
    return ModelFile(path, found.content), found.run


def curves(model_file: str) -> dict[str, Any]:
    """Loss in training and metrics of validation: ``train`` and ``valid``, lists of steps."""
    try:
        with open(f"{model_file}.trainstats") as f:
            held = json.load(f)
    except FileNotFoundError:
        return {"train": [], "valid": []}

    def rows(name: str) -> list[dict[str, float]]:
        return [
            {
                "step": report.get("train_steps", report.get("total_train_updates", 0)),
                **{
                    key: value
                    for key, value in report.items()
                    if isinstance(value, (int, float)) and _is_shown(key)
                },
            }
            for report in held.get(name) or []
        ]

    return {"train": rows("train_reports"), "valid": rows("valid_reports")}


def _is_shown(key: str) -> bool:
    return key.rsplit("/", 1)[-1] in (
        *("loss", "ppl", "accuracy", "hits@1", "f1", "penalty", "token_em"),
    )


def _replay_share(plan: Plan) -> float:
    return STYLE_REPLAY_SHARE if plan.choice.case == STYLE else REPLAY_SHARE


def _defence(plan: Plan, share: float) -> list[str]:
    """What docs/retention.md recommends: replay with lwf, by the model's words where need be."""
    words: list[str] = []
    # an agent that scores neither tokens nor candidates nor classes is held by its weights
    penalty = "lwf" if plan.has_soft_labels else "l2sp"
    if plan.old:
        words += ["--replay-task", ",".join(data.task for data in plan.old)]
    elif plan.update.small:
        # the live model's own words on these very questions are what is being put right
        return ["--penalty", "l2sp"] if TUNE in plan.choice.mode else []
    elif plan.generates:
        words += ["--replay-from-model", "true"]
    else:
        return ["--penalty", penalty] if TUNE in plan.choice.mode else []
    size = SMALL_REPLAY_SIZE if plan.update.small else REPLAY_SIZE
    words += ["--replay-size", str(size), "--replay-share", str(share)]
    if TUNE in plan.choice.mode:
        return [*words, "--penalty", penalty]
    return [*words, "--distill-weight", str(SOFT_SHARE)]


# -- facts for the knowledge base -------------------------------------------------------------


def gate_data(
    update: Data,
    old: Sequence[Data],
    folder: str,
    holds: Callable[[Sequence[Example]], bool],
    most: int = 1500,
) -> Data:
    """
    A task that teaches the knowledge gate: is this a turn for the facts?

    Turns whose answers tell values are a yes where they are of the update, or of a retained task
    whose facts the base holds from earlier on; other retained ones are a no.

    :param update: the update's data
    :param old: the retained tasks
    :param folder: where files go
    :param holds: whether questions are entries of the base
    :param most: how many examples that are a yes, of each split
    :raises UsageError: without retained turns
    """
    skill = [data for data in old if not holds(data.examples["train"])]
    if not skill:
        raise UsageError(f"--mode {KB}: the gate learns from retained turns; give --retain-task")
    facts = [update, *(data for data in old if data not in skill)]
    parts: dict[str, list[Episode]] = {}
    # the stock loop ends with a test: on validation data, as the test data is the gate's
    for split, name in (("train", "train"), ("valid", "valid"), ("valid", "test")):
        yes = [e for data in facts for e in data.examples[split] if stated_values(e)][:most]
        no = [e for data in skill for e in data.examples[split]]
        no = no[:: max(1, len(no) // max(2 * len(yes), 1))]
        parts[name] = [
            [{**context_of(e), "labels": [label], "label_candidates": ["yes", "no"]}]
            for label, examples in (("yes", yes), ("no", no))
            for e in examples
        ]
    return write("knowledge gate", parts, folder)


def gate_flags(plan: Plan, model: str, kb: str, task: str) -> list[str]:
    """
    The words after ``parlai train_model`` that teach the gate on top of a model, but for ``-mf``.

    :param plan: what is trained
    :param model: that the gate is put on top of
    :param kb: URI of the base
    :param task: of :func:`gate_data`
    """
    words = ["-m", KB, "--init-model", model, "--kb", kb, "--kb-gate", "classifier"]
    words += ["--kb-gate-threshold", "auto", "-t", task, "-eps", "4", "-veps", "1"]
    words += ["-vmt", "accuracy", "-vmm", "max", "-bs", "32", "--short-final-eval", "true"]
    return [*words, "--seed", str(plan.seed)]


def with_knowledge(
    plan: Plan,
    model: ModelFile,
    kb: tuple[str, str],
    data: Data,
    options: list[str],
    cache: StepCache,
) -> tuple[ModelFile, TrainingRun]:
    """
    Put a knowledge base beside a model, behind a gate that learns when to ask it.

    :param plan: what is trained
    :param model: the live model, or a candidate that learnt the update
    :param kb: URI and state of the base with the update's facts
    :param data: of :func:`gate_data`
    :param options: of the command: where data lies, which device
    :param cache: of what was done
    """
    uri, state = kb
    read = {"model": model.content, "kb": state, data.task: data.fingerprint}
    words = gate_flags(plan, model.path, uri, data.task)
    found, run = _run(words, read, options, ["knowledge gate"], cache)
    return ModelFile(found.path, f"{found.content} {state}"), run


def made(
    step: Step[str], inputs: Mapping[str, Any], cache: StepCache, write: Callable[[str], None]
) -> ModelFile:
    """
    The model of a step, written where it is not remembered.

    :param step: whose result is the model's fingerprint
    :param inputs: all that it reads, as values of JSON
    :param cache: of what was done
    :param write: is given the path of the file
    """
    path = os.path.join(cache.place(step, inputs), MODEL)

    def put(folder: str) -> str:
        write(path)
        return content_of(path, f"{path}.opt")

    return ModelFile(path, cache.get(step, inputs, put))


KNOWLEDGE_KEPT: Step[str] = Step("knowledge-kept", str)


def keep_knowledge(live: ModelFile, trained: ModelFile, cache: StepCache) -> ModelFile:
    """
    A candidate that answers with the knowledge base of the live model, behind its gate.

    Only the weights below were trained; the knowledge base, its gate and its flags are taken over.
    """

    def write(path: str) -> None:
        states, above = (checkpoints.load(model.path) for model in (trained, live))
        opt, live_opt = Opt.load(f"{trained.path}.opt"), Opt.load(f"{live.path}.opt")
        ours = base_agent.names_added(kb_flags.add)
        opt.update({name: live_opt[name] for name in ours if name in live_opt})
        opt.update(model=live_opt["model"], base_agent=live_opt["base_agent"])
        record = KBAugmentedAgent.agent_name
        if record in above:
            states[record] = {**above[record], "resume_point": None}
        model_files.write_like(trained.path, path, opt, states)

    inputs = {"live": live.content, "trained": trained.content}
    return made(KNOWLEDGE_KEPT, inputs, cache, write)


SETTLED: Step[str] = Step("settled", str)


def settle(model: ModelFile, uri: str, cache: StepCache) -> ModelFile:
    """A model that was gated on a copy of a knowledge base, naming the one in service."""

    def write(path: str) -> None:
        opt = Opt.load(f"{model.path}.opt")
        opt["kb"] = uri
        opt.get("override", {}).pop("kb", None)
        model_files.write_like(model.path, path, opt)

    return made(SETTLED, {"model": model.content, "kb": uri}, cache, write)


def run_options(opt: Opt) -> list[str]:
    """What the command says of where and how to run, for the runs it starts."""
    words = ["--datapath", str(opt["datapath"])]
    if opt.get("mutators"):
        # messages that were stored have them already, and their task leaves the flag aside
        words += ["--mutators", str(opt["mutators"])]
    if opt.get("no_cuda"):
        words.append("--no-cuda")
    if (opt.get("gpu") or -1) >= 0:
        words += ["--gpu", str(opt["gpu"])]
    return [*words, "--loglevel", str(opt.get("loglevel") or "info")]
