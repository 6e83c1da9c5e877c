"""
Which parameters should learn: what each choice gains on an update and forgets, at equal gain.

Every choice is trained in this process, the same steps on the same examples, by `frozen_layer`'s
own freezing. A choice that learns less also forgets less, so what counts is the forgetting at
equal gain: all that a run learnt is scaled, theta0 + alpha (theta - theta0), which gives a curve of
gain on the update's test set against forgetting on the old data's, and curves are compared where
they gain the same, in shares of what full fine-tuning gains. Figures are differences of
log-perplexity from the deployed model. Choices by score use training data only; those that are
random change with the seed.

    python benchmarks/selection.py --data ../shared/data --out bench/selection

Runs that are done are kept in ``--out`` and not repeated, so it can be interrupted. Ends by
writing ``results.json``, ``table.md`` and, with matplotlib there, ``selection.png``.
"""

import argparse
import copy
import json
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import scipy.stats
import torch
from harness import Harness, about, commit, earlier_result, pyplot
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents import episodes as task_episodes
from parlai_cu.agents import example_losses, scoring
from parlai_cu.selection import lora
from parlai_cu.selection.auto import Auto, choose
from parlai_cu.selection.catalogue import list_tensors
from parlai_cu.selection.freeze import freeze
from parlai_cu.selection.patterns import select
from parlai_cu.selection.scores import GradientSums, Scores, TensorScores

ALL = "all"
# name -> patterns (tune, freeze), or (score, fraction), or a fraction at random
CHOICES: dict[str, Any] = {
    ALL: ("*", None),
    "auto:rgn:0.75": Auto("rgn", 0.75),
    "random 0.75": 0.75,
    "last block": ("decoder.layers[-1]", None),
    "decoder": ("decoder", "@embeddings"),
    "LoRA r=8": ("@attention,@ffn", None),
    "embeddings + last block": ("@embeddings,decoder.layers[-1]", None),
    "auto:snr:0.75": Auto("snr", 0.75),
    "auto:fisher:0.75": Auto("fisher", 0.75),
    "auto:conflict:0.75": Auto("conflict", 0.75),
    "ffn": ("@ffn", None),
    "middle block": ("decoder.layers[0]", None),
    "first block": ("encoder.layers[0]", None),
}
LORA = "LoRA r=8"
# the learning rate of all parameters; of a share s it is this times s ** -0.5
RATE = 3e-4
LORA_RATE = 3e-3
STEPS, BATCH = 60, 8
# how much of what was learnt is kept, besides all of it
ALPHAS = (0.5, 0.75)
# of what all parameters gain
LEVELS = (0.7, 0.9)


def main() -> None:
    """Run all choices, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/selection"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--earlier", type=Path, help="results.json of an earlier run, whose runs count too"
    )
    parser.add_argument("--updates", nargs="*", default=["update_1"])
    parser.add_argument("--choices", nargs="*", default=list(CHOICES))
    parser.add_argument("--split", default="test", help="valid: to find a rule without the tests")
    parser.add_argument("--examples", type=int, default=128, help="of each evaluated set")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(args.data.resolve(), args.out.resolve(), args.split, args.examples)
    settings = {
        **{"steps": STEPS, "batch": BATCH, "rate": RATE, "split": args.split},
        **{"examples": args.examples, "text_truncate": TEXT, "scored": SCORED},
    }
    if args.earlier:
        bench.take(args.earlier, settings)
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for update in args.updates:
            for name in args.choices:
                bench.run(update, name, seed)
    # all that is there, also of other calls: seed by seed, choice by choice
    runs = sorted(
        (json.loads(path.read_text()) for path in args.out.glob(f"*-{args.split}.json")),
        key=lambda run: (run["update"], list(CHOICES).index(run["choice"]), run["seed"]),
    )
    result = {
        "about": about(sorted({run["seed"] for run in runs})),
        "settings": settings,
        "pooled": pooled(runs, LEVELS[-1]),
        "runs": runs,
    }
    head = {key: each for key, each in result.items() if key != "runs"}
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    # a line a run
    (args.out / "results.json").write_text(
        f'{json.dumps(head, indent=1)[:-2]},\n "runs": [\n  {lines}\n ]\n}}\n'
    )
    text = table(result)
    (args.out / "table.md").write_text(text)
    print(text)
    draw(result, args.out / "selection.png")


# tokens of the dialogue that are read, the last ones: twice as fast as all 128
TEXT = 64


class Corpus:
    """A deployed model, an update, and what must not be forgotten."""

    def __init__(self, data: Path, update: str, split: str, examples: int) -> None:
        telecom = update.startswith("telecom")
        deployed = "zoo:telecom/base" if telecom else str(data / "sgd_base_model" / "model")
        settings = {"no_cuda": True, "datatype": "valid", "text_truncate": TEXT, "truncate": TEXT}
        self.agent = create_agent_from_model_file(deployed, settings)
        self.update = update if telecom else sgd_task(data, update)
        self.old = "telecom:retain" if telecom else sgd_task(data, "base")
        self.start = self.agent.model
        self.train = self.read(self.update, "train")
        self.judged = {
            name: self.batches(sorted(self.read(task, split, examples), key=text_length), 32)
            for name, task in (("update", self.update), ("old", self.old))
        }
        self.before = {name: self.loss(self.start, name) for name in self.judged}
        self.scores: dict[int, Scores] = {}

    def read(self, task: str, split: str, count: int = 0) -> list[Any]:
        """Examples of a task as the agent observes them; ``count`` of them, dialogues shuffled."""
        datatype = "train:evalmode" if split == "train" else split
        episodes = list(task_episodes.read(self.agent.opt, task, datatype))
        random.Random(0).shuffle(episodes)
        found: list[Any] = []
        for observation in example_losses.observed(self.agent, episodes):
            found.append(observation)
            if len(found) == count:
                break
        return found

    def batches(self, examples: Sequence[Any], size: int) -> list[Any]:
        """As the agent makes them."""
        return [
            self.agent.batchify(list(examples[i : i + size])) for i in range(0, len(examples), size)
        ]

    @torch.no_grad()
    def loss(self, model: torch.nn.Module, name: str) -> float:
        """The mean negative log-likelihood of a token of the evaluated set."""
        model.eval()
        total = count = 0.0
        for batch in self.judged[name]:
            tokens = float(batch.label_vec.ne(self.agent.NULL_IDX).sum())
            total += self.loss_of(model, batch).item() * tokens
            count += tokens
        return total / count

    def loss_of(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        """The agent's own loss of a batch."""
        self.agent.model = model
        self.agent._local_metrics.clear()
        loss: torch.Tensor = self.agent.compute_loss(batch)
        return loss

    def judge(self, model: torch.nn.Module, alpha: float) -> list[float]:
        """Alpha, gain and forgetting with that much of what a model learnt."""
        scaled = copy.deepcopy(model)
        if any(name.endswith(".lora") for name, _ in model.named_modules()):
            for module in scaled.modules():
                if isinstance(module, lora.LowRankFactors):
                    module.scale *= alpha
        else:
            with torch.no_grad():
                for p, start in zip(scaled.parameters(), self.start.parameters()):
                    p.lerp_(start, 1 - alpha)
        gain = self.before["update"] - self.loss(scaled, "update")
        return [alpha, gain, self.loss(scaled, "old") - self.before["old"]]

    def scored(self, seed: int) -> Scores:
        """The scores of the deployed model's parameters, from training data."""
        if seed not in self.scores:
            self.agent.model = self.start
            self.scores[seed] = scoring.score_agent(
                self.agent, self.agent.opt, self.update, self.old, SCORED, seed
            )
        return self.scores[seed]


# examples of each task from which scores are made
SCORED = 64


def sgd_task(data: Path, name: str) -> str:
    """One corpus of Schema-Guided Dialogue, as `-t` takes it."""
    path = data / "sgd" / name
    return f"jsonfile:jsonfile_datapath={path}:jsonfile_datatype_extension=true"


def text_length(observation: Any) -> int:
    """How many tokens a dialogue has."""
    return len(observation["text_vec"])


class Bench(Harness):
    """The runs of this benchmark."""

    def __init__(self, data: Path, out: Path, split: str, examples: int) -> None:
        super().__init__(out)
        self.data, self.split, self.examples = data, split, examples
        self.corpora: dict[str, Corpus] = {}

    def corpus(self, update: str) -> Corpus:
        """Read when it is first asked for."""
        if update not in self.corpora:
            self.corpora[update] = Corpus(self.data, update, self.split, self.examples)
        return self.corpora[update]

    def run(self, update: str, name: str, seed: int) -> dict[str, Any]:
        """One choice, trained once."""
        key = self._key(update, name, seed)
        return self.remembered(key, lambda: self._run(update, name, seed))

    def take(self, path: Path, settings: dict[str, Any]) -> None:
        """Remember the runs of an earlier call, each with the commit it was made with."""
        result = earlier_result(path, settings)
        for run in result["runs"]:
            run = {**run, "commit": run.get("commit", result["about"]["commit"])}
            key = self._key(run["update"], run["choice"], run["seed"])
            self.remembered(key, lambda run=run: run)

    def _key(self, update: str, name: str, seed: int) -> str:
        key = f"{update}-{name}-{seed}-{self.split}"
        return "".join(c if c.isalnum() or c in "-." else "_" for c in key)

    def _run(self, update: str, name: str, seed: int) -> dict[str, Any]:
        corpus = self.corpus(update)
        model = copy.deepcopy(corpus.start)
        line, parameters = prepare(corpus, model, name, seed)
        share = sum(p.numel() for p in parameters) / sum(
            p.numel() for p in corpus.start.parameters() if p.requires_grad
        )
        rate = LORA_RATE if name == LORA else RATE * share**-0.5
        started = time.process_time()
        train(corpus, model, parameters, rate, seed)
        seconds = time.process_time() - started
        return {
            **{"update": update, "choice": name, "seed": seed, "tune": line, "share": share},
            **{"rate": rate, "train_cpu_s": round(seconds, 1), "commit": commit()},
            "update_before": math.exp(corpus.before["update"]),
            "old_before": math.exp(corpus.before["old"]),
            "points": [corpus.judge(model, alpha) for alpha in (*ALPHAS, 1.0)],
        }


def prepare(
    corpus: Corpus, model: torch.nn.Module, name: str, seed: int
) -> tuple[str, list[torch.nn.Parameter]]:
    """Freeze all but what the choice means; the patterns and the parameters that learn."""
    tensors = list_tensors(model)
    kind = CHOICES[name]
    if isinstance(kind, Auto):
        line = choose(corpus.scored(seed), kind, tensors).tune
        selection = select(tensors, line)
    elif isinstance(kind, float):
        line = at_random(corpus.scored(seed), kind, tensors, seed)
        selection = select(tensors, line)
    else:
        selection = select(tensors, *kind)
        line = selection.describe()
    names = [alias for t in selection.learning for alias in t.names]
    if name == LORA:
        adapted = lora.inject(model, selection.learning, 8, 16.0, seed)
        names = [factor for weight in adapted for factor in lora.factor_names(weight)]
    parameters, _ = freeze(model, names)
    return line, parameters


def at_random(scores: Scores, fraction: float, tensors: list[Any], seed: int) -> str:
    """Groups in random order that fit in the fraction: the same rule with a score that is noise."""
    rng = random.Random(f"random {seed}")
    noise = {key: rng.random() for key in scores.groups()}
    noisy = tuple(
        TensorScores(
            t.tensor,
            t.kind,
            GradientSums(t.tensor.numel, fisher=noise[t.block, t.kind] * t.tensor.numel),
        )
        for t in scores.tensors
    )
    return choose(Scores(noisy, 1), Auto("fisher", fraction), tensors).tune


def train(
    corpus: Corpus,
    model: torch.nn.Module,
    parameters: list[torch.nn.Parameter],
    rate: float,
    seed: int,
) -> None:
    """As `parlai train_model --lr-scheduler linear` does: Adam, gradients clipped at 0.1."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(parameters, lr=rate, amsgrad=True)
    for step, batch in enumerate(batches_of(corpus, seed)):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / 8, 1 - step / STEPS)
        model.train()
        optimizer.zero_grad()
        corpus.loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.1)
        optimizer.step()


def batches_of(corpus: Corpus, seed: int) -> Iterator[Any]:
    """The same batches for every choice, in an order from the seed."""
    rng = random.Random(seed)
    order: list[int] = []
    for _ in range(STEPS):
        if len(order) < BATCH:
            order = rng.sample(range(len(corpus.train)), len(corpus.train))
        yield corpus.agent.batchify([corpus.train[order.pop()] for _ in range(BATCH)])


def forgotten_at(points: list[tuple[float, float]], gain: float) -> float | None:
    """What is forgotten where this is gained: between the runs, which begin at (0, 0)."""
    points = [(0.0, 0.0), *sorted(points)]
    for (g0, f0), (g1, f1) in zip(points, points[1:]):
        if g0 <= gain <= g1:
            return f0 + (f1 - f0) * (gain - g0) / (g1 - g0)
    return None


def compared(runs: list[dict[str, Any]], update: str) -> list[dict[str, Any]]:
    """One row a choice: what it forgets at equal gain, and that against all parameters."""
    runs = [run for run in runs if run["update"] == update]
    curves = {
        (run["choice"], run["seed"]): [(gain, lost) for _, gain, lost in run["points"]]
        for run in runs
    }
    full = {run["seed"]: run["points"][-1][1] for run in runs if run["choice"] == ALL}
    rows = []
    for name in dict.fromkeys(run["choice"] for run in runs):
        mine = [run for run in runs if run["choice"] == name]
        row: dict[str, Any] = {
            "choice": name,
            "share": statistics.mean(run["share"] for run in mine),
            "tunes": sorted({run["tune"] for run in mine}),
            "seeds": len(mine),
            "gain": interval([run["points"][-1][1] for run in mine]),
            "forgotten": interval([run["points"][-1][2] for run in mine]),
            "cpu_s": statistics.mean(run["train_cpu_s"] for run in mine),
        }
        for level in LEVELS:
            pairs = [
                (forgotten_at(curves[name, s], level * g), forgotten_at(curves[ALL, s], level * g))
                for s, g in full.items()
                if (name, s) in curves
            ]
            known = [(mine, whole) for mine, whole in pairs if mine is not None and whole]
            row[f"forgotten@{level:g}"] = interval([mine for mine, _ in known])
            row[f"ratio@{level:g}"] = interval([mine / whole for mine, whole in known])
            row[f"reached@{level:g}"] = len(known)
            row[f"ratios@{level:g}"] = [mine / whole for mine, whole in known]
        rows.append(row)
    return rows


def pooled(runs: list[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """
    Of each choice, over all updates and seeds: what it forgets against all parameters.

    :return: rows, the best first: how many of the pairs (update, seed) reached the gain, and the
        geometric mean of their ratios with its 95 % interval
    """
    logs: dict[str, list[float]] = {}
    tried: dict[str, int] = {}
    for update in dict.fromkeys(run["update"] for run in runs):
        for row in compared(runs, update):
            ratios = row[f"ratios@{level:g}"]
            logs.setdefault(row["choice"], []).extend(math.log(r) for r in ratios if r > 0)
            tried[row["choice"]] = tried.get(row["choice"], 0) + row["seeds"]
    rows: list[dict[str, Any]] = []
    for name, values in logs.items():
        found = interval(values)
        if found is not None and name != ALL:
            mean, spread = found
            ratio, low, high = (math.exp(mean + sign * spread) for sign in (0, -1, 1))
            row = {"choice": name, "reached": len(values), "tried": tried[name]}
            rows.append({**row, "ratio": ratio, "low": low, "high": high})
    return sorted(rows, key=lambda row: float(row["ratio"]))


def interval(values: list[float]) -> tuple[float, float] | None:
    """Mean, and half of its 95 % interval by Student's t (0 for one value)."""
    if not values:
        return None
    spread = 0.0
    if len(values) > 1:
        t = float(scipy.stats.t.ppf(0.975, len(values) - 1))
        spread = t * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), spread


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown, one table an update."""
    lines = [
        f"Measured: {json.dumps(result['about'])}",
        f"Runs by commit: {', '.join(commits_of(result))}.",
        f"Settings: {json.dumps(result['settings'])}",
    ]
    for update in dict.fromkeys(run["update"] for run in result["runs"]):
        first = next(run for run in result["runs"] if run["update"] == update)
        lines += [
            "",
            f"**{update}**. Before: update {first['update_before']:.1f} ppl, old "
            f"{first['old_before']:.2f} ppl.",
            "",
            "| choice | seeds | parameters | "
            + " | ".join(f"forgotten at {level:.0%} | against all" for level in LEVELS)
            + " | gain | forgotten | CPU s |",
            "|---|--:|--:|" + "--:|" * (2 * len(LEVELS) + 3),
        ]
        for row in compared(result["runs"], update):
            cells = [str(row["seeds"]), f"{row['share']:.1%}"]
            for level in LEVELS:
                cells.append(_cell(row[f"forgotten@{level:g}"], 3))
                reached = row[f"reached@{level:g}"]
                some = f" ({reached} of {row['seeds']})" if 0 < reached < row["seeds"] else ""
                cells.append(_cell(row[f"ratio@{level:g}"], 2) + some)
            cells += [_cell(row["gain"], 2), _cell(row["forgotten"], 3), f"{row['cpu_s']:.0f}"]
            lines.append(f"| {row['choice']} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"**All updates and seeds**: what is forgotten at {LEVELS[-1]:.0%} of the gain of all "
        "parameters, against what these forget there (geometric mean, 95 % interval; below 1 is "
        "better).",
        "",
        "| choice | reached by | against all | from | to |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in result["pooled"]:
        bounds = f"{row['low']:.2f} | {row['high']:.2f}" if row["low"] < row["high"] else " | "
        reached = f"{row['reached']} of {row['tried']}"
        lines.append(f"| {row['choice']} | {reached} | {row['ratio']:.2f} | {bounds} |")
    return "\n".join(lines) + "\n"


def commits_of(result: dict[str, Any]) -> list[str]:
    """Which code made how many of the runs."""
    counts = Counter(run["commit"] for run in result["runs"])
    return [f"{count} of {commit}" for commit, count in counts.items()]


def _cell(value: Sequence[float] | None, digits: int) -> str:
    if value is None:
        return "not reached"
    spread = f" ± {value[1]:.{digits}f}" if value[1] else ""
    return f"{value[0]:.{digits}f}{spread}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Gain against forgetting, a panel an update, a line a choice, along it how much is kept."""
    plt = pyplot()
    if plt is None:
        return
    updates = list(dict.fromkeys(run["update"] for run in result["runs"]))
    figure, panels = plt.subplots(
        1, len(updates), figsize=(4.6 * len(updates), 5.2), squeeze=False, layout="constrained"
    )
    handles: dict[str, Any] = {}
    for axes, update in zip(panels[0], updates):
        most = 0.0
        for i, name in enumerate(CHOICES):
            mine = [r for r in result["runs"] if r["update"] == update and r["choice"] == name]
            if not mine:
                continue
            # the mean curve of the seeds: alphas are the same
            means = [
                tuple(statistics.mean(values) for values in zip(*((f, g) for _, g, f in points)))
                for points in zip(*(run["points"] for run in mine))
            ]
            ours = name == ALL or name.startswith("auto")
            (handles[name],) = axes.plot(
                *zip((0.0, 0.0), *means),
                "-" if ours else ":",
                linewidth=2 if ours else 1,
                marker="osD^vP*X"[i % 8],
                color=plt.get_cmap("tab20")(i),
            )
            most = max(most, means[-1][1])
        axes.set_ylim(0.35 * most, 1.03 * most)
        axes.set_title(update)
        axes.set_xlabel("forgotten of the old data (log-perplexity)")
    panels[0][0].set_ylabel("gained on the update (log-perplexity)")
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=5, fontsize=8
    )
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
