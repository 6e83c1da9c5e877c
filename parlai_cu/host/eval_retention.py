"""
``parlai eval_model`` judges one model alone, and gives no idea of chance.

Seen with ParlAI 1.7.2: two reports, of the deployed model and of the candidate, that differ by
.01 in f1, and nobody can say whether skill was lost.

With ``--base-model-file deployed/model`` the candidate (``-mf``) and the deployed model are
evaluated on the same examples, and the report ends with the difference on each task, its interval
by a bootstrap over conversations, and what the pair says of forgetting and transfer. Without the
flag the command is stock.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from parlai_cu.errors import UsageError, nearest
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import ModelAgent, Opt, Parser
from parlai_cu.retention import metrics
from parlai_cu.retention.metric_info import (
    PREFERRED,
    direction,
    is_logarithmic,
    lower_is_better,
)
from parlai_cu.retention.paired import both_measured, paired_difference
from parlai_cu.unread_flags import Dependent, never, refuse_unread

_DEPENDENT = Dependent(
    ("retention_metric", "update_task"), never, "without --base-model-file DEPLOYED"
)


@instead_of("parlai.scripts.eval_model:setup_args")
def _setup_args(stock: Stock, parser: Parser | None = None) -> Any:
    parser = stock(parser)
    group = parser.add_argument_group("Retention Arguments")
    group.add_argument(
        "--base-model-file",
        help="the deployed model, to compare the candidate (-mf) with on the same examples",
    )
    group.add_argument(
        "--retention-metric", help="what to compare (default: the first of ppl, accuracy, ...)"
    )
    group.add_argument(
        "--update-task", help="which of -t is the update (default: the last of several)"
    )
    return parser


@instead_of("parlai.scripts.eval_model:eval_model")
def _eval_model(stock: Stock, opt: Opt) -> Any:
    if not opt.get("base_model_file"):
        refuse_unread(opt, (_DEPENDENT,))
        return stock(opt)
    from parlai.scripts import eval_model as module

    base_opt = _base_opt(opt)
    with _collecting() as seen_of_candidate:
        report = stock(opt)
    with _collecting() as seen_of_base:
        agent = module.create_agent(base_opt, requireModelExists=True)
        for task in opt["task"].split(","):
            module._eval_single_world(base_opt, agent, task)
    pairs = [_paired(*both) for both in zip(seen_of_base, seen_of_candidate)]
    comparison = compare(
        opt["task"].split(","),
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        opt.get("retention_metric"),
        opt.get("update_task"),
    )
    print(table(comparison))
    report["retention"] = comparison
    module._save_eval_stats(opt, report)
    return report


def _base_opt(opt: Opt) -> Any:
    from parlai.core.build_data import modelzoo_path

    from parlai_cu.agents import model_files

    path = modelzoo_path(opt.get("datapath"), opt["base_model_file"])
    model_files.read_opt(path, "--base-model-file")
    base = opt.copy()
    base["model_file"] = path
    # what was said of the candidate's model only
    own = {"model_file", "model", "init_model", "dict_file"}
    base["override"] = {k: v for k, v in (opt.get("override") or {}).items() if k not in own}
    for name in own - {"model_file"}:
        base.pop(name, None)
    return base


@contextlib.contextmanager
def _collecting() -> Iterator[list[list[Any]]]:
    """What every answer adds to every averaged metric, a list a task."""
    from parlai.scripts import eval_model as module

    from parlai_cu.update.steps.evaluation import watching

    tasks: list[list[Any]] = []
    stock_world = module._eval_single_world

    def eval_single_world(opt: Opt, agent: ModelAgent, task: str) -> Any:
        with watching() as answers:
            tasks.append(answers)
            return stock_world(opt, agent, task)

    with mock.patch.object(module, "_eval_single_world", eval_single_world):
        yield tasks


def _paired(base: Sequence[Any], candidate: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The same examples in the same order; of equal ones the first beside the first."""
    groups: dict[Any, tuple[list[Any], list[Any]]] = {}
    for which, answers in enumerate((base, candidate)):
        for one in answers:
            groups.setdefault((one.example.context, one.example.label), ([], []))[which].append(one)
    rows: list[tuple[Any, Any]] = []
    for group in groups.values():
        for one, other in itertools.zip_longest(*group):
            # whom one model has no answer to is left out, by having none of any metric
            rows.append((one or other.without(), other or one.without()))
    return [row[0] for row in rows], [row[1] for row in rows]


def compare(
    tasks: list[str],
    base: Sequence[Sequence[Any]],
    candidate: Sequence[Sequence[Any]],
    metric: str | None,
    update: str | None,
) -> dict[str, Any]:
    """
    The differences on each task, and the R matrix of the pair.

    Its first row is the base, trained on the old tasks, its second the candidate, trained on the
    update. Scores are such that higher is better: of perplexity, minus its logarithm.

    :param tasks: their names
    :param base: of each task what the base answered, as ``update.steps.evaluation.Measured``
    :param candidate: of the candidate, likewise
    :param metric: by default the first of the preferred ones that every task has
    :param update: which task is the update; by default the last of several
    :raises UsageError: when the metric or the task is unknown
    """
    from parlai_cu.update.steps.evaluation import sums

    shared = set.intersection(
        *({name for one in answers for name in one.sums} for answers in [*base, *candidate])
    )
    names = [name for name in PREFERRED if name in shared] + sorted(shared - set(PREFERRED))
    if not names or (metric is not None and metric not in names):
        close = nearest(metric or "", names) or names or ["none: evaluate with labels"]
        raise UsageError(f"--retention-metric {metric}: nearest of those there: {', '.join(close)}")
    metric = metric or names[0]
    exponential = is_logarithmic(metric)
    rows: list[dict[str, Any]] = []
    updates = update.split(",") if update else tasks[-1:] if len(tasks) > 1 else []
    unknown = [name for name in updates if name not in tasks]
    if unknown:
        close = nearest(unknown[0], tasks) or tasks
        raise UsageError(f"--update-task {unknown[0]}: nearest of -t: {', '.join(close)}")
    for task, of_base, of_candidate in zip(tasks, base, candidate):
        one, other = sums(of_base, metric), sums(of_candidate, metric)
        has = one.count > 0, other.count > 0
        if not (has[0] & has[1]).any():
            raise UsageError(
                f"--retention-metric {metric}: no example of {task} has it of both models"
            )
        one, other = both_measured(one, other)
        paired = paired_difference(one, other, exponential=exponential)
        rows.append(
            {
                "task": task,
                "role": "update" if task in updates else "old",
                "examples": len(one.total),
                "conversations": paired.conversations,
                "left_out": {
                    "base": int((~has[0] & has[1]).sum()),
                    "candidate": int((has[0] & ~has[1]).sum()),
                },
                "base": paired.base,
                "candidate": paired.candidate,
                "difference": paired.difference,
                "interval": [paired.low, paired.high],
                "significant": paired.is_significant,
            }
        )
    result: dict[str, Any] = {"metric": metric, "level": 0.95, "tasks": rows}
    sign = direction(metric)

    def score(row: dict[str, Any], which: str) -> float:
        return float(-np.log(row[which])) if exponential else sign * float(row[which])

    old = [row for row in rows if row["role"] == "old"]
    new = [row for row in rows if row["role"] == "update"]
    if old and new:
        r = np.array(
            [
                [np.mean([score(row, which) for row in part]) for part in (old, new)]
                for which in ("base", "candidate")
            ]
        )
        result["R"] = r.tolist()
        result["acc"] = metrics.average_accuracy(r)
        result["bwt"] = metrics.backward_transfer(r)
        result["forgetting"] = metrics.forgetting(r)
        if not lower_is_better(metric):
            result["fwt"] = metrics.forward_transfer(r, np.zeros(2))
    return result


def table(comparison: dict[str, Any]) -> str:
    """The comparison as text."""
    metric = comparison["metric"]
    lines = [
        "",
        f"{metric} of the candidate beside the base, with 95% intervals by conversation",
        f"{'task':<42} {'role':<7} {'base':>9} {'candidate':>9} {'difference':>27}",
    ]
    for row in comparison["tasks"]:
        low, high = row["interval"]
        mark = " *" if row["significant"] else ""
        name = row["task"] if len(row["task"]) <= 42 else "..." + row["task"][-39:]
        lines.append(
            f"{name:<42} {row['role']:<7} {row['base']:>9.4g} {row['candidate']:>9.4g} "
            f"{row['difference']:>+9.3g} [{low:+.3g}, {high:+.3g}]{mark}"
        )
    for row in comparison["tasks"]:
        left = [f"{n} of the {which}" for which, n in row["left_out"].items() if n]
        if left:
            lines.append(
                f"{row['task']}: {row['examples']} examples are compared; without {metric} are "
                f"{', '.join(left)}"
            )
    if "R" in comparison:
        unit = " (of minus the logarithm)" if metric == "ppl" else ""
        parts = [
            f"{n.upper()} {comparison[n]:+.4f}" for n in ("acc", "bwt", "fwt") if n in comparison
        ]
        lines.append(", ".join([*parts, f"forgetting {comparison['forgetting']:+.4f}"]) + unit)
    lines.append("* the interval excludes no difference")
    return "\n".join(lines)
