"""The scores of a model's parameters as pictures and as one HTML file."""

import base64
import math
import os
from types import ModuleType
from typing import Any

from parlai_cu import files
from parlai_cu.pages import rendered
from parlai_cu.selection.auto import ParameterChoice
from parlai_cu.selection.score_table import chosen_groups
from parlai_cu.selection.scores import SCORES, Scores

HOW_TO_GET = "pictures need matplotlib: pip install 'parlai-cu[plots]'"
_KINDS = ("attention", "ffn", "norm", "embeddings", "head", "other")
# bars beyond these would not be read
_MOST_BARS = 40


def pyplot() -> Any | None:
    """matplotlib's pyplot, drawing to files; None where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def heat_map(plt: ModuleType, scores: Scores, shown: list[str], path: str) -> None:
    """
    A panel for each score: blocks down, kinds across, the colour the score.

    :param plt: see :func:`pyplot`
    :param scores: of the model
    :param shown: which scores
    :param path: of the PNG
    """
    groups = scores.groups()
    blocks = list(dict.fromkeys(block for block, _ in groups))
    kinds = [kind for kind in _KINDS if any(k == kind for _, k in groups)]
    figure, panels = plt.subplots(
        1,
        len(shown),
        figsize=(2.2 + (0.7 * len(kinds) + 0.9) * len(shown), 1.4 + 0.34 * len(blocks)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, name in zip(panels[0], shown):
        values = {key: SCORES[name][0](sums) for key, sums in groups.items()}
        grid = [[values.get((block, kind), math.nan) for kind in kinds] for block in blocks]
        image = axes.imshow(grid, aspect="auto", **_scale(plt, name, list(values.values())))
        axes.set_title(f"{name}\n{_better(name)}", fontsize=9)
        axes.set_xticks(range(len(kinds)), kinds, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(blocks)), blocks, fontsize=8)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.ax.tick_params(which="both", labelsize=7)
    _save(plt, figure, path)


def _scale(plt: ModuleType, name: str, values: list[float]) -> dict[str, Any]:
    """Bright is good; on a logarithmic scale, but for the cosine."""
    from matplotlib.colors import LogNorm

    if name == "cosine":
        most = max(map(abs, values)) or 1.0
        return {"cmap": "RdBu", "vmin": -most, "vmax": most}
    cmap = "viridis" if SCORES[name][1] else "viridis_r"
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 2 * min(positive):
        return {"cmap": cmap}
    return {"cmap": cmap, "norm": LogNorm(min(positive), max(positive))}


def bar_chart(
    plt: ModuleType, scores: Scores, score: str, choice: ParameterChoice, path: str
) -> None:
    """
    The groups by one score, the best at the top; what is proposed is filled.

    :param plt: see :func:`pyplot`
    :param scores: of the model
    :param score: which one
    :param choice: what is proposed
    :param path: of the PNG
    """
    ranked = scores.ranked(score)
    bars = ranked[:_MOST_BARS]
    chosen = chosen_groups(scores, choice)
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.26 * len(bars)), layout="constrained")
    colours = {kind: f"C{i}" for i, kind in enumerate(_KINDS)}
    for place, ((block, kind), sums) in enumerate(bars):
        axes.barh(
            place,
            SCORES[score][0](sums),
            color=colours[kind] if (block, kind) in chosen else "none",
            edgecolor=colours[kind],
        )
    axes.set_yticks(
        range(len(bars)),
        [f"{b}  {k}  {s.numel / scores.numel:.1%}" for (b, k), s in bars],
        fontsize=8,
    )
    axes.set_ylim(len(bars) - 0.4, -0.6)
    more = "" if len(bars) == len(ranked) else f", the first {len(bars)} of {len(ranked)}"
    axes.set_title(f"{score} ({_better(score)}{more})", fontsize=10)
    seen = [kind for kind in _KINDS if any(k == kind for (_, k), _ in bars)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=colours[kind]) for kind in seen]
    filled = plt.Rectangle((0, 0), 1, 1, facecolor="grey", edgecolor="grey")
    hollow = plt.Rectangle((0, 0), 1, 1, facecolor="none", edgecolor="grey")
    axes.legend(
        [*handles, filled, hollow], [*seen, "proposed", "not proposed"], fontsize=8, loc="best"
    )
    _save(plt, figure, path)


def page(
    scores: Scores,
    shown: list[str],
    choice: ParameterChoice,
    about: dict[str, str],
    pictures: list[str],
) -> str:
    """
    All of it as one HTML file that needs no other.

    :param scores: of the model
    :param shown: which scores
    :param choice: what is proposed
    :param about: what was scored, by label
    :param pictures: paths of PNG files, put into the page
    """
    images = []
    for path in pictures:
        with open(path, "rb") as f:
            images.append((os.path.basename(path), base64.b64encode(f.read()).decode()))
    chosen = chosen_groups(scores, choice)
    return rendered(
        __file__,
        "scores.html",
        about=about,
        choice=choice,
        scores=scores,
        images=images,
        shown=shown,
        groups=[
            (key in chosen, [*key, f"{s.numel:,d}", *_values(s, shown)])
            for key, s in scores.ranked(shown[0])
        ],
        tensors=[
            (
                t.tensor.name in choice.names,
                [" = ".join(t.tensor.names), t.kind, f"{t.sums.numel:,d}", *_values(t.sums, shown)],
            )
            for t in scores.tensors
        ],
    )


def _values(sums: Any, shown: list[str]) -> list[str]:
    return [f"{SCORES[name][0](sums):.3g}" for name in shown]


def _better(score: str) -> str:
    return "more is better" if SCORES[score][1] else "less is better"


def _save(plt: ModuleType, figure: Any, path: str) -> None:
    with files.whole(path) as aside:
        figure.savefig(aside, dpi=110, format="png")
    plt.close(figure)
