"""ParlAI's validations in the few columns that tell how the training goes, of its thirty."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import parlai.utils.logging as logging
from parlai.core.metrics import dict_report
from parlai.scripts.train_model import TrainLoop
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from parlai_cu.parlai_types import Opt, World
from parlai_cu.retention.metric_info import PREFERRED, lower_is_better
from parlai_cu.update.gate import WORD_FOR_WORD
from parlai_cu.update.steps.reporting import say

_COLUMNS = 100


@contextlib.contextmanager
def training_shown(names: Sequence[str], small: bool = False) -> Iterator[None]:
    """
    Within, ``parlai train_model`` shows a bar, and each evaluation as a table instead of ParlAI's.

    On ``--loglevel debug`` ParlAI's own are left as they are; above ``info`` there is none.

    :param names: of the tasks of ``-et``, in their order
    :param small: of a small update, which is looked at often, each evaluation is a line
    """
    stock, stock_time = TrainLoop._run_eval, TrainLoop._get_time
    bars: dict[int, tqdm] = {}

    def get_time(loop: TrainLoop, world: World) -> Any:
        # what the loop calls after each step
        if id(loop) not in bars:
            steps = loop.opt.get("max_train_steps") or 0
            total = int(steps) if 0 < steps < math.inf else None
            bars[id(loop)] = tqdm(total=total, unit=" steps", delay=2.0, leave=False)
        bars[id(loop)].update(loop._train_steps - bars[id(loop)].n)
        return stock_time(loop, world)

    def run_eval(
        loop: TrainLoop, worlds: Sequence[World], opt: Opt, datatype: str, *args: Any, **more: Any
    ) -> Any:
        if logging.logger.level < logging.INFO:
            return stock(loop, worlds, opt, datatype, *args, **more)
        with _without_reports():
            found = stock(loop, worlds, opt, datatype, *args, **more)
        if logging.logger.level > logging.INFO:
            return found
        ids = [world.getID() for world in worlds]
        called = dict(zip(ids, names if len(names) == len(ids) else ids))
        now = {**dict_report(found), "train_steps": loop._train_steps}
        for bar in bars.values():
            bar.clear()
        if small:
            if not more.get("write_log"):
                say(_learnt(loop, opt, now))
        elif more.get("write_log"):
            # after the training, of the model that is kept
            say(as_table(f"{datatype} data, the best model", called, [now], ""))
        else:
            title = f"validation at step {loop._train_steps}"
            say(as_table(title, called, [*loop.valid_reports, now], opt["validation_metric"]))
        return found

    patched = mock.patch.multiple(TrainLoop, _run_eval=run_eval, _get_time=get_time)
    with patched:
        try:
            yield
        finally:
            for bar in bars.values():
                bar.close()


def _learnt(loop: TrainLoop, opt: Opt, now: Mapping[str, Any]) -> str:
    """How far a small update is learnt, in a line."""
    metric, at = opt["validation_metric"], opt["validation_cutoff"]
    if metric == WORD_FOR_WORD:
        return (
            f"  step {loop._train_steps}: {now.get(metric, 0.0):.0%} are right word for word, "
            f"learnt at {at:.0%}"
        )
    return f"  step {loop._train_steps}: {metric} {_cell(now.get(metric))}, learnt at {at:g}"


def as_table(
    title: str, tasks: Mapping[str, str], reports: Sequence[Mapping[str, Any]], metric: str
) -> str:
    """
    The last report, task by task, beside the best so far.

    :param title: stands above it
    :param tasks: what each is called in the reports -> what it is called here
    :param reports: of all validations, as ParlAI keeps them, with ``train_steps``
    :param metric: of which the best is shown; none where the reports do not have it
    """
    prefixes = [""] if len(tasks) == 1 else [*(f"{task}/" for task in tasks), ""]
    called = list(tasks.values()) if len(tasks) == 1 else [*tasks.values(), "all"]
    now = reports[-1]
    shown = [name for name in PREFERRED if any(prefix + name in now for prefix in prefixes)]
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    table.add_column("task", overflow="fold")
    for heading in ("examples", *shown):
        table.add_column(heading, justify="right")
    has_best = any(prefix + metric in now for prefix in prefixes)
    if has_best:
        table.add_column(f"best {metric} so far")
    for prefix, name in zip(prefixes, called):
        cells = [_cell(now.get(prefix + column)) for column in ("exs", *shown)]
        table.add_row(name, *cells, *([_best(reports, prefix + metric, metric)] * has_best))
    console = Console(width=_COLUMNS, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table, markup=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _best(reports: Sequence[Mapping[str, Any]], key: str, metric: str) -> str:
    found: list[Any] = [(r[key], r["train_steps"]) for r in reports if key in r]
    if not found:
        return ""
    value, step = (min if lower_is_better(metric) else max)(found, key=lambda pair: pair[0])
    return f"{_cell(value)} at step {step}"


def _cell(value: object) -> str:
    if not isinstance(value, (int, float)) or math.isnan(value):
        return ""
    return f"{value:,d}" if isinstance(value, int) else f"{value:.4g}"


@contextlib.contextmanager
def _without_reports() -> Iterator[None]:
    def is_other(record: Any) -> bool:
        return bool(record.levelno != logging.REPORT)

    shown = logging.logger.streamHandler
    shown.addFilter(is_other)
    try:
        yield
    finally:
        shown.removeFilter(is_other)
