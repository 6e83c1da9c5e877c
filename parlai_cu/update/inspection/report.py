"""What is told of data: on the terminal, and as one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from typing import Any

from parlai_cu import plugin
from parlai_cu.pages import rendered
from parlai_cu.update.inspection.inspection import Inspection, Repaired, check

# findings of a check that are shown on the terminal
_SHOWN = 3
_COLUMNS = 110


def lines(inspection: Inspection) -> list[str]:
    """An inspection for the terminal."""
    found = [f"{name:34} {value}" for name, value in figure_rows(inspection.figures)]
    by_check = inspection.by_check()
    total = max(1, len(inspection.data.conversations))
    if not by_check:
        found += ["", "no fault was found"]
    for name in plugin.DATA_CHECKS:
        held = by_check.get(name)
        if held:
            share = len({one.index for one in held}) / total
            found += ["", f"{len(held)} {check(name).title} ({share:.1%} of the conversations)"]
            for one in held[:_SHOWN]:
                other = f" {one.other}" if one.other else ""
                line = f"  {inspection.place(one)}: {one.detail}{other}"
                found.append(line if len(line) <= _COLUMNS else line[: _COLUMNS - 3] + "...")
            if len(held) > _SHOWN:
                found.append(f"  and {len(held) - _SHOWN} more")
    if inspection.outliers:
        found += ["", "strangest to the live model (loss per token)"]
        for place, context, answer, loss in inspection.outliers:
            said = context.split("\n")[-1]
            found.append(f"  {loss:6.2f}  {place}: {said[:40]!r} -> {answer[:40]!r}")
    return found


def figure_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of data in words."""
    rows = []
    for name, value in figures.items():
        if isinstance(value, dict) and set(value) == {"median", "longest"}:
            said = f"{value['median']} (longest {value['longest']})"
        elif isinstance(value, dict):
            said = ", ".join(
                f"{key} {held:.0%}" if isinstance(held, float) else f"{key} {held:,d}"
                for key, held in value.items()
            )
        else:
            said = f"{value:.1%}" if isinstance(value, float) else f"{value:,d}"
        rows.append((name, said or "unknown"))
    return rows


def repaired_lines(repaired: Repaired, written: Sequence[str]) -> list[str]:
    """
    What ``--fix`` did.

    :param repaired: the data without its faults
    :param written: the files
    """
    found = [f"{written[0]}: {len(repaired.kept)} conversations"]
    for name, count in repaired.done.items():
        found.append(f"  {count} with {check(name).title}: {check(name).repair}")
    if repaired.left_out:
        found.append(f"{written[1]}: {len(repaired.left_out)} that were left out, and why")
    return found


def html(inspection: Inspection, title: str, summary: Sequence[str]) -> str:
    """
    An inspection as a page without any link to elsewhere.

    :param inspection: what was found
    :param title: of the data
    :param summary: what was understood of its files
    """
    checks = []
    for name, held in inspection.by_check().items():
        looked = check(name)
        rows = [(inspection.place(one), one.detail, one.other or "") for one in held]
        checks.append({"title": looked.title, "repair": looked.repair, "rows": rows})
    return rendered(
        __file__,
        "report.html",
        title=title,
        summary=summary,
        figures=figure_rows(inspection.figures),
        checks=checks,
        outliers=inspection.outliers,
    )
