"""
ParlAI reads some settings when the work is done: a wrong one costs the run.

Seen with ParlAI 1.7.2: ``-vmt acuracy``, or the default metric with ``--skip-generation true``, is
``KeyError`` at the first validation, with nothing saved; ``-tblog``, ``-wblog`` and ``-clearmllog``
without their packages end after data and model were loaded; ``--final-extra-opt`` is read last of
all. ``train_model -dt train:evalmode`` learns nothing and ends well.
Goes when: never; ParlAI is archived.

Each is looked at before the first step. A metric that is not surely there is looked for in the
report of a few batches of the validation data.
"""

import contextlib
import functools
import importlib.util
import random
from collections.abc import Iterator
from typing import Any

from parlai_cu.errors import UsageError, hint, nearest

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


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI reads metrics, packages and files of a run when the work is done"


def after(module: Any) -> None:
    """
    Look at a run's settings before its first step (train_model).

    :param module: parlai.scripts.train_model
    :raises UsageError: later, when a setting names what there is not
    """
    loop = module.TrainLoop
    stock_init, stock_steps = loop.__init__, loop.train_steps

    @functools.wraps(stock_init)
    def __init__(self: Any, opt: Any) -> None:
        _check_before_work(opt)
        stock_init(self, opt)

    @functools.wraps(stock_steps)
    def train_steps(self: Any) -> Iterator[Any]:
        _check_metric(module, self)
        yield from stock_steps(self)

    loop.__init__ = __init__
    loop.train_steps = train_steps


def _check_before_work(opt: Any) -> None:
    for name, (flag, modules, install) in _PACKAGES.items():
        if opt.get(name) and all(importlib.util.find_spec(each) is None for each in modules):
            raise UsageError(f"{flag} needs a package: pip install {install}")
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
            told = str(error).partition(": ")[2]
            raise UsageError(f"--final-extra-opt {opt['final_extra_opt']}: {told}") from error
    if opt.get("evaltask"):
        from parlai.core.loader import load_teacher_module

        for task in opt["evaltask"].split(","):
            load_teacher_module(task.strip())


def _check_metric(module: Any, loop: Any) -> None:
    opt, metric = loop.opt, loop.opt["validation_metric"]
    validates = any((opt.get(f"validation_every_{each}") or -1) > 0 for each in _VALIDATIONS)
    if not validates or metric in _surely(loop.agent, opt):
        return
    with _as_if_nothing_happened(loop.agent):
        # not kept: the run makes its own where it would have made them
        found = _reported(module.load_eval_worlds(loop.agent, opt, "valid"))
    # one of a class is there when an example of that class was
    if not found or metric in found or metric.startswith("class_"):
        return
    silent = "accuracy" not in found and opt.get("skip_generation")
    why = " (--skip-generation true: no replies are written that could be right)" if silent else ""
    other = "; -vmt ppl -vmm min is there" if "ppl" in found else ""
    raise UsageError(
        f"--validation-metric {metric}: this run's validation has no such metric{why}"
        f"{hint(nearest(metric, found)) or '; it has ' + ', '.join(sorted(found)[:8])}{other}"
    )


def _surely(agent: Any, opt: Any) -> set[str]:
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


def _reported(worlds: Any) -> set[str]:
    found: set[str] = set()
    for world in worlds:
        world.reset_metrics()
        for _ in range(_BATCHES):
            if world.epoch_done():
                break
            world.parley()
        report = world.report()
        if report.get("exs"):
            found |= set(report)
        world.reset()
        world.reset_metrics()
    return found


@contextlib.contextmanager
def _as_if_nothing_happened(agent: Any) -> Iterator[None]:
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
