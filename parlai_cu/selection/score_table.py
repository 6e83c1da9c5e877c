"""The scores of a model's parameters in a terminal."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from parlai_cu.selection.auto import ParameterChoice
from parlai_cu.selection.scores import SCORES, Scores


@contextlib.contextmanager
def progress(
    total: int, what: str = "gradients of examples", console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """
    A bar while scores are computed.

    Yields what is to be called with the number of examples so far.

    :param total: how many examples there are at most
    :param what: what stands before the bar
    :param console: where it is drawn (default: stderr)
    """
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # on stderr: what a script reads is on stdout
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def score_table(scores: Scores, shown: list[str], choice: ParameterChoice) -> Table:
    """
    The groups of tensors, the best to tune first.

    :param scores: of the model
    :param shown: which scores; the first one ranks
    :param choice: what is proposed; its groups are marked
    """
    table = Table(
        title=f"parameters by {shown[0]} ({_order(shown[0])} first)", title_justify="left"
    )
    table.add_column("", justify="right")
    table.add_column("block")
    table.add_column("kind")
    table.add_column("parameters", justify="right")
    table.add_column("share", justify="right")
    for name in shown:
        table.add_column(name, justify="right")
    table.add_column("proposed")
    chosen = chosen_groups(scores, choice)
    for rank, ((block, kind), sums) in enumerate(scores.ranked(shown[0]), 1):
        table.add_row(
            str(rank),
            block,
            kind,
            f"{sums.numel:,d}",
            f"{sums.numel / scores.numel:.1%}",
            *(f"{SCORES[name][0](sums):.3g}" for name in shown),
            "yes" if (block, kind) in chosen else "",
            style="bold" if (block, kind) in chosen else None,
        )
    return table


def chosen_groups(scores: Scores, choice: ParameterChoice) -> set:
    """The (block, kind) of the chosen tensors."""
    names = set(choice.names)
    return {(t.block, t.kind) for t in scores.tensors if t.tensor.name in names}


def print_scores(
    scores: Scores, shown: list[str], choice: ParameterChoice, console: Console | None = None
) -> None:
    """
    Print the table, and the proposed ``--tune`` with its share of the parameters.

    :param scores: of the model
    :param shown: which scores
    :param choice: what is proposed
    :param console: where to print (default: stdout)
    """
    console = console or Console()
    if not console.is_terminal:
        # a file is as wide as its lines
        console.width = max(console.width, 160)
    console.print(score_table(scores, shown, choice))
    if scores.retained_draws:
        cosine = SCORES["cosine"][0](scores.whole())
        console.print(f"cosine between the update's gradient and the old data's: {cosine:+.3f}")
    console.print(
        f"proposed, {choice.numel:,d} of {scores.numel:,d} parameters ({choice.share:.1%}):"
    )
    # as one line that can be copied, however wide the terminal
    console.print(f"--tune '{choice.tune}'", soft_wrap=True, highlight=False, markup=False)


def _order(score: str) -> str:
    return "the highest" if SCORES[score][1] else "the lowest"
