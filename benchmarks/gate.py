"""
How often the gate errs: simulated updates, drawn from real losses conversation by conversation.

``gate_losses.json.gz`` has, of each held-out turn of Schema-Guided Dialogue and of
``telecom:retain``, the loss of the model in service and of two candidates: tuned plainly on an
update, and with replay and ``lwf``. A simulated update draws
conversations of it with their turns and tokens, and gives the candidate a change whose mean is the
effect that is wanted, whose spread and skew are those of a real candidate, and of which a share is
common to a conversation (the correlation).

    python benchmarks/gate.py --out build/gate
    python benchmarks/gate.py --measure shared/data/sgd --candidates MODELS --losses NEW.json.gz

``MODELS/sgd_plain/model`` and so on are candidates of ``parlai train_model -m frozen_layer``.
"""

import argparse
import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import about, publish, pyplot

from parlai_cu.retention.paired import Sums, paired_difference
from parlai_cu.update.gate import FAIL, MIN_CONVERSATIONS, PASS
from parlai_cu.update.planning import before_training, needed, spread_bounds
from parlai_cu.update.slices import slice_results
from parlai_cu.versions.canary import CANARY, LIVE, Guard

LOSSES = Path(__file__).parent / "gate_losses.json.gz"
LIMIT = float(np.log1p(0.05))
CORRELATIONS = (0.0, 0.1, 0.3, 0.5)
SIZES = (20, 60, 200)
EFFECTS = (0.0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2)
SLICES = 10
LEVEL = 0.95
# how often conversations are drawn again in a test
RESAMPLES = 500


@dataclass
class Losses:
    """
    Of one corpus and candidate, what simulated updates are drawn from.

    :param live: float[turns], the live model's loss of each turn
    :param tokens: float[turns]
    :param turns: of each conversation its turns' indexes
    :param shared: float[conversations], the candidate's change a token, without its mean
    :param own: float[turns], what is left of each turn's
    """

    live: np.ndarray
    tokens: np.ndarray
    turns: list[np.ndarray]
    shared: np.ndarray
    own: np.ndarray
    spread: float

    def draw(
        self, count: int, effect: Any, correlation: float, rng: np.random.Generator
    ) -> tuple[Sums, Sums]:
        """
        Losses of a live model and a simulated candidate.

        :param count: of conversations
        :param effect: nats a token by which the candidate is worse; may differ by conversation
        :param correlation: of the changes of two turns of one conversation
        """
        chosen = rng.integers(len(self.turns), size=count)
        at = np.concatenate([self.turns[i] for i in chosen])
        ids = np.repeat(np.arange(count), [len(self.turns[i]) for i in chosen])
        common = rng.choice(self.shared, count)[ids]
        own = rng.choice(self.own, len(at))
        noise = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        effects = np.broadcast_to(effect, count)[ids]
        tokens = self.tokens[at]
        live = self.live[at]
        changed = live + tokens * (effects + self.spread * noise)
        return Sums(live, tokens, ids), Sums(changed, tokens, ids)


def losses_of(corpus: dict[str, Any], candidate: str) -> Losses:
    """The pools of a corpus, standardised."""
    ids = np.array(corpus["conversation"])
    tokens = np.array(corpus["tokens"], dtype=float)
    live = np.array(corpus["live"])
    change = (np.array(corpus[candidate]) - live) / tokens
    change -= np.average(change, weights=tokens)
    turns = [np.flatnonzero(ids == i) for i in range(ids.max() + 1)]
    means = np.array([change[at].mean() for at in turns])
    own = change - means[ids]
    spread = float(change.std())
    return Losses(live, tokens, turns, standard(means), standard(own), spread)


def standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and standard deviation 1."""
    return np.asarray((values - values.mean()) / values.std())


def harmed(pool: Losses) -> Losses:
    """The same with all harm in a tail: what a candidate breaks it breaks in few places."""
    return replace(pool, shared=-pool.shared, own=-pool.own)


def by_turn(base: Sums, candidate: Sums, rng: np.random.Generator) -> float:
    """The upper bound of the loss by the percentiles of a bootstrap over turns, as it was."""
    size = len(base.total)
    change = candidate.total - base.total
    drawn = rng.integers(size, size=(RESAMPLES, size))
    return float(np.quantile(change[drawn].sum(1) / base.count[drawn].sum(1), LEVEL))


def bounds(base: Sums, candidate: Sums, seed: int) -> tuple[float, float]:
    """Of the loss, as the gate has them."""
    found = paired_difference(base, candidate, level=2 * LEVEL - 1, resamples=RESAMPLES, seed=seed)
    return found.low, found.high


def errors(pools: dict[str, Losses], runs: int) -> list[dict[str, Any]]:
    """Candidates whose loss is exactly the limit: how many pass."""
    rows = []
    for name, pool in pools.items():
        for correlation in CORRELATIONS:
            for count in SIZES:
                rng = np.random.default_rng(count + int(100 * correlation))
                pairs = [pool.draw(count, LIMIT, correlation, rng) for _ in range(runs)]
                passed = [bounds(*pair, seed)[1] <= LIMIT for seed, pair in enumerate(pairs)]
                by_turns = [by_turn(*pair, rng) <= LIMIT for pair in pairs[: runs // 5]]
                rows.append(
                    {
                        "losses": name,
                        "correlation": correlation,
                        "conversations": count,
                        "runs": runs,
                        "false_accepts": float(np.mean(passed)),
                        "false_accepts_by_turn": float(np.mean(by_turns)),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def skewed(pools: dict[str, Losses], runs: int) -> list[dict[str, Any]]:
    """At the limit, but unevenly: a long tail of harm, or all of it in some conversations."""
    rows = []
    for name, pool in pools.items():
        for harm in ("long tail", "in 3 of 10", "in 1 of 10"):
            for count in SIZES:
                rng = np.random.default_rng(count)
                passed = 0
                for seed in range(runs):
                    effect: Any = LIMIT
                    if harm != "long tail":
                        share = int(harm.split()[1]) / 10
                        effect = np.where(rng.random(count) < share, LIMIT / share, 0.0)
                    drawn = harmed(pool) if harm == "long tail" else pool
                    passed += bounds(*drawn.draw(count, effect, 0.3, rng), seed)[1] <= LIMIT
                rows.append(
                    {
                        "losses": name,
                        "harm": harm,
                        "conversations": count,
                        "runs": runs,
                        "false_accepts": passed / runs,
                    }
                )
                print(rows[-1], flush=True)
    return rows


def power(pools: dict[str, Losses], runs: int) -> list[dict[str, Any]]:
    """What becomes of candidates that lose nothing, a little, and too much."""
    rows = []
    for name, pool in pools.items():
        for count in SIZES:
            for effect in EFFECTS:
                rng = np.random.default_rng(count)
                found = [bounds(*pool.draw(count, effect, 0.2, rng), i) for i in range(runs)]
                rows.append(
                    {
                        "losses": name,
                        "conversations": count,
                        "effect": effect,
                        "runs": runs,
                        "passes": float(np.mean([high <= LIMIT for _, high in found])),
                        "fails": float(np.mean([low > LIMIT for low, _ in found])),
                    }
                )
    return rows


def sliced(pools: dict[str, Losses], runs: int) -> list[dict[str, Any]]:
    """Ten slices of unequal size: an honest candidate, and one that destroys one of them."""
    rows = []
    for name, pool in pools.items():
        for count in (100, 200, 400):
            sizes = np.maximum(1, (count * standard_sizes()).astype(int))
            part = np.repeat(np.arange(SLICES), sizes)
            for broken, lost in ((None, 0.0), (3, 3 * LIMIT), (3, 0.5), (3, 1.0)):
                rng = np.random.default_rng(count)
                tally = {"named": 0, "another": 0, "open": 0, "fine_on_average": 0}
                for seed in range(runs):
                    effect = np.where(part == broken, lost, 0.0) if broken is not None else 0.0
                    base, candidate = pool.draw(len(part), effect, 0.2, rng)
                    names = [f"slice {part[i]}" for i in base.ids()]
                    found = slice_results(names, base, candidate, 3 * LIMIT, LEVEL)
                    failed = {one.name for one in found if one.result == FAIL}
                    tally["named"] += f"slice {broken}" in failed
                    tally["another"] += bool(failed - {f"slice {broken}"})
                    tally["open"] += not failed and any(one.result != PASS for one in found)
                    tally["fine_on_average"] += bounds(base, candidate, seed)[1] <= LIMIT
                rows.append(
                    {
                        "losses": name,
                        "conversations": len(part),
                        "of_the_slice": int(sizes[3]),
                        "lost": lost,
                        "runs": runs,
                        **{key: value / runs for key, value in tally.items()},
                    }
                )
                print(rows[-1], flush=True)
    return rows


def standard_sizes() -> np.ndarray:
    """Shares of ten slices: the largest six times the smallest."""
    shares = np.geomspace(6, 1, SLICES)
    return np.asarray(shares / shares.sum())


def predicted(pools: dict[str, Losses], runs: int) -> list[dict[str, Any]]:
    """How near the number of conversations that is foretold is to the one that decides."""
    rows = []
    for name, pool in pools.items():
        rng = np.random.default_rng(0)
        large = [pool.draw(4000, 0.0, 0.2, rng) for _ in range(2)]
        error = np.mean([paired_difference(*p, resamples=10).error for p in large])
        right = max(needed(float(error), 4000, LIMIT, LEVEL), MIN_CONVERSATIONS)
        decided = np.mean(
            [bounds(*pool.draw(right, 0.0, 0.2, rng), i)[1] <= LIMIT for i in range(runs)]
        )
        for pilot in (20, 40, 80):
            found, within, before = [], 0, []
            for _ in range(runs):
                base, candidate = pool.draw(pilot, 0.0, 0.2, rng)
                pair = paired_difference(base, candidate, resamples=10)
                found.append(_wanted(pair.error, pilot))
                least, most = (_wanted(e, pilot) for e in spread_bounds(pair.error, pilot))
                within += least <= right <= most
                first = before_training("", "ppl", LIMIT, base, LEVEL, MIN_CONVERSATIONS)
                # an earlier update of the same kind, judged on as many conversations
                other = paired_difference(*pool.draw(pilot, 0.0, 0.2, rng), resamples=10)
                later = before_training(
                    *("", "ppl", LIMIT, base, LEVEL, MIN_CONVERSATIONS),
                    earlier=[other.error * np.sqrt(pilot)],
                )
                before.append((first.fewest, first.needed, later.needed))
            ratio = np.array(found) / right
            fewest, most, later_one = np.median(before, axis=0)
            rows.append(
                {
                    "losses": name,
                    "first": pilot,
                    "decides": right,
                    "decided_there": float(decided),
                    "predicted_median": float(np.median(found)),
                    "within_25_percent": float(np.mean(np.abs(ratio - 1) <= 0.25)),
                    "within_bounds": within / runs,
                    "before_training_fewest": float(fewest),
                    "before_training_most": float(most),
                    "after_an_earlier_update": float(later_one),
                }
            )
            print(rows[-1], flush=True)
    return rows


def _wanted(error: float, conversations: int) -> int:
    """What decides; the gate wants some in any case."""
    return max(needed(error, conversations, LIMIT, LEVEL), MIN_CONVERSATIONS)


def canary(runs: int, conversations: int = 120) -> list[dict[str, Any]]:
    """Canaries as good as the live version, and worse ones, looked at after each of their turns."""
    rows = []
    for correlation in (0.0, 0.2, 0.5):
        for rate in (0.03, 0.3):
            row: dict[str, Any] = {"correlation": correlation, "failing": rate, "runs": runs}
            for unit in ("conversation", "turn"):
                rng = np.random.default_rng(int(100 * correlation))
                ends = [_tried(rng, correlation, rate, unit, conversations) for _ in range(runs)]
                taken = [end for end in ends if end is not None]
                row[f"taken_back_by_{unit}"] = len(taken) / runs
                row[f"after_by_{unit}"] = float(np.median(taken)) if taken else None
            rows.append(row)
            print(row, flush=True)
    return rows


def _tried(
    rng: np.random.Generator, correlation: float, rate: float, unit: str, conversations: int
) -> int | None:
    """After how many conversations of its own a canary is taken back; a half of all are."""
    guard = Guard()
    begun: set[str] = set()
    open_ones: list[tuple[str, str, float, int]] = []
    for number in range(2 * conversations + 8):
        while len(open_ones) >= 8 or number >= 2 * conversations and open_ones:
            i = int(rng.integers(len(open_ones)))
            who, arm, chance, left = open_ones.pop(i)
            said = f"{who} {left}" if unit == "turn" else who
            begun.add(who) if arm == CANARY else None
            guard.turn(arm, said, 0.1, bool(rng.random() < chance))
            if left > 1:
                open_ones.append((who, arm, chance, left - 1))
            if arm == CANARY and guard.breach():
                return len(begun)
        arm = CANARY if rng.random() < 0.5 else LIVE
        p = rate if arm == CANARY else 0.03
        worth = (1 - correlation) / correlation if correlation else 0.0
        chance = float(rng.beta(p * worth, (1 - p) * worth)) if correlation else p
        open_ones.append((str(number), arm, chance, int(rng.integers(3, 13))))
    return None


def losses_of_models(folder: str, candidates: Path) -> dict[str, Any]:
    """The losses of models on held-out turns, with their conversations and tokens."""
    from parlai.core.build_data import modelzoo_path
    from parlai.core.params import ParlaiParser

    from parlai_cu.update.step_cache import StepCache
    from parlai_cu.update.steps.evaluation import EvaluatedModel

    opt = ParlaiParser(True, False).parse_args(["--loglevel", "error"])
    whole = f"jsonfile:jsonfile_datapath={folder}/%s.jsonl:jsonfile_datatype_extension=false"
    sgd = [(whole % "base_test", "test"), (whole % "base_valid", "test")]
    telecom = [("telecom:retain", "test"), ("telecom:retain", "valid")]
    live = {
        "sgd": f"{folder}/../sgd_base_model/model",
        "telecom": modelzoo_path(opt["datapath"], "zoo:telecom/base"),
    }
    found = {}
    for corpus, tasks in (("sgd", sgd), ("telecom", telecom)):
        rows: dict[str, Any] = {"conversation": [], "part": [], "tokens": []}
        ids: dict[str, int] = {}
        models = {"live": live[corpus]}
        for kind in ("plain", "replay"):
            models[kind] = str(candidates / f"{corpus}_{kind}" / "model")
        for which, file in models.items():
            model = EvaluatedModel(opt, file, file, StepCache(str(candidates / "steps")))
            rows[which] = []
            for i, (task, split) in enumerate(tasks):
                for one in model._answer(task, split, 10**6, False, None):
                    total, count = one.sums["loss"]
                    rows[which].append(round(total, 3))
                    if which == "live":
                        name = f"{i} {one.conversation}"
                        rows["conversation"].append(ids.setdefault(name, len(ids)))
                        rows["part"].append(one.part)
                        rows["tokens"].append(int(count))
        found[corpus] = rows
    return found


def table(result: dict[str, Any]) -> str:
    """Share of candidates at the limit that pass, by correlation and number of conversations."""
    lines = [
        "| losses of | correlation | " + " | ".join(f"{n} conversations" for n in SIZES) + " |",
        "|---|--:|" + "--:|" * len(SIZES),
    ]
    for name in dict.fromkeys(row["losses"] for row in result["errors"]):
        for correlation in CORRELATIONS:
            cells = [
                f"{row['false_accepts']:.1%} ({row['false_accepts_by_turn']:.1%})"
                for row in result["errors"]
                if row["losses"] == name and row["correlation"] == correlation
            ]
            lines.append(f"| {name} | {correlation:g} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def slice_table(result: dict[str, Any]) -> str:
    """What becomes of honest candidates and of those that destroy one slice of ten."""
    lines = [
        "| losses of | conversations | of the slice | it loses | named | another named | "
        "undecided | passes on average |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["slices"]:
        named = f"{row['named']:.1%}" if row["lost"] else ""
        lines.append(
            f"| {row['losses']} | {row['conversations']} | {row['of_the_slice']} | "
            f"{row['lost']:.2g} | {named} | {row['another']:.1%} | {row['open']:.1%} | "
            f"{row['fine_on_average']:.1%} |"
        )
    return "\n".join([*lines, ""])


def canary_table(result: dict[str, Any]) -> str:
    """Share of canaries taken back, and after how many of their conversations in the middle."""
    lines = [
        "| correlation | turns that fail (live 3 %) | taken back | after conversations | "
        "turn by turn: taken back | after |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["canary"]:
        cells = []
        for unit in ("conversation", "turn"):
            after = row[f"after_by_{unit}"]
            cells += [f"{row[f'taken_back_by_{unit}']:.1%}", f"{after:g}" if after else ""]
        lines.append(
            f"| {row['correlation']:g} | {row['failing']:.0%} | " + " | ".join(cells) + " |"
        )
    return "\n".join([*lines, ""])


def prediction_table(result: dict[str, Any]) -> str:
    """The number of conversations that is foretold beside the one that decides four of five."""
    lines = [
        "| losses of | decides | first sample | foretold (median) | within 25 % | between the two "
        "that are told | before training | and after an earlier update |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["predicted"]:
        lines.append(
            f"| {row['losses']} | {row['decides']} | {row['first']} | "
            f"{row['predicted_median']:.0f} | {row['within_25_percent']:.0%} | "
            f"{row['within_bounds']:.0%} | {row['before_training_fewest']:.0f} to "
            f"{row['before_training_most']:.0f} | {row['after_an_earlier_update']:.0f} |"
        )
    return "\n".join([*lines, ""])


def skew_table(result: dict[str, Any]) -> str:
    """Share of candidates at the limit that pass, where harm is uneven."""
    lines = [
        "| losses of | harm | " + " | ".join(f"{n} conversations" for n in SIZES) + " |",
        "|---|---|" + "--:|" * len(SIZES),
    ]
    for name, harm in dict.fromkeys((row["losses"], row["harm"]) for row in result["skewed"]):
        cells = [
            f"{row['false_accepts']:.1%}"
            for row in result["skewed"]
            if (row["losses"], row["harm"]) == (name, harm)
        ]
        lines.append(f"| {name} | {harm} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def draw(result: dict[str, Any], path: Path) -> None:
    """Curves of what passes and fails, against the effect."""
    plt = pyplot()
    if plt is None:
        return
    names = list(dict.fromkeys(row["losses"] for row in result["power"]))
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.2), sharey=True)
    for axis, name in zip(np.atleast_1d(axes), names):
        for i, count in enumerate(SIZES):
            rows = [
                row
                for row in result["power"]
                if row["losses"] == name and row["conversations"] == count
            ]
            x = [row["effect"] for row in rows]
            axis.plot(x, [row["passes"] for row in rows], f"C{i}-", label=f"{count} pass")
            axis.plot(x, [row["fails"] for row in rows], f"C{i}--", label=f"{count} fail")
        axis.axvline(LIMIT, color="grey", linewidth=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("true loss, nats a token")
    np.atleast_1d(axes)[0].set_ylabel("share of candidates")
    np.atleast_1d(axes)[-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure losses, or simulate with those that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--losses", type=Path, default=LOSSES, help="drawn from, or written")
    parser.add_argument("--out", type=Path, default=Path("build/gate"))
    parser.add_argument("--measure", help="folder of Schema-Guided Dialogue: measure the losses")
    parser.add_argument("--candidates", type=Path, help="folder of the candidates' models")
    parser.add_argument("--runs", type=int, default=200, help="simulated updates of each cell")
    args = parser.parse_args()
    if args.measure:
        found = json.dumps(losses_of_models(args.measure, args.candidates))
        args.losses.write_bytes(gzip.compress(found.encode(), mtime=0))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    corpora = json.loads(gzip.decompress(args.losses.read_bytes()))
    pools = {
        f"{name}, {kind}": losses_of(corpora[name], kind)
        for name, kind in (("telecom", "replay"), ("sgd", "plain"), ("sgd", "replay"))
    }
    result = {
        "about": about([0]),
        "settings": {"runs": args.runs, "limit": 0.05, "level": LEVEL},
        "canary": canary(max(20, args.runs // 20)),
        "errors": errors(pools, args.runs),
        "skewed": skewed(pools, args.runs),
        "slices": sliced(pools, max(20, args.runs // 5)),
        "power": power(pools, max(20, args.runs // 5)),
        "predicted": predicted(pools, max(20, args.runs // 2)),
    }
    parts = (table, skew_table, slice_table, canary_table, prediction_table)
    text = "\n".join(part(result) for part in parts)
    publish(args.out, result, text, draw)


if __name__ == "__main__":
    main()
