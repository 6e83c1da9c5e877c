"""
ParlAI reads some settings when the work is done: a wrong one costs the run.

Seen with ParlAI 1.7.2: ``-vmt acuracy``, or the default metric with ``--skip-generation true``, is
``KeyError`` at the first validation, with nothing saved; ``-tblog``, ``-wblog`` and ``-clearmllog``
without their packages end after data and model were loaded; ``--final-extra-opt`` is read last of
all. ``train_model -dt train:evalmode`` learns nothing and ends well; a missing ``--init-model`` is
a model from scratch.

Each is looked at before the first step (:mod:`parlai_cu.host.train_loop` asks). A metric that is
not surely there is looked for in the report of a few batches of the validation data.
"""

import contextlib
import importlib.util
import os
import random
from collections.abc import Iterator, Sequence

from parlai_cu.errors import ModelFileError, UsageError, hint, in_place_of, near_file, nearest
from parlai_cu.parlai_types import ModelAgent, Opt, TrainLoop, World

# flag -> the packages, one of which has to be there
_PACKAGES = {
    "tensorboard_log": ("-tblog", ("tensorboardX", "tensorboard"), "tensorboard tensorboardX"),
    "wandb_log": ("-wblog", ("wandb",), "wandb"),
    "clearml_log": ("-clearmllog", ("clearml",), "clearml"),
}
# what ends a run's part and validates
_VALIDATIONS = ("n_secs", "n_steps", "n_epochs")
# batches of the validation data in whose report a metric is looked for
_BATCHES = 4


def check_settings(opt: Opt) -> None:
    """
    Look at a run's settings before its data and model are loaded.

    :raises UsageError: when a setting names what there is not, or cannot train
    :raises ModelFileError: when ``--init-model`` is missing
    """
    if str(opt.get("model")).removeprefix("cu:") == "deployed":
        raise UsageError(
            "-m deployed serves and does not learn: parlai update_model trains a candidate, gates "
            "it and promotes it"
        )
    if not (opt.get("model_file") or opt.get("dict_file")):
        missing = "no model file; expected -mf PATH, where the model is to be written"
        raise in_place_of(RuntimeError, UsageError(missing))
    for name, (flag, modules, install) in _PACKAGES.items():
        if opt.get(name) and all(importlib.util.find_spec(each) is None for each in modules):
            missing = f"{flag} needs a package: pip install {install}"
            raise in_place_of(ImportError, UsageError(missing))
    if "evalmode" in (opt.get("datatype") or ""):
        raise UsageError(
            f"-dt {opt['datatype']}: nothing is learnt from data in evaluation mode; expected "
            "-dt train (or train:stream, train:ordered); to measure, parlai eval_model"
        )
    if opt.get("final_extra_opt"):
        from parlai.core.opt import Opt

        try:
            Opt.load_init(opt["final_extra_opt"])
        except UsageError as error:
            why = str(error).partition(": ")[2]
            wrong = UsageError(f"--final-extra-opt {opt['final_extra_opt']}: {why}")
            raise in_place_of(error, wrong) from error
    if opt.get("evaltask"):
        from parlai.core.loader import load_teacher_module

        for task in opt["evaltask"].split(","):
            load_teacher_module(task.strip())
    _check_init_model(opt)


def _check_init_model(opt: Opt) -> None:
    from parlai_cu.agents.updating_agent import model_path

    path, model_file = model_path(opt, "init_model"), opt.get("model_file")
    goes_on = any(os.path.isfile(f"{model_file}{end}") for end in ("", ".checkpoint"))
    given = "init_model" in (opt.get("override") or {})
    if path and given and "://" not in path and not os.path.isfile(path) and not goes_on:
        raise ModelFileError(
            f"--init-model {path}: there is no such model file{near_file(path)}; without it "
            "the model would be trained from scratch"
        )


def check_metric(loop: TrainLoop) -> None:
    """
    Look before the first step whether the run's validation has the metric that it is to follow.

    :param loop: ParlAI's TrainLoop
    :raises UsageError: when it has not
    """
    from parlai.scripts.train_model import load_eval_worlds

    opt, metric = loop.opt, loop.opt["validation_metric"]
    validates = any((opt.get(f"validation_every_{each}") or -1) > 0 for each in _VALIDATIONS)
    if not validates or metric in _surely(loop.agent, opt):
        return
    with _as_if_nothing_happened(loop.agent):
        # not kept: the run makes its own where it would have made them
        reported = _reported(load_eval_worlds(loop.agent, opt, "valid"))
    # one of a class is there when an example of that class was
    if not reported or metric in reported or metric.startswith("class_"):
        return
    silent = "accuracy" not in reported and opt.get("skip_generation")
    why = " (--skip-generation true: no replies are written that could be right)" if silent else ""
    near = hint(nearest(metric, reported)) or "; it has " + ", ".join(sorted(reported)[:8])
    other = "; -vmt ppl -vmm min is there" if "ppl" in reported else ""
    missing = f"--validation-metric {metric}: this run's validation has no such metric"
    raise in_place_of(KeyError, UsageError(f"{missing}{why}{near}{other}"))


def _surely(agent: ModelAgent, opt: Opt) -> set[str]:
    """Metrics that a kind of agent always has."""
    from parlai.core.torch_classifier_agent import TorchClassifierAgent

    from parlai_cu.agents import kinds

    kind = kinds.kind_of(agent)
    if kind == "generator":
        writes = not opt.get("skip_generation")
        return {"loss", "ppl", "token_acc"} | ({"accuracy", "f1"} if writes else set())
    if kind == "ranker":
        return {"accuracy", "f1", "loss", "hits@1"}
    if isinstance(agent, TorchClassifierAgent):
        return {"accuracy", "loss", "weighted_f1"}
    # of a classifier that is built on something else, its validation tells
    return set() if kind == "classifier" else {"accuracy"}


def _reported(worlds: Sequence[World]) -> set[str]:
    metrics: set[str] = set()
    for world in worlds:
        world.reset_metrics()
        for _ in range(_BATCHES):
            if world.epoch_done():
                break
            world.parley()
        report = world.report()
        if report.get("exs"):
            metrics |= set(report)
        world.reset()
        world.reset_metrics()
    return metrics


@contextlib.contextmanager
def _as_if_nothing_happened(agent: ModelAgent) -> Iterator[None]:
    """The run draws the random numbers that it would have drawn."""
    import numpy
    import torch

    python, numbers = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    numpy.random.set_state(numbers)
    agent.reset()
    agent.reset_metrics()
