"""Scores of the parameters of any ParlAI model, from the tasks that a command names."""

import json
from collections.abc import Callable
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.agents import create_agent
from parlai.core.opt import Opt
from parlai.utils.distributed import is_primary_worker, sync_object

from parlai_cu import files
from parlai_cu.agents import example_losses, model_files, replay
from parlai_cu.agents.teacher import same_random_numbers
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.selection.auto import Auto, choose, find_auto, replace_auto
from parlai_cu.selection.catalogue import list_tensors
from parlai_cu.selection.patterns import select
from parlai_cu.selection.scores import Scores, score_parameters

# of each task
NUM_EXAMPLES = 256


def score_agent(
    agent: ModelAgent,
    opt: Opt,
    task: str,
    retain_task: str | None = None,
    num_examples: int = NUM_EXAMPLES,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Scores:
    """
    Score the parameters of an agent's model on training data of ParlAI tasks.

    A draw is one example, or of a ranker with the batch as candidates 16 of them.

    :param agent: loaded; its model is unchanged afterwards
    :param opt: the options of the tasks' teachers
    :param task: the update, as for ``-t``
    :param retain_task: old data, the same
    :param num_examples: of each, at most
    :param seed: of the drawing of examples
    :param on_progress: called after each draw with the number of examples so far
    """
    size = example_losses.draw_size(agent)
    counted = None if on_progress is None else (lambda draws: on_progress(draws * size))

    def losses(name: str) -> Any:
        return example_losses.sampled_losses(agent, name, opt, num_examples, seed)

    with same_random_numbers():
        old = losses(retain_task) if retain_task else None
        return score_parameters(agent.model, losses(task), old, counted)


def check_auto(opt: Opt) -> None:
    """
    Refuse a ``--tune auto`` that cannot work, before any work.

    :param opt: options of a training run of ours
    :raises PatternError: when it is not understood
    :raises UsageError: when it needs old data and none is named
    """
    auto = find_auto(opt.get("tune"))
    if auto is None:
        return
    if auto.needs_retained and not replay.sample_file(opt):
        raise UsageError(
            f"--tune {opt['tune']}: {auto.score} compares the update with old data; name it by "
            "--replay-task"
        )


def settle_auto(
    opt: Opt, model: torch.nn.Module, previous: dict[str, Any] | None
) -> dict[str, Any] | None:
    """
    What the ``auto`` of ``--tune`` means in this run.

    Scored once: a run that is resumed goes on with what is on record.

    :param opt: options of the run
    :param model: of the run, loaded
    :param previous: the record in the checkpoint that is resumed, if there is one
    :return: for the record, in ``tune`` the patterns; None without ``auto``
    :raises UsageError: when the run was begun with another ``--tune``
    """
    auto = find_auto(opt.get("tune"))
    if auto is None:
        return None
    if previous is not None:
        known: dict[str, Any] | None = previous.get("auto")
        if known is None or known["asked"] != opt["tune"]:
            begun = f"--tune {known['asked']}" if known else previous["chosen_by"]
            raise UsageError(
                f"-mf {opt['model_file']} was begun with {begun} and cannot go on with --tune "
                f"{opt['tune']}; repeat the first selection, or choose another -mf"
            )
        return known
    settled = _settle(opt, model, auto)
    # all processes score alike; rounding on their devices may still differ
    settled["tune"] = sync_object(settled["tune"])
    if is_primary_worker() and opt.get("model_file"):
        write_scores(f"{opt['model_file']}.scores.json", settled)
    return settled


def _settle(opt: Opt, model: torch.nn.Module, auto: Auto) -> dict[str, Any]:
    from parlai_cu.selection.score_table import progress

    tensors = list_tensors(model)
    eligible = select(tensors, None, opt["freeze"]).selected if opt.get("freeze") else None
    sample = replay.sample_file(opt)
    old = replay.task_of(sample) if sample else None
    update = ",".join(task for task in opt["task"].split(",") if task != old)
    seed = opt.get("seed") or 0
    logging.info(f"--tune {opt['tune']}: scoring the parameters on the update")
    with progress(NUM_EXAMPLES * (2 if old else 1)) as on_progress:
        agent = _reading_agent(opt)
        scores = score_agent(agent, opt, update, old, NUM_EXAMPLES, seed, on_progress)
    choice = choose(scores, auto, tensors, eligible)
    logging.info(f"--tune {opt['tune']} chose --tune '{choice.tune}' ({choice.share:.1%})")
    return {
        "asked": opt["tune"],
        "tune": replace_auto(opt["tune"], choice.tune),
        "score": auto.score,
        "fraction": auto.fraction,
        "share": choice.share,
        "seed": seed,
        "scores": scores.as_dict(),
    }


def _reading_agent(opt: Opt) -> Any:
    """The agent that the run begins with, to be read only."""
    options = Opt({**opt, "model": opt["base_agent"], "datatype": "valid"})
    # the weights are those of --init-model, in full precision
    options.update(model_file=None, interactive_mode=False, fp16=False, override={})
    with same_random_numbers():
        agent = create_agent(options)
    # every agent wraps its model for distributed training; this one does not train
    if isinstance(agent.model, torch.nn.parallel.DistributedDataParallel):
        agent.model = agent.model.module
    return agent


def write_scores(path: str, content: dict[str, Any]) -> None:
    """Write scores, the ``content``, as JSON, whole or not at all."""
    model_files.check_writable(path)
    files.write_text(path, json.dumps(content, indent=1))
