"""
What each selection gains on an update, forgets of the old skill, and costs.

From the deployed model ``sgd_base_model`` (trained on eight domains of Schema-Guided
Dialogue), ``-m frozen_layer`` learns three updates, each a service of a domain it does not
know, with several selections, and beside them stock full fine-tuning
(``-m transformer/generator``). The learning rate of each selection is tuned on the
validation set of the first update; every figure reported is on test sets.

    python benchmarks/frozen_layer_sgd.py --data ../shared/data --out bench/frozen_layer_sgd

Runs that are done are kept in ``--out`` and not repeated, so it can be interrupted. Ends by
writing ``results.json``, ``table.md`` and, with matplotlib there, ``picture.png``.
"""

import argparse
import concurrent.futures
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from harness import Harness, about, mean_and_spread, publish, pyplot, stock_flags

# name in the table -> flags; stock is ParlAI alone, at the rate that is best for "all"
STOCK = "stock (all)"
SELECTIONS: dict[str, list[str]] = {
    STOCK: [],
    "all": ["--tune", "*"],
    "decoder": ["--tune", "decoder", "--freeze", "@embeddings"],
    "last decoder block": ["--tune", "decoder.layers[-1]"],
    "ffn": ["--tune", "@ffn"],
    "norms + biases": ["--tune", "@norm,@bias"],
    "LoRA r=8, attention + ffn": ["--tune", "@attention,@ffn", "--lora-rank", "8"],
}
LEARNING_RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]
FIRST_GUESS = 1e-3
UPDATES = {"update_1": "Restaurants_1", "update_2": "Movies_1", "update_3": "Homes_1"}
FIXED = "-bs 32 -eps 3 -veps 1 -vmt ppl -vmm min --optimizer adam --skip-generation true".split()


def main() -> None:
    """Tune, run, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/frozen_layer_sgd"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--updates", nargs="*", default=list(UPDATES))
    parser.add_argument("--selections", nargs="*", default=list(SELECTIONS))
    parser.add_argument("--rate", type=float, help="learning rate of all; else each one's own best")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    args = parser.parse_args()
    if not (args.data / "sgd_base_model" / "model").exists():
        sys.exit(f"--data {args.data}: no sgd_base_model/model there")
    bench = Bench(args.data, args.out)
    first = args.updates[0]
    before = {
        name: bench.evaluate(args.data / "sgd_base_model" / "model", name, f"before-{name}")
        for name in ["base", *args.updates]
    }
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        tuned = [name for name in args.selections if SELECTIONS[name]]
        if args.rate:
            rates = {name: args.rate for name in args.selections}
        else:
            rates = dict(zip(tuned, pool.map(lambda name: bench.tune_rate(name, first), tuned)))
            rates.setdefault(STOCK, rates.get("all", FIRST_GUESS))
        cells = [(update, name) for update in args.updates for name in args.selections]
        jobs = [
            [pool.submit(bench.run, name, update, rates[name], s) for s in range(args.seeds)]
            for update, name in cells
        ]
        rows = [
            summary(name, update, rates[name], [run.result() for run in runs])
            for (update, name), runs in zip(cells, jobs)
        ]
    result = {"about": about(range(args.seeds)), "before": before, "rows": rows}
    publish(args.out, result, table(result), draw)


class Bench(Harness):
    """The runs of this benchmark."""

    def __init__(self, data: Path, out: Path) -> None:
        super().__init__(out)
        self.data = data

    def tune_rate(self, name: str, update: str) -> float:
        """Climb the grid of learning rates while the validation perplexity falls."""

        def perplexity(i: int) -> float:
            return float(self.train(name, update, LEARNING_RATES[i], 0)["valid_ppl"])

        best = LEARNING_RATES.index(FIRST_GUESS)
        tried = {best: perplexity(best)}
        for step in (1, -1):
            while 0 <= best + step < len(LEARNING_RATES) and best + step not in tried:
                tried[best + step] = perplexity(best + step)
                if tried[best + step] >= tried[best]:
                    break
                best += step
        return LEARNING_RATES[best]

    def run(self, name: str, update: str, rate: float, seed: int) -> dict[str, Any]:
        """Train one candidate and evaluate it on the update and on the old data."""
        model = self.out / run_key(name, update, rate, seed) / "model"
        trained = self.train(name, update, rate, seed)
        old = self.evaluate(model, "base", f"{model.parent.name}-base")
        model.unlink(missing_ok=True)
        return {**trained, "base_ppl": old["ppl"], "base_token_acc": old["token_acc"]}

    def train(self, name: str, update: str, rate: float, seed: int) -> dict[str, Any]:
        """Train one candidate; its figures on the update."""
        key = run_key(name, update, rate, seed)
        return self.remembered(key, lambda: self._train(key, name, update, rate, seed))

    def _train(self, key: str, name: str, update: str, rate: float, seed: int) -> dict[str, Any]:
        shutil.rmtree(self.out / key, ignore_errors=True)
        model = self.out / key / "model"
        deployed = self.data / "sgd_base_model" / "model"
        flags = ["-m", "frozen_layer", *SELECTIONS[name]]
        if name == STOCK:
            flags = stock_flags(deployed)
        seconds, cpu, memory = self.command(
            [
                *["train_model", *flags, "--init-model", str(deployed), *self.task(update)],
                *["-mf", str(model), "-lr", str(rate), "--seed", str(seed), *FIXED],
            ],
            key,
        )
        stats = json.loads(Path(f"{model}.trainstats").read_text())
        return {
            "trained": count_trained(deployed, model),
            "update_ppl": stats["final_test_report"]["ppl"],
            "update_token_acc": stats["final_test_report"]["token_acc"],
            "valid_ppl": stats["final_valid_report"]["ppl"],
            "wall_s": round(seconds, 1),
            "cpu_s": round(cpu, 1),
            "peak_mb": round(memory),
        }

    def task(self, name: str) -> list[str]:
        """The jsonfile flags of one corpus."""
        path = str(self.data / "sgd" / name)
        return f"-t jsonfile --jsonfile-datatype-extension true --jsonfile-datapath {path}".split()

    def evaluate(self, model: Path, corpus: str, key: str) -> dict[str, float]:
        """Perplexity and token accuracy of a model on a corpus' test set."""

        def work() -> dict[str, float]:
            report = self.out / f"{key}.report"
            self.command(
                [
                    *["eval_model", "-mf", str(model), *self.task(corpus), "-dt", "test"],
                    *["-bs", "64", "--skip-generation", "true", "--report-filename", str(report)],
                ],
                key,
            )
            found = json.loads(report.read_text())["report"]
            return {metric: found[metric] for metric in ("ppl", "token_acc")}

        return self.remembered(key, work)


def run_key(name: str, update: str, rate: float, seed: int) -> str:
    """The file name under which a run is remembered."""
    return f"{''.join(c if c.isalnum() else '-' for c in name)}-{update}-{rate:g}-{seed}"


def count_trained(deployed: Path, candidate: Path) -> int:
    """Parameters trained: low-rank factors, or else all of the tensors that differ at all."""
    import torch

    old, new = (
        torch.load(path, map_location="cpu", weights_only=False) for path in (deployed, candidate)
    )
    factors = new.get("frozen_layer", {}).get("lora", {}).get("factors")
    if factors:
        return sum(factor.numel() for factor in factors.values())
    seen = {}
    for name, tensor in new["model"].items():
        if not torch.equal(tensor, old["model"][name]):
            # tied tensors are stored under several names
            seen[(tensor.data_ptr(), tensor.numel())] = tensor.numel()
    return sum(seen.values())


def summary(name: str, update: str, rate: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over the seeds, and the half range of what matters most."""
    row: dict[str, Any] = {"selection": name, "update": update, "rate": rate, "seeds": len(runs)}
    row.update(mean_and_spread(runs))
    return row


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown, one table an update."""
    before = result["before"]
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    for update in dict.fromkeys(row["update"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["update"] == update]
        full = next((r for r in rows if r["selection"] == STOCK), rows[0])
        lines += [
            f"**{update}: {UPDATES[update]}**. Before: update {before[update]['ppl']:.1f} ppl, "
            f"{before[update]['token_acc']:.1%}; old {before['base']['ppl']:.2f} ppl, "
            f"{before['base']['token_acc']:.1%}.",
            "",
            "| selection | lr | trained | update ppl | update acc | old ppl | old acc "
            "| CPU s | ratio | peak MB |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for row in rows:
            lines.append(
                f"| {row['selection']} | {row['rate']:g} | {row['trained']:,.0f} "
                f"| {row['update_ppl']:.2f} ± {row['update_ppl_spread']:.2f} "
                f"| {row['update_token_acc']:.1%} "
                f"| {row['base_ppl']:.2f} ± {row['base_ppl_spread']:.2f} "
                f"| {row['base_token_acc']:.1%} | {row['cpu_s']:.0f} "
                f"| {row['cpu_s'] / full['cpu_s']:.2f} | {row['peak_mb']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Gain against forgetting, one point a selection and update."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(figsize=(7, 5))
    markers = dict(zip(UPDATES, "osD"))
    colours = {name: f"C{i}" for i, name in enumerate(SELECTIONS)}
    for row in result["rows"]:
        first = row["update"] == result["rows"][0]["update"]
        axes.scatter(
            row["base_ppl"] / result["before"]["base"]["ppl"],
            row["update_ppl"] / result["before"][row["update"]]["ppl"],
            marker=markers[row["update"]],
            color=colours[row["selection"]],
            label=row["selection"] if first else None,
        )
    axes.set_xlabel("old data: perplexity after / before (1 = nothing forgotten)")
    axes.set_ylabel("update: perplexity after / before (less = learnt more)")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
