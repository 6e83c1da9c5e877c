"""
What faults of the data cost an update, and what `parlai data --fix` saves of it.

The deployed model `sgd_base_model` learns a service that it does not know from its conversations as
they are (clean), with faults planted as in `data_faults.py` (5 % each; leaks are of the validation
set), and with the same faults after `--fix`. Perplexity on the test set, which no leak touches;
that on the validation set says how much better an update looks than it is.

    python benchmarks/data_faults_cost.py --data ../shared/data

Runs that are done are kept in `--out` and not repeated.
"""

import argparse
import json
import random
import statistics
from pathlib import Path
from typing import Any

from data_faults import plant, read
from harness import Harness, about, publish

from parlai_cu.update.inspection.base import InspectedData
from parlai_cu.update.inspection.inspection import Repaired, inspect, repair, write_repaired

KINDS = ("clean", "faulty", "fixed")
FLAGS = "-m frozen_layer --tune * -bs 16 -lr 5e-4 --optimizer adam --skip-generation true".split()


def main() -> None:
    """Plant, repair, train, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/data_faults_cost"))
    parser.add_argument("--update", default="update_1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21])
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    harness = Harness(args.out.resolve())
    stem = args.data.resolve() / "sgd" / args.update
    rows = []
    for seed in args.seeds:
        made = data(stem, args.out, seed)
        for kind in KINDS:
            key = f"{kind}-{seed}"
            words = [
                *["train_model", *FLAGS, "--init-model", f"{stem.parent}_base_model/model"],
                *["-t", str(made[kind][0]), "-mf", str(args.out.resolve() / key / "model")],
                *["-et", f"jsonfile:jsonfile_datapath={stem}:jsonfile_datatype_extension=true"],
                *["-tstep", str(args.steps), "--seed", str(seed)],
            ]
            run = harness.remembered(key, lambda k=key, w=words: trained(harness, k, w))
            rows.append({"kind": kind, "seed": seed, "conversations": made[kind][1], **run})
            publish(args.out, {"about": about(args.seeds), "rows": rows}, table({"rows": rows}))


def data(stem: Path, out: Path, seed: int) -> dict[str, tuple[Path, int]]:
    """Kind -> its file, and how many conversations it has."""
    clean, valid = read(Path(f"{stem}_train.jsonl")), read(Path(f"{stem}_valid.jsonl"))
    faulty, _ = plant(clean, valid, random.Random(seed))
    fixed = repair(inspect(InspectedData(faulty, {"valid": valid}))).kept
    made = {}
    for kind, held in zip(KINDS, (clean, faulty, fixed)):
        path = out.resolve() / f"{kind}-{seed}.jsonl"
        if not path.exists():
            write_repaired(Repaired(held, {}, ()), str(path))
        made[kind] = (path, len(held))
    return made


def trained(harness: Harness, key: str, words: list[str]) -> dict[str, float]:
    """What a training reaches on the two sets that are held out."""
    _, cpu, _ = harness.command(words, f"{key}-training")
    model = harness.out / key / "model"
    stats = json.loads(Path(f"{model}.trainstats").read_text())
    model.unlink(missing_ok=True)
    reports = {split: stats[f"final_{split}_report"] for split in ("test", "valid")}
    figures = {f"{split}_ppl": float(held["ppl"]) for split, held in reports.items()}
    return {
        **figures,
        "test_token_acc": float(reports["test"]["token_acc"]),
        "cpu_s": round(cpu, 1),
    }


def table(result: dict[str, Any]) -> str:
    """A line for each kind of data, the mean of the seeds."""
    lines = [
        "| data | conversations | ppl, test | token accuracy, test | ppl, validation |",
        "|---|--:|--:|--:|--:|",
    ]
    for kind in KINDS:
        rows = [row for row in result["rows"] if row["kind"] == kind]
        if rows:
            means = {
                name: statistics.mean(row[name] for row in rows)
                for name in rows[0]
                if name != "kind"
            }
            lines.append(
                f"| {kind} | {means['conversations']:.0f} | {means['test_ppl']:.2f} | "
                f"{means['test_token_acc']:.3f} | {means['valid_ppl']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
