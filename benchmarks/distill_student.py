"""
What distilling a deployed model gains and costs, beside the alternatives.

A deployed teacher (Schema-Guided Dialogue: the model of eight domains; telecom: the one that is
shipped) is to become a student that also knows an update. Side by side, the same student:

- ``stock, from scratch``: ``-m transformer/generator`` on old and update data;
- ``anti_scaling``: ParlAI's ``projects.anti_scaling.distillation:DistillTransformerAgent`` with
  copied layers, on the same data;
- ``-m distill_student`` without a cache, and with a warm one of each method.

Speed is measured first, alone, with the teacher's cache warm where there is one. Then each
trains as many steps as it makes in the same time (``--seconds``), so that load on the machine
changes nothing, and is evaluated on the test sets. At last students of several sizes train longer.

    python benchmarks/distill_student.py --data ../shared/data --out bench/distill_student

Runs that are done are kept in ``--out`` and not repeated. Ends by writing ``results.json``,
``table.md`` and, with matplotlib there, ``picture.png``.
"""

import argparse
import concurrent.futures
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Harness, about, mean_and_spread, publish, pyplot, stock_flags

SCRATCH, ANTI = "stock, from scratch", "anti_scaling"
NO_CACHE, TOP_K, SAMPLE = "distill_student", "warm cache, top-k", "warm cache, sample"
METHODS = [SCRATCH, ANTI, NO_CACHE, TOP_K, SAMPLE]
CACHE = {
    TOP_K: ["--teacher-cache-method", "topk", "--teacher-cache-k", "16"],
    SAMPLE: ["--teacher-cache-method", "sample", "--teacher-cache-k", "32"],
}
# the student of the comparison has one layer each: that of the other sizes is in SIZES
STUDENT = {"n_layers": 1, "n_encoder_layers": 1, "n_decoder_layers": 1}
SPEED_STEPS = 40
BATCH = 32
CORPORA: dict[str, dict[str, Any]] = {
    "sgd": {
        "tasks": ["sgd/base", "sgd/update_1"],
        "time": 1.0,
        "sizes": {
            "2 + 2 layers": ["--n-layers", "2"],
            "1 + 1 layers": ["--n-layers", "1"],
            "1 + 1 layers, ffn 224": ["--n-layers", "1", "--ffn-size", "224"],
        },
    },
    "telecom": {
        "tasks": ["telecom", "telecom:roaming"],
        "time": 0.5,  # of --seconds: a quarter of the data
        "sizes": {
            "2 + 2 layers": ["--n-layers", "2"],
            "1 + 1 layers": ["--n-layers", "1"],
            "1 + 1 layers, ffn 128": ["--n-layers", "1", "--ffn-size", "128"],
        },
    },
}
TRAINING = (
    f"-bs {BATCH} --multitask-weights 4,1 --skip-generation true --optimizer adam -lr 0.002 "
    "--lr-scheduler invsqrt --warmup-updates 100 --gradient-clip 1.0 --short-final-eval true "
    "--validation-max-exs 32"
).split()
_LATENCY = """
import json, sys, time, torch
torch.set_num_threads(1)
from parlai.core.agents import create_agent_from_model_file
settings = {"no_cuda": True, "beam_size": 1, "skip_generation": False}
agent = create_agent_from_model_file(sys.argv[1], settings)
texts = json.loads(sys.argv[2])
def reply(text):
    agent.reset()
    agent.observe({"id": "user", "text": text, "episode_done": True})
    agent.act()

reply(texts[0])
start = time.monotonic()
for text in texts:
    reply(text)
print((time.monotonic() - start) / len(texts) * 1000)
"""


def main() -> None:
    """Measure speed, train, evaluate, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/distill_student"))
    parser.add_argument("--corpora", nargs="*", default=list(CORPORA))
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--seconds", type=float, default=150, help="training time of each method")
    parser.add_argument("--long", type=float, default=600, help="training time of each size")
    parser.add_argument("--seeds", type=int, default=2, help="of each method; one of each size")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    teachers = {}
    for corpus in args.corpora:
        if corpus == "sgd" and not (args.data / "sgd_base_model" / "model").exists():
            sys.exit(f"--data {args.data}: no sgd_base_model/model there")
        bench = Bench(args.data, args.out, corpus)
        teachers[corpus] = bench.teacher_row()
        speeds = {name: bench.speed(name) for name in args.methods}
        seconds, longer = (t * CORPORA[corpus]["time"] for t in (args.seconds, args.long))
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            jobs = []
            for name in args.methods:
                steps = round(seconds * speeds[name]["exs"] / BATCH)
                runs = [pool.submit(bench.run, name, steps, s) for s in range(args.seeds)]
                jobs.append((name, runs))
            sizes = CORPORA[corpus]["sizes"] if args.long else {}
            for name in sizes:
                steps = round(longer * speeds[SAMPLE]["exs"] / BATCH)
                runs = [pool.submit(bench.run, name, steps, 0)]
                jobs.append((name, runs))
            for name, runs in jobs:
                figures = [run.result() for run in runs]
                speed = speeds.get(name, {})
                rows.append(summary(corpus, name, figures, speed, teachers[corpus]))
    result = {"about": about(range(args.seeds)), "seconds": args.seconds, "long": args.long}
    result.update({"teachers": teachers, "rows": rows})
    publish(args.out, result, table(result), draw)


class Bench(Harness):
    """The runs on one corpus."""

    def __init__(self, data: Path, out: Path, corpus: str) -> None:
        super().__init__(out)
        self.corpus = corpus
        old, update = CORPORA[corpus]["tasks"]
        if corpus == "sgd":
            old, update = (
                f"jsonfile:jsonfile_datapath={data / name}:jsonfile_datatype_extension=true"
                for name in (old, update)
            )
            self.teacher = str(data / "sgd_base_model" / "model")
        else:
            self.teacher = "zoo:telecom/base"
        self.old, self.update = old, update
        self.sizes: dict[str, list[str]] = CORPORA[corpus]["sizes"]

    def flags(self, name: str) -> list[str]:
        """What a method, or a size, adds to the common command."""
        cache = ["--teacher-cache", str(self.out / "cache")]
        ours = ["-m", "distill_student", "--teacher-model", self.teacher]
        if name in self.sizes:
            return [*ours, *cache, *CACHE[SAMPLE], *self.sizes[name]]
        if name in (SCRATCH, ANTI):
            flags = stock_flags(Path(self.teacher_file()), STUDENT)
            if name == ANTI:
                flags[1] = "projects.anti_scaling.distillation:DistillTransformerAgent"
                flags += ["--teacher-model", self.teacher_file(), "--copy-teacher-weights", "true"]
                for loss in ("task", "encoder", "hidden", "pred"):
                    flags += [f"--{loss}-loss-coeff", "1"]
            return flags
        return [*ours, "--n-layers", "1", *([*cache, *CACHE[name]] if name in CACHE else [])]

    def teacher_file(self) -> str:
        """The path of the teacher, for agents that do not know zoo:."""
        if not self.teacher.startswith("zoo:"):
            return self.teacher
        import parlai.core.build_data

        datapath = str(Path(parlai.__file__).parent.parent / "data")
        return str(parlai.core.build_data.modelzoo_path(datapath, self.teacher))

    def train(self, name: str, steps: int, seed: int, key: str, *more: str) -> dict[str, Any]:
        """One training run: seconds, CPU seconds, peak MB, and the examples a second it reports."""
        shutil.rmtree(self.out / key, ignore_errors=True)
        model = self.out / key / "model"
        seconds, cpu, memory = self.command(
            [
                *["train_model", *self.flags(name), "-t", f"{self.old},{self.update}"],
                *["-mf", str(model), "--seed", str(seed), "-tstep", str(steps), *TRAINING, *more],
            ],
            key,
        )
        stats = json.loads(Path(f"{model}.trainstats").read_text())
        reports = stats["train_reports"][1:] or stats["train_reports"]
        return {
            "exs": statistics.median(report["exps"] for report in reports) if reports else 0.0,
            "wall_s": round(seconds, 1),
            "cpu_s": round(cpu, 1),
            "peak_mb": round(memory),
        }

    def speed(self, name: str) -> dict[str, Any]:
        """Examples a second, with the cache warm; nothing else runs meanwhile."""
        key = self.key(name, "speed")

        def work() -> dict[str, Any]:
            if name in CACHE:  # warm it: the same seed takes the same examples
                self.train(name, SPEED_STEPS, 0, key)
            return self.train(name, SPEED_STEPS, 0, key, "--log-every-n-steps", "10")

        return self.remembered(key, work)

    def run(self, name: str, steps: int, seed: int) -> dict[str, Any]:
        """Train one student and evaluate it."""
        key = self.key(name, f"{steps}-{seed}")

        def work() -> dict[str, Any]:
            cost = self.train(name, steps, seed, key)
            return {"steps": steps, **cost, **self.evaluate(str(self.out / key / "model"), key)}

        return self.remembered(key, work)

    def teacher_row(self) -> dict[str, Any]:
        """The teacher's figures."""
        key = self.key("teacher", "")
        return self.remembered(key, lambda: self.evaluate(self.teacher_file(), key))

    def evaluate(self, model: str, key: str) -> dict[str, Any]:
        """Perplexity and F1 on both test sets, parameters, and the latency of a reply."""
        import torch

        figures: dict[str, Any] = {}
        for which, task in (("old", self.old), ("update", self.update)):
            report = self.out / f"{key}-{which}.report"
            self.command(
                [
                    *["eval_model", "-mf", model, "-t", task, "-dt", "test", "-bs", "64"],
                    *["--skip-generation", "false", "--beam-size", "1", "--inference", "greedy"],
                    *["--report-filename", str(report)],
                ],
                f"{key}-{which}",
            )
            found = json.loads(report.read_text())["report"]
            figures.update({f"{which}_{m}": found[m] for m in ("ppl", "f1", "token_acc")})
        states = torch.load(model, map_location="cpu", weights_only=False)["model"]
        seen = {tensor.data_ptr(): tensor.numel() for tensor in states.values()}
        figures["parameters"] = sum(seen.values())
        texts = [f"hello, can you help me with number {i}?" for i in range(60)]
        done = subprocess.run(
            [sys.executable, "-c", _LATENCY, model, json.dumps(texts)],
            capture_output=True,
            text=True,
            check=True,
        )
        figures["reply_ms"] = float(done.stdout.split()[-1])
        return figures

    def key(self, name: str, what: str) -> str:
        """The file name under which a run is remembered."""
        plain = "".join(c if c.isalnum() else "-" for c in name)
        return f"{self.corpus}-{plain}-{what}"


def summary(
    corpus: str,
    name: str,
    runs: list[dict[str, Any]],
    speed: dict[str, Any],
    teacher: dict[str, Any],
) -> dict[str, Any]:
    """Mean over the seeds, half the range, and what is kept of the teacher's F1."""
    row: dict[str, Any] = {"corpus": corpus, "name": name, "seeds": len(runs)}
    row.update(mean_and_spread(runs))
    row["exs"] = speed.get("exs")
    row["speed_peak_mb"] = speed.get("peak_mb")
    row["kept_f1"] = row["old_f1"] / teacher["old_f1"]
    row["share"] = row["parameters"] / teacher["parameters"]
    return row


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown, one table a corpus."""
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    for corpus, teacher in result["teachers"].items():
        rows = [row for row in result["rows"] if row["corpus"] == corpus]
        anti = next((row for row in rows if row["name"] == ANTI), None)
        old, update = CORPORA[corpus]["tasks"]
        lines += [
            f"**{corpus}: {old} → {old} + {update}**",
            "",
            "| | parameters | old ppl | old F1 | update ppl | update F1 | examples/s "
            "| × anti_scaling | peak MB | reply ms |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
            f"| teacher | {teacher['parameters']:,} | {teacher['old_ppl']:.2f} "
            f"| {teacher['old_f1']:.3f} | {teacher['update_ppl']:.1f} "
            f"| {teacher['update_f1']:.3f} | | | | {teacher['reply_ms']:.0f} |",
        ]
        for row in rows:
            speed = f"{row['exs']:.0f}" if row["exs"] else ""
            ratio = f"{row['exs'] / anti['exs']:.2f}" if row["exs"] and anti else ""
            name, seconds = row["name"], result["seconds"] * CORPORA[corpus]["time"]
            if not row["exs"]:
                name = f"{name} ({row['share']:.0%})"
                seconds = result["long"] * CORPORA[corpus]["time"]
            lines.append(
                f"| {name}, {seconds:.0f} s | {row['parameters']:,.0f} "
                f"| {row['old_ppl']:.2f} ± {row['old_ppl_spread']:.2f} "
                f"| {row['old_f1']:.3f} ({row['kept_f1']:.0%}) "
                f"| {row['update_ppl']:.2f} ± {row['update_ppl_spread']:.2f} "
                f"| {row['update_f1']:.3f} | {speed} | {ratio} | {row['peak_mb']:.0f} "
                f"| {row['reply_ms']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Size against kept skill."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for colour, (corpus, teacher) in enumerate(result["teachers"].items()):
        sizes = CORPORA[corpus]["sizes"]
        rows = [r for r in result["rows"] if r["corpus"] == corpus and r["name"] in sizes]
        rows.sort(key=lambda row: row["share"])
        shares = [row["share"] for row in rows]
        axes[0].plot(shares, [r["kept_f1"] for r in rows], "o-", color=f"C{colour}", label=corpus)
        kept = [r["update_f1"] / teacher["update_f1"] for r in rows]
        axes[1].plot(shares, kept, "o-", color=f"C{colour}", label=corpus)
    for axis, what in zip(axes, ("old data", "update")):
        axis.axhline(1.0, color="grey", linewidth=0.8, linestyle=":")
        axis.set_xlabel("student's parameters / teacher's")
        axis.set_ylabel("F1 / teacher's F1")
        axis.set_title(what)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
