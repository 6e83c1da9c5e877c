"""
One update after another: what each defence gains, what it forgets, and what it costs.

From ``sgd_base_model`` (eight domains of Schema-Guided Dialogue) three domains are learnt in a
row, each from the model before it, by every method below; after each step the model is compared
with the deployed one on the test sets of the old data and of all updates (``parlai eval_model
--base-model-file``). Methods with replay store 1,220 of the 24,423 old examples, 5 %; those "from
the model" store none of the old data. Every method sees each update equally often.

    python benchmarks/continual.py --data ../shared/data --out bench/continual --jobs 2

Runs that are done are kept in ``--out`` and not repeated, so it can be interrupted. Ends by
writing ``results.json``, ``table.md`` and, with matplotlib there, ``picture.png``.
"""

import argparse
import concurrent.futures
import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import Harness, about, earlier_result, mean_and_spread, publish, pyplot

from parlai_cu.retention import metrics

STEPS = ("update_1", "update_2", "update_3")
TASKS = ("base", *STEPS)
BATCH = 32
# of the batches, where old examples are replayed
SHARE = 0.5
STORED = 1220
ALL, LORA = ["--tune", "*"], ["--tune", "@attention,@ffn", "--lora-rank", "8"]
LWF = ["--penalty", "lwf", "--penalty-weight"]
REPLAY, FROM_MODEL, NO_MIX = "replay", "from model", "for the penalty only"
# name -> (flags, learning rate, where old examples come from)
METHODS: dict[str, Any] = {
    "full fine-tuning": (ALL, 2e-4, None),
    "L2-SP": ([*ALL, "--penalty", "l2sp", "--penalty-weight", "0.005"], 2e-4, None),
    "EWC": ([*ALL, "--penalty", "ewc", "--penalty-weight", "5"], 2e-4, NO_MIX),
    "LwF": ([*ALL, *LWF, "1"], 2e-4, None),
    "last decoder block": (["--tune", "decoder.layers[-1]"], 5e-4, None),
    "frozen auto": (["--tune", "auto"], 2.3e-4, None),
    "LoRA": (LORA, 2e-3, None),
    "replay": (ALL, 2e-4, REPLAY),
    "replay + LwF": ([*ALL, *LWF, "5"], 2e-4, REPLAY),
    "from model + LwF": ([*ALL, *LWF, "5"], 2e-4, FROM_MODEL),
    "LoRA + replay + LwF": ([*LORA, *LWF, "5"], 2e-3, REPLAY),
}
# sets of tensors by these methods, each from the deployed model, and a router: (method, whose
# sample of old examples the router learns from, steps as a multiple of the others')
ISOLATED = {
    "LoRA sets + router": ("LoRA", "replay", 1.0),
    "replay + LwF sets + router": ("replay + LwF", None, 1.5),
    "from model + LwF sets + router": ("from model + LwF", None, 1.5),
}
JOINT = "joint (all data)"


def main() -> None:
    """Run all sequences, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/continual"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--earlier", type=Path, help="results.json of an earlier run, whose other seeds count too"
    )
    parser.add_argument("--epochs", type=float, default=2.0, help="over each update")
    parser.add_argument("--methods", nargs="*", default=[*METHODS, *ISOLATED, JOINT])
    parser.add_argument("--examples", type=int, default=1200, help="of each test set at most")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    args = parser.parse_args()
    if not (args.data / "sgd_base_model" / "model").exists():
        sys.exit(f"--data {args.data}: no sgd_base_model/model there")
    bench = Bench(args.data.resolve(), args.out.resolve(), args.epochs, args.examples)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        # seed by seed: an interrupted run has whole seeds
        jobs = {
            (name, seed): pool.submit(bench.sequence, name, seed)
            for seed in range(args.first_seed, args.first_seed + args.seeds)
            for name in args.methods
        }
        found = {key: job.result() for key, job in jobs.items()}
    settings = {"epochs": args.epochs, "examples": args.examples}
    # method -> seed -> measures
    runs: dict[str, dict[str, Any]] = {}
    if args.earlier:
        runs = earlier_result(args.earlier, settings)["runs"]
    for (name, seed), steps in found.items():
        runs.setdefault(name, {})[str(seed)] = measures(steps)
    rows = [
        {"method": name, "seeds": len(runs[name]), **mean_and_spread([*runs[name].values()])}
        for name in [*METHODS, *ISOLATED, JOINT]
        if name in runs
    ]
    result = {
        "about": about(sorted({int(seed) for seeds in runs.values() for seed in seeds})),
        "settings": settings,
        "rows": rows,
        "runs": runs,
    }
    publish(args.out, result, table(result), draw)


class Bench(Harness):
    """The runs of this benchmark."""

    def __init__(self, data: Path, out: Path, epochs: float, examples: int) -> None:
        super().__init__(out)
        self.data, self.epochs, self.examples = data, epochs, examples
        self.deployed = data / "sgd_base_model" / "model"

    def sequence(self, name: str, seed: int) -> list[dict[str, Any]]:
        """What each of the steps of one method came to."""
        if name == JOINT:
            return [self.remembered(key_of(name, seed, 0), lambda: self.joint(seed))]
        step = self.isolated if name in ISOLATED else self.step
        return [
            self.remembered(key_of(name, seed, i), lambda i=i: step(name, seed, i))
            for i in range(len(STEPS))
        ]

    def step(self, name: str, seed: int, i: int) -> dict[str, Any]:
        """Learn one update from the model of the step before."""
        before = self.out / key_of(name, seed, i - 1) / "model" if i else self.deployed
        return self.learn(key_of(name, seed, i), name, before, seed, i, TASKS[: i + 1])

    def learn(
        self,
        key: str,
        method: str,
        before: Path,
        seed: int,
        i: int,
        known: Sequence[str],
        more: float = 1.0,
        judged: bool = True,
    ) -> dict[str, Any]:
        """Tune by one method on one update; ``known`` is what may be replayed."""
        flags, rate, old = METHODS[method]
        share = SHARE if old in (REPLAY, FROM_MODEL) else 0.0
        words = [*flags, "-t", self.task(STEPS[i]), "-lr", f"{rate:g}"]
        if old == FROM_MODEL:
            words += ["--replay-from-model", "true"]
        elif old:
            words += ["--replay-task", ",".join(map(self.task, known))]
        if old:
            words += ["--replay-size", str(STORED), "--replay-share", str(share or 0.001)]
        steps = math.ceil(more * self.epochs * self.count(STEPS[i]) / BATCH / (1 - share))
        return self.tune(key, before, seed, steps, words, judged)

    def isolated(self, name: str, seed: int, i: int) -> dict[str, Any]:
        """Tune a set from the deployed model, then teach the router."""
        method, whose, more = ISOLATED[name]
        key = key_of(name, seed, i)
        cost = self.learn(key, method, self.deployed, seed, i, TASKS[:1], more, judged=False)
        sets = [self.out / key_of(name, seed, j) / "model" for j in range(i + 1)]
        sample = self.out / key_of(whose or name, seed, 0) / "model.replay.jsonl"
        old = f"messages:messages_path={sample}"
        if not sample.exists():
            sys.exit(f'"{name}" learns its router from the sample of "{whose}": run that first')
        router = self.train(
            f"{key}-router",
            ["domain_adapters", "--init-model", str(self.deployed)],
            ["--adapters", ",".join(f"{s}={path}" for s, path in zip(STEPS, sets))]
            + ["-t", ",".join([old, *(self.task(s) for s in STEPS[: i + 1])]), "-eps", "2"],
            seed,
        )
        total = {name: cost[name] + router[name] for name in ("cpu_s", "wall_s")}
        judged = self.judge(f"{key}-router")
        return {**judged, **total, "peak_mb": max(cost["peak_mb"], router["peak_mb"])}

    def joint(self, seed: int) -> dict[str, Any]:
        """All data at once, the bound: as many examples of each update as the others saw."""
        words = [*ALL, "-t", ",".join(map(self.task, TASKS)), "-lr", "2e-4"]
        steps = sum(math.ceil(self.epochs * self.count(name) / BATCH) for name in STEPS)
        # of each batch a quarter is old
        steps = math.ceil(steps * 4 / 3)
        return self.tune(key_of(JOINT, seed, 0), self.deployed, seed, steps, words)

    def tune(
        self,
        key: str,
        before: Path,
        seed: int,
        steps: int,
        words: list[str],
        judged: bool = True,
    ) -> dict[str, Any]:
        """Train one candidate and compare it with the deployed model."""
        agent = ["frozen_layer", "--init-model", str(before)]
        cost = self.train(key, agent, [*words, "-tstep", str(steps)], seed)
        return {**(self.judge(key) if judged else {}), **cost}

    def train(self, key: str, agent: list[str], words: list[str], seed: int) -> dict[str, Any]:
        """One `parlai train_model`; its cost."""
        shutil.rmtree(self.out / key, ignore_errors=True)
        seconds, cpu, memory = self.command(
            [
                *["train_model", "-m", *agent, *words, "-mf", str(self.out / key / "model")],
                *["-bs", str(BATCH), "--seed", str(seed), "--skip-generation", "true"],
                *["--short-final-eval", "true", "-vme", "64", "-vstep", "100000"],
                *[
                    "--optimizer",
                    "adam",
                    "-vmt",
                    "ppl",
                    "-vmm",
                    "min",
                    "-et",
                    self.task("update_1"),
                ],
            ],
            key,
        )
        return {"wall_s": round(seconds), "cpu_s": round(cpu), "peak_mb": round(memory)}

    def judge(self, key: str) -> dict[str, Any]:
        """Perplexity on all test sets, and the paired interval on the old data."""
        report = self.out / f"{key}.report"
        self.command(
            [
                *["eval_model", "-mf", str(self.out / key / "model")],
                *["--base-model-file", str(self.deployed), "-dt", "test", "-bs", "64"],
                *["-t", ",".join(map(self.task, TASKS)), "-ne", str(self.examples)],
                *["--skip-generation", "true", "--report-filename", str(report)],
            ],
            f"{key}-eval",
        )
        rows = json.loads(report.read_text())["report"]["retention"]["tasks"]
        row = {name: found["candidate"] for name, found in zip(TASKS, rows)}
        row.update({f"{name}_before": found["base"] for name, found in zip(TASKS, rows)})
        row["base_low"], row["base_high"] = rows[0]["interval"]
        return row

    def task(self, name: str) -> str:
        """One corpus, as `-t` takes it."""
        path = self.data / "sgd" / name
        return f"jsonfile:jsonfile_datapath={path}:jsonfile_datatype_extension=true"

    def count(self, name: str) -> int:
        """How many training examples a corpus has: pairs of user and system."""
        with open(self.data / "sgd" / f"{name}_train.jsonl") as f:
            return sum(len(json.loads(line)["dialog"]) for line in f)


def key_of(name: str, seed: int, i: int) -> str:
    """Under what a step is remembered, and where its model lies."""
    return f"{''.join(c if c.isalnum() else '-' for c in name)}-{seed}-{i + 1}"


def measures(steps: list[dict[str, Any]]) -> dict[str, float]:
    """
    What a sequence came to, of minus the logarithm of perplexity.

    The rows of R are the deployed model and the model after each step, its columns old data and
    updates.
    """
    first = steps[0]
    rows = [[-math.log(first[f"{name}_before"]) for name in TASKS]]
    rows += [[-math.log(step[name]) for name in TASKS] for step in steps]
    r = np.array(rows)
    gains = [r[min(i, len(steps)), i] - r[0, i] for i in range(1, len(TASKS))]
    row = {f"gain_{i}": float(gain) for i, gain in enumerate(gains, 1)}
    row.update(
        {f"old_{i}": float(r[0, 0] - r[min(i, len(steps)), 0]) for i in range(1, len(TASKS))}
    )
    row["acc"] = metrics.average_accuracy(r)
    if len(steps) > 1:
        row["bwt"], row["forgetting"] = metrics.backward_transfer(r), metrics.forgetting(r)
    row["old_ppl"] = steps[-1]["base"]
    # the paired interval on old data, after each step: does it exclude no forgetting?
    row["steps_that_forget"] = float(sum(step["base_low"] > 0 for step in steps))
    for cost in ("cpu_s", "peak_mb"):
        row[cost] = float(np.mean([step[cost] for step in steps]))
    return row


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    run = next(run for seeds in result["runs"].values() for run in seeds.values())
    before = run["old_ppl"] / math.exp(run["old_3"])
    lines = [
        f"Measured: {json.dumps(result['about'])}",
        f"Settings: {json.dumps(result['settings'])}",
        "",
        "Gain on each update and forgetting of the old data after it, in log-perplexity; old ppl "
        f"after all three (before: {before:.2f}).",
        "",
        "| method | gain 1 | forgot 1 | gain 2 | forgot 2 | gain 3 | forgot 3 | old ppl "
        "| ACC | BWT | CPU s a step | ratio | peak MB |",
        "|---|" + "--:|" * 12,
    ]
    first = result["rows"][0]

    def spread(value: float, digits: int) -> str:
        return f" ± {value:.{digits}f}" if row["seeds"] > 1 else ""

    for row in result["rows"]:
        cells = [f"{row[f'{what}_{i}']:+.3f}" for i in (1, 2, 3) for what in ("gain", "old")]
        bwt = f"{row['bwt']:+.3f}{spread(row['bwt_spread'], 3)}" if "bwt" in row else ""
        cells += [
            f"{row['old_ppl']:.2f}{spread(row['old_ppl_spread'], 2)}",
            f"{row['acc']:.3f}",
            bwt,
        ]
        cells += [f"{row['cpu_s']:.0f}", f"{row['cpu_s'] / first['cpu_s']:.2f}"]
        cells += [f"{row['peak_mb']:.0f}"]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Forgetting against gain, step by step, one line a method."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(figsize=(7, 5))
    for row in result["rows"]:
        axes.plot(
            [row[f"old_{i}"] for i in (1, 2, 3)],
            [row[f"gain_{i}"] for i in (1, 2, 3)],
            marker="o",
            label=row["method"],
        )
    axes.axvline(0, color="grey", linewidth=0.5)
    axes.set_xlabel("forgotten of the old data since deployment (log-perplexity; 0: nothing)")
    axes.set_ylabel("gained on the update of the step (log-perplexity)")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
