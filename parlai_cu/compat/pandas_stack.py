"""
``DataFrame.stack`` warns since pandas 2.1 (2023) and works otherwise since 3.0 (2026).

Seen: with pandas 2.1 to 2.3 every report of train_model and eval_model comes with three lines
of FutureWarning. With pandas 3 the columns of a multi-task report are no longer sorted, and
a metric that is not a number leaves an empty column (``parlai/utils/misc.py``, line 413).
Goes when: ParlAI builds its table without ``stack``.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active, or None."""
    # by the version: to look into pandas takes half a second, and many runs print no report
    try:
        installed = importlib.metadata.version("pandas")
    except importlib.metadata.PackageNotFoundError:
        return None
    if tuple(int(number) for number in re.findall(r"\d+", installed)[:2]) < (2, 1):
        return None
    return f"pandas {installed} stacks tables in another way than ParlAI's reports expect"


def after(module: ModuleType) -> None:
    """Let ``nice_report`` make its table the new way, in the old order."""
    misc: Any = module
    stock = misc.nice_report

    def nice_report(report: Mapping[str, Any]) -> str:
        try:
            import pandas
        except ImportError:
            return str(stock(report))
        if not report:
            return ""
        from parlai.core.metrics import Metric

        row: dict[Any, Any] = {}
        for key in sorted(report, key=misc._report_sort_key):
            value = report[key]
            row[misc._report_sort_key(key)] = value.value() if isinstance(value, Metric) else value
        frame = pandas.DataFrame([row])
        frame.columns = pandas.MultiIndex.from_tuples(frame.columns)
        table = frame.stack(future_stack=True).dropna(how="all").sort_index().sort_index(axis=1)
        table = table.transpose().droplevel(0, axis=1)
        text = table.to_string(
            na_rep="",
            line_width=misc._line_width() - 3,
            float_format=misc.float_formatter,
            index=table.shape[0] > 1,
        )
        lines = text.replace("\n\n", "\n").replace("\n", "\n   ")
        return ("   " + lines).rstrip()

    nice_report.__doc__ = stock.__doc__
    misc.nice_report = nice_report
