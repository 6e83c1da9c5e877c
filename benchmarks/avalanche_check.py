"""
Our EWC, LwF and replay beside Avalanche's: same data, same network, same start, one run.

First the numbers they are made of (Fisher information, penalty, soft-label loss), which must be
equal; then what comes of them on a small stream: ten digits (8 x 8 pixels, scikit-learn), and the
same digits with their pixels in another order. Both libraries go on from the same network, trained
on the first; the accuracies are on test digits that neither saw.

    pip install avalanche-lib
    python benchmarks/avalanche_check.py --out bench/avalanche_check

Needs no ParlAI.
"""

import argparse
import copy
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from harness import about, bars, publish
from sklearn.datasets import load_digits

from parlai_cu.distillation.forward_kl import ForwardKL
from parlai_cu.distillation.soft_labels import SoftLabelLoss
from parlai_cu.retention.ewc import EWC, fisher_information
from parlai_cu.retention.sampling import stratified_sample

try:
    from avalanche.benchmarks import benchmark_from_datasets

    # its LwF needs task labels, which its public constructors leave out
    from avalanche.benchmarks.utils.classification_dataset import (
        _make_taskaware_tensor_classification_dataset as tensor_dataset,
    )
    from avalanche.training.plugins import EWCPlugin, LwFPlugin, ReplayPlugin
    from avalanche.training.supervised import Naive
except ImportError:  # the table is made without
    if __name__ == "__main__":
        sys.exit("this check needs Avalanche: pip install avalanche-lib")

Data = tuple[torch.Tensor, torch.Tensor]
EPOCHS, BATCH, RATE = 20, 32, 0.1
EWC_WEIGHT, LWF_WEIGHT, TEMPERATURE, STORED = 20.0, 2.0, 2.0, 100
METHODS = ("naive", "EWC", "LwF", "replay")


def main() -> None:
    """Compare numbers, then accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/avalanche_check"))
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stream = make_stream()
    result: dict[str, Any] = {
        "about": about(range(args.seeds)),
        "numbers": compare_numbers(stream),
    }
    result["rows"] = [row(method, stream, args.seeds) for method in METHODS]
    publish(args.out, result, table(result), draw)


def make_stream() -> dict[str, list[Data]]:
    """``train`` and ``test`` of both tasks."""
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator)
    pixels = torch.randperm(x.size(1), generator=generator)
    train, test = order[:1200], order[1200:]
    views = (x, x[:, pixels])
    return {
        "train": [(view[train], y[train]) for view in views],
        "test": [(view[test], y[test]) for view in views],
    }


def network(seed: int) -> torch.nn.Module:
    """One hidden layer of 100."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))


def experiences(stream: dict[str, list[Data]]) -> Any:
    """The stream as Avalanche takes it."""
    sets = [tensor_dataset(*part, task_labels=0) for part in stream["train"]]
    return benchmark_from_datasets(train=sets).train_stream


def plugin_of(method: str) -> list[Any]:
    """Avalanche's."""
    made: dict[str, Callable[[], Any]] = {
        # its penalty has no half in front
        "EWC": lambda: EWCPlugin(ewc_lambda=EWC_WEIGHT / 2),
        # its loss has no squared temperature
        "LwF": lambda: LwFPlugin(alpha=LWF_WEIGHT * TEMPERATURE**2, temperature=TEMPERATURE),
        "replay": lambda: ReplayPlugin(mem_size=STORED),
    }
    return [made[method]()] if method in made else []


def theirs(method: str, stream: dict[str, list[Data]], seed: int) -> tuple[Any, Any]:
    """The network after the first task, and after both by Avalanche."""
    model = network(seed)
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=EPOCHS,
        plugins=plugin_of(method),
        evaluator=None,
    )
    if method == "EWC":
        _exact_fisher(strategy.plugins[0])
    first, second = experiences(stream)
    strategy.train(first)
    start = copy.deepcopy(model)
    strategy.train(second)
    return start, model


def _exact_fisher(plugin: Any) -> None:
    """Importance of each example by itself; of batches, as it comes, it is much smaller."""
    stock = plugin.compute_importances

    def compute(*args: Any, **kwargs: Any) -> Any:
        return stock(*args[:5], 1, **kwargs)

    plugin.compute_importances = compute


def ours(method: str, start: torch.nn.Module, stream: dict[str, list[Data]], seed: int) -> Any:
    """The network after the second task, by our parts in a plain loop."""
    torch.manual_seed(seed)
    model, teacher = copy.deepcopy(start), copy.deepcopy(start)
    old, (x, y) = stream["train"]
    penalty: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    if method == "EWC":
        ewc = EWC(model, fisher_information(model, losses(model, old)))

        def penalty(inputs: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            return EWC_WEIGHT * ewc(model)

    if method == "LwF":
        soft = SoftLabelLoss(ForwardKL(), TEMPERATURE)

        def penalty(inputs: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                labels = teacher(inputs)
            return LWF_WEIGHT * soft(scores, labels).mean()

    kept = stratified_sample(old[1].tolist(), STORED, seed) if method == "replay" else []
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for which in torch.randperm(len(x)).split(BATCH):
            inputs, targets = x[which], y[which]
            if kept:
                again = torch.tensor(kept)[torch.randint(len(kept), (BATCH,))]
                inputs = torch.cat([inputs, old[0][again]])
                targets = torch.cat([targets, old[1][again]])
            scores = model(inputs)
            loss = F.cross_entropy(scores, targets)
            if penalty is not None:
                loss = loss + penalty(inputs, scores)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def losses(model: torch.nn.Module, data: Data) -> Any:
    """A function for each example."""
    for i in range(len(data[0])):
        yield lambda i=i: F.cross_entropy(model(data[0][i : i + 1]), data[1][i : i + 1])


@torch.no_grad()
def accuracy(model: torch.nn.Module, data: Data) -> float:
    """Share of right answers."""
    return float(model(data[0]).argmax(dim=1).eq(data[1]).float().mean())


def compare_numbers(stream: dict[str, list[Data]]) -> dict[str, float]:
    """The largest relative differences between what both compute."""
    start, model = theirs("naive", stream, 0)
    old, (x, _) = stream["train"]
    criterion = torch.nn.CrossEntropyLoss()
    first, _ = experiences(stream)
    plugin = EWCPlugin(ewc_lambda=1.0)
    optimizer = torch.optim.SGD(start.parameters(), lr=RATE)
    importance = plugin.compute_importances(start, criterion, optimizer, first.dataset, "cpu", 1)
    fisher = fisher_information(start, losses(start, old))
    apart = max(
        float((fisher[name] - importance[name].data).abs().max() / fisher[name].max())
        for name in fisher
    )
    penalty = float(EWC(start, fisher)(model).detach())
    moved = dict(model.named_parameters())
    by_theirs = 0.5 * sum(
        float((importance[n].data * (moved[n] - p).pow(2)).sum())
        for n, p in start.named_parameters()
    )
    lwf = LwFPlugin(alpha=1.0, temperature=TEMPERATURE).lwf
    with torch.no_grad():
        scores, labels = model(x), start(x)
        soft = float(SoftLabelLoss(ForwardKL(), TEMPERATURE)(scores, labels).mean())
        other = float(lwf._distillation_loss(scores, labels, list(range(10)))) * TEMPERATURE**2
    return {
        "Fisher information": apart,
        "EWC penalty": abs(penalty - by_theirs) / by_theirs,
        "soft-label loss": abs(soft - other) / other,
    }


def row(method: str, stream: dict[str, list[Data]], seeds: int) -> dict[str, Any]:
    """Accuracies of both on old and new, mean and standard deviation."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        start, by_theirs = theirs(method, stream, seed)
        by_ours = ours(method, start, stream, seed)
        for who, model in (("theirs", by_theirs), ("ours", by_ours)):
            for task, data in zip(("old", "new"), stream["test"]):
                found.setdefault(f"{task}_{who}", []).append(accuracy(model, data))
    summary: dict[str, Any] = {"method": method}
    for name, values in found.items():
        summary[name] = [statistics.mean(values), statistics.pstdev(values)]
    return summary


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| learns by | old task: Avalanche | ours | new task: Avalanche | ours |",
        "|---|--:|--:|--:|--:|",
    ]
    for found in result["rows"]:
        cells = [found[f"{task}_{who}"] for task in ("old", "new") for who in ("theirs", "ours")]
        said = " | ".join(f"{mean:.1%} ± {spread:.1%}" for mean, spread in cells)
        lines.append(f"| {found['method']} | {said} |")
    apart = ", ".join(f"{name} {off:.0e}" for name, off in result["numbers"].items())
    return "\n".join([*lines, "", f"Relative difference: {apart}."]) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Accuracy on the old task and on the new, theirs beside ours."""
    whose = {"theirs": "Avalanche", "ours": "parlai-cu"}
    bars(
        path,
        {
            f"{row['method']}, {task} task": {
                name: row[f"{task}_{who}"][0] for who, name in whose.items()
            }
            for row in result["rows"]
            for task in ("old", "new")
        },
        "accuracy",
    )


if __name__ == "__main__":
    main()
