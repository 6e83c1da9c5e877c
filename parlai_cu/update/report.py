"""What is told of an update: on the terminal, as JSON, and as one HTML file that needs no other."""

import dataclasses
import difflib
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from parlai_cu.pages import rendered
from parlai_cu.update.choice import ModeChoice
from parlai_cu.update.diagnosis import Diagnosis
from parlai_cu.update.safety import Pair
from parlai_cu.update.wording import Example, tokens

_COLUMNS = 100
_WIDTH, _HEIGHT = 460, 190
_LEFT, _BOTTOM = 46, 24
# field of the diagnosis -> what people call it
_SHARES = {
    "new_words": "words that old data does not have",
    "new_names": "examples with a new name or number",
    "known_questions": "wording of the questions that is known",
    "known_answers": "wording of the answers that is known",
    "fact_like": "answers that tell values",
    "in_kb": "of those: the knowledge base has them",
    "told_already": "of those: the live model tells them already",
    "told_old": "of the values in old answers: it tells them",
    "unwritable": "answers that the live model's dictionary cannot spell",
}


def plain(diagnosis: Diagnosis, listed: int) -> dict[str, Any]:
    """
    The diagnosis as plain values.

    :param diagnosis: of the update
    :param listed: how many contradictory pairs at most
    """
    held = {field.name: getattr(diagnosis, field.name) for field in dataclasses.fields(diagnosis)}
    for name in ("question_shift", "answer_shift"):
        held[name] = dataclasses.asdict(held[name]) if held[name] else None
    for name in ("contradictions", "conflicts"):
        found: Sequence[tuple[Example, Example]] = held[name]
        held[f"{name}_found"] = len(found)
        held[name] = [
            {"context": one.context, "answer": one.label, "other": other.label}
            for one, other in found[:listed]
        ]
    held["distance"] = diagnosis.distance
    return held


def diagnosis_rows(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A diagnosis (``held``: as :func:`plain` gives it) as lines of (what, how much)."""
    rows = [
        ("training examples", f"{held['examples']:,d}, {held['distinct']:,d} of them different"),
        ("different facts told", f"{held['contents']:,d}"),
        ("loss of the live model on the update", f"{held['loss_update']:.3f}"),
    ]
    if held["loss_old"] is not None:
        rows.append(("loss of the live model on old data", f"{held['loss_old']:.3f}"))
    for name, what in _SHARES.items():
        if held[name] is not None:
            rows.append((what, f"{held[name]:.0%}"))
    for name, what in (("question_shift", "questions"), ("answer_shift", "answers")):
        if held[name] is not None:
            shift = held[name]
            rows.append(
                (
                    f"new {what} told from old ones by a classifier (chance 50%)",
                    f"{shift['accuracy']:.0%} of {shift['held_out']}, p = {shift['p_value']:.1g}",
                )
            )
    if held["gradient_conflict"] is not None:
        rows.append(("cosine of gradients, update and old", f"{held['gradient_conflict']:+.2f}"))
    rows.append(("examples that contradict each other", f"{held['contradictions_found']}"))
    rows.append(("old answers that are contradicted", f"{held['conflicts_found']}"))
    rows.append(("old data", held["old_source"]))
    return rows


def choice_text(choice: ModeChoice, diagnosis: Diagnosis, listed: int) -> str:
    """
    Diagnosis and choice for the terminal, with so many contradictory pairs ``listed`` at most.
    """
    held = plain(diagnosis, listed)
    lines = [f"  {what:<62} {value}" for what, value in diagnosis_rows(held)]
    for pair in held["contradictions"]:
        lines.append(f"  contradictory: {pair['context']!r}")
        lines.append(f"      {pair['answer']!r} and {pair['other']!r}")
    lines += ["", "-- choice (overrule it with --mode)"]
    for row in choice.table:
        mark = "*" if row.mode == choice.mode and row.fits else " "
        fits = "fits" if row.fits else "does not fit"
        lines.append(f"{mark} if {row.case}: {row.mode} ({fits})")
        lines += _wrapped(row.why, "      ")
    tune = f" --tune '{choice.tune}'" if choice.tune else ""
    case = "" if choice.overruled else f" ({choice.case})"
    chosen = f"chosen: {choice.mode}{tune}{case}: {choice.reason}"
    return "\n".join([*lines, *_wrapped(chosen, "")])


def verdict_text(about: Mapping[str, Any]) -> str:
    """The verdict for the terminal; ``about``: the report as plain values."""
    verdict = about["verdict"]
    trained = bool(about["training"])
    lines = [f"-- {verdict['decision'].upper() if trained else 'nothing was trained'}"]
    for check in verdict["checks"]:
        lines += _wrapped(f"{check['result']:<15} {check['name']}: {check['reason']}", "  ")
    if about["version"]:
        state = "is live" if about["promoted"] else f"is kept, {about['live']} stays live"
        lines.append(f"version {about['version']} {state}")
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines that a terminal shows whole."""
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def most_changed(pairs: Sequence[Pair], count: int) -> list[dict[str, Any]]:
    """Examples whose replies differ most, of every task the same number; ``count`` at most."""
    ranked = sorted(
        ((1 - _alike(pair.before, pair.after), i, pair) for i, pair in enumerate(pairs)),
        key=lambda row: (-row[0], row[1]),
    )
    by_task: dict[str, list[Any]] = {}
    for row in ranked:
        by_task.setdefault(row[2].task, []).append(row)
    share = max(1, count // max(len(by_task), 1))
    chosen = [row for rows in by_task.values() for row in rows[:share]]
    chosen.sort(key=lambda row: (-row[0], row[1]))
    return [
        {**dataclasses.asdict(pair), "changed": round(changed, 3)}
        for changed, _, pair in chosen[:count]
    ]


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, tokens(one), tokens(other), autojunk=False).ratio()


# -- HTML -------------------------------------------------------------------------------------


def html(about: Mapping[str, Any]) -> str:
    """The report (``about``: as plain values) as a page without any link to elsewhere."""
    return rendered(
        __file__,
        "report.html",
        about=about,
        verdict=about["verdict"],
        diagnosis=diagnosis_rows(about["diagnosis"]),
        intervals=[interval(check) for check in about["verdict"]["checks"] if "low" in check],
        curves=[curve for run in about["training"] for curve in curves(run)],
        words=changed_words,
    )


def interval(check: Mapping[str, Any]) -> dict[str, Any]:
    """A check's change and its bounds as places on a line from -1 to 1, 0 being no change."""
    limit = -check["limit"] if check["kind"] == "retained" else check["limit"]
    reach = 1.15 * max(abs(check["low"]), abs(check["high"]), abs(limit), 1e-6)
    places = {name: check[name] / reach for name in ("low", "high", "change")}
    return {**check, "limit_at": limit, "places": {**places, "limit": limit / reach}}


def curves(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Learning curves of a run, one picture for each metric of validation and one for the loss."""
    pictures = []
    train = [(row["step"], row["loss"]) for row in run["train"] if "loss" in row]
    if train:
        pictures.append(_picture("loss in training", {"loss": train}))
    names = sorted({name.rsplit("/", 1)[-1] for row in run["valid"] for name in row} - {"step"})
    for metric in names:
        keys = sorted({k for row in run["valid"] for k in row if k.endswith(f"/{metric}")})
        lines = {
            _short(key[: -len(metric) - 1]): [
                (row["step"], row[key]) for row in run["valid"] if key in row
            ]
            for key in keys or [metric]
        }
        if metric in ("ppl", "accuracy", "hits@1") and any(len(v) > 1 for v in lines.values()):
            pictures.append(_picture(f"{metric} in validation", lines))
    return pictures


def _short(task: str) -> str:
    """A task without the folders in its name."""
    return os.path.basename(task.split("=")[1].split(":")[0]) if "=" in task else task


def _picture(title: str, lines: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    wide, tall = max(right - left, 1e-9), max(high - low, 1e-9)

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - left) / wide * (_WIDTH - _LEFT - 8)
        down = 8 + (high - y) / tall * (_HEIGHT - _BOTTOM - 16)
        return f"{across:.1f},{down:.1f}"

    return {
        "title": title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "lines": [
            {"name": name, "points": " ".join(place(x, y) for x, y in line)}
            for name, line in lines.items()
        ],
        "top": f"{high:.3g}",
        "bottom": f"{low:.3g}",
        "first": f"{left:g}",
        "last": f"{right:g}",
    }


def changed_words(before: str, after: str) -> list[tuple[str, bool]]:
    """The text ``after`` in pieces, each with whether the text ``before`` has it not."""
    one, other = before.split(), after.split()
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    pieces: list[tuple[str, bool]] = []
    for action, _, _, start, end in matcher.get_opcodes():
        if end > start:
            pieces.append((" ".join(other[start:end]), action != "equal"))
    return pieces
