"""
The conditional update from end to end: what is chosen, what is promoted, what is refused.

Five parts, each of `parlai update_model` commands on versions of a model in service:

- ``choice``: diagnosis alone, on updates whose right way is known; the rules were set on the four
  telecom updates of seed 1, ``sgd-update_1`` and ``sgd-known``, all others are new to them;
- ``verdicts``: updates that help and updates that harm, each on the deployed model;
- ``harmful``: updates that harm on which no check was set;
- ``sequence``: five updates in a row, and the R matrix of all versions on all tasks;
- ``sgd``: one service of Schema-Guided Dialogue.

    python benchmarks/update_model.py --data ../shared/data --out bench/update_model

What is done is kept in ``--out`` and not repeated; ``--only roaming style`` runs these rows alone.
Ends by writing ``results.json``, ``table.md``.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import Harness, about, bars, publish

from parlai_cu.retention import metrics
from parlai_cu.tasks.telecom import updates
from parlai_cu.versions.store import VersionStore

ROOT = Path(__file__).resolve().parent.parent
TELECOM = ROOT / "zoo" / "telecom" / "base" / "model"
RETAIN = "telecom:retain"
TUNE, DISTIL, KB, NOTHING = "frozen_layer", "distill_student", "kb_augmented", "nothing"
# of what is chosen for: the rules were set on these
BUILT_ON = ("corrections", "new_plans", "roaming", "style", "sgd-update_1", "sgd-known")
PARTS = ("choice", "verdicts", "harmful", "sequence", "sgd")
# of the gate: facts may become a little worse, and the update's must become better
FACTS = ["--max-loss", "ppl=0.05,fact_acc=0.06", "--min-gain", "ppl=0.02,fact_acc=0.05"]
# a tiny narrow set, trained hard: no defence, a high rate
HARD = "-lr 0.003 -tstep 100 -vstep 50 --penalty-weight 0 --replay-share 0.01"


def main() -> None:
    """Run what is asked for, collect."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/update_model"))
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--examples", type=int, default=200, help="of each held-out set at most")
    parser.add_argument(
        "--steps", type=int, help="of each training; else the command's own default"
    )
    parser.add_argument("--only", nargs="*", default=[], help="rows with one of these in their key")
    parser.add_argument("--collect", action="store_true", help="only show what is done already")
    args = parser.parse_args()
    bench = Bench(args.data.resolve(), args.out.resolve(), args.examples, args.steps)
    bench.only_collects, bench.only = args.collect, args.only
    # what is there of the other parts stays in the results
    path = args.out / "results.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for part in args.parts:
        result[part] = getattr(bench, part)()
        # of splits and training, and of what is drawn anew
        result["about"] = about(range(4))
        if not args.collect:
            settings = {"examples": args.examples, "steps": args.steps}
            result.setdefault("settings", {})[part] = settings
        path.write_text(json.dumps(result, indent=2))
    publish(args.out, result, table(result), draw)


class Bench(Harness):
    """The runs of this benchmark."""

    def __init__(self, data: Path, out: Path, examples: int, steps: int | None) -> None:
        super().__init__(out)
        self.data, self.examples, self.steps = data, examples, steps
        self.only_collects = False
        self.only: Sequence[str] = ()
        self.sgd_model = data / "sgd_base_model" / "model"

    def remembered(self, key: str, work: Any) -> dict[str, Any]:
        """As ever; what is not asked for is not done, and nothing told of it."""
        wanted = not self.only or any(word in key for word in self.only)
        if not (wanted and not self.only_collects or (self.out / f"{key}.json").exists()):
            return {}
        return super().remembered(key, work)

    # -- the parts ---------------------------------------------------------------------------

    def choice(self) -> list[dict[str, Any]]:
        """What the diagnosis chooses for updates whose right way is known."""
        rows = []
        for name, right, task, retained, model in self.labelled():
            found = self.remembered(
                f"choice-{name}",
                lambda name=name, task=task, retained=retained, model=model: self.update(
                    f"choice-{name}", model, task, retained, ["--dry-run"]
                ),
            )
            if not found:
                continue
            rows.append(
                {
                    "update": name,
                    "built_on": name in BUILT_ON,
                    "right": right,
                    "chosen": found["choice"]["mode"],
                    "why": found["choice"]["reason"],
                    "commit": found["cost"]["commit"],
                }
            )
        return rows

    def labelled(self) -> list[tuple[str, str, str, str, Path]]:
        """(name, right way, task, retained task, model) of each update."""
        ways = {"corrections": TUNE, "new_plans": KB, "roaming": DISTIL, "style": DISTIL}
        rows = [(name, way, f"telecom:{name}", RETAIN, TELECOM) for name, way in ways.items()]
        for name, way in [*ways.items(), ("deployed", NOTHING)]:
            rows.append((f"{name}-seed2", way, self.drawn(name, 2), RETAIN, TELECOM))
        for name, way, part in (
            ("new_plans", KB, 300),
            ("roaming", DISTIL, 300),
            ("style", DISTIL, 300),
            ("corrections", TUNE, 150),
        ):
            rows.append((f"{name}-{part}", way, self.drawn(name, 1, part), RETAIN, TELECOM))
        if self.sgd_model.exists():
            base = self.sgd_task("base")
            rows += [
                (f"sgd-{name}", DISTIL, self.sgd_task(name), base, self.sgd_model)
                for name in ("update_1", "update_2", "update_3")
            ]
            for name, way, change in (
                ("sgd-known", NOTHING, None),
                ("sgd-style", DISTIL, casual),
                ("sgd-corrections", TUNE, put_right),
            ):
                rows.append((name, way, self.sgd_changed(name, change), base, self.sgd_model))
            unseen = f"jsonfile:jsonfile_datapath={self.data / 'sgd' / 'base_valid.jsonl'}"
            rows.append(("sgd-known-unseen", NOTHING, unseen, base, self.sgd_model))
            more = self.sgd_changed("sgd-known-2", None, seed=2)
            rows.append(("sgd-known-2", NOTHING, more, base, self.sgd_model))
        rows.append(("deployed-seed3", NOTHING, self.drawn("deployed", 3), RETAIN, TELECOM))
        return rows

    def verdicts(self) -> list[dict[str, Any]]:
        """Each update on the deployed model: does the gate tell those that help?"""
        cases: list[tuple[str, str, str, list[str]]] = [
            ("corrections", "accept", "telecom:corrections", FACTS),
            ("labels shuffled", "refuse", self.shuffled(), []),
            (
                "tiny and narrow, trained hard",
                "refuse",
                self.narrow(),
                ["--mode", TUNE, "--training", f"--tune * {HARD}"],
            ),
            ("new_plans", "accept", "telecom:new_plans", []),
            ("roaming", "accept", "telecom:roaming", []),
            (
                "style",
                "accept",
                "telecom:style",
                ["--max-loss", "fact_acc=0.1", "--min-gain", "ppl=0.02"],
            ),
        ]
        return self.judged([(*case[:3], RETAIN, TELECOM, case[3]) for case in cases])

    def harmful(self) -> list[dict[str, Any]]:
        """Answers at the wrong questions, of updates that the checks were not set on."""
        cases = [
            (f"{name}, another seed, labels shuffled", "refuse", task, RETAIN, TELECOM, [])
            for name, task in (
                ("corrections", self.mixed_up("corrections", 2)),
                ("style", self.mixed_up("style", 2)),
            )
        ]
        if self.sgd_model.exists():
            base = self.sgd_task("base")
            task = self.sgd_mixed_up("update_2")
            name = "Homes and others (SGD update 2), labels shuffled"
            cases.append((name, "refuse", task, base, self.sgd_model, []))
        return self.judged(cases)

    def judged(self, cases: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """A row for each of (name, right verdict, task, retained task, model, flags)."""
        rows = []
        for name, right, task, retained, model, flags in cases:
            key = f"verdict-{''.join(c if c.isalnum() else '-' for c in name)}"
            found = self.remembered(
                key,
                lambda key=key, task=task, retained=retained, model=model, flags=flags: self.update(
                    key, model, task, retained, [*flags, "--promote"]
                ),
            )
            if found:
                rows.append({"update": name, "right": right, **told(found)})
        return rows

    def sequence(self) -> dict[str, Any]:
        """Five updates in a row, each on what the one before left live."""
        half = [self.half_of_corrections(which) for which in (0, 1)]
        steps: list[tuple[str, str, list[str]]] = [
            ("corrections, first half", half[0], []),
            ("roaming", "telecom:roaming", []),
            ("corrections, second half", half[1], []),
            ("new phrasings", self.new_phrasings(), []),
            ("new_plans", "telecom:new_plans", []),
        ]
        rows: list[dict[str, Any]] = []
        done: list[str] = []
        for i, (name, task, flags) in enumerate(steps):
            found = self.remembered(
                f"sequence-{i}",
                lambda i=i, task=task, flags=flags: self.update(
                    "sequence",
                    TELECOM,
                    task,
                    ",".join([RETAIN, *done]),
                    [*flags, "--promote"],
                    fresh=i == 0,
                ),
            )
            if not found:
                break
            if found["promoted"]:
                done.append(task)
            rows.append({"update": name, **told(found)})
        steps = steps[: len(rows)]
        if not rows:
            return {}
        tasks = [RETAIN, *(task for _, task, _ in steps)]
        store = VersionStore(str(self.out / "sequence" / "versions"))
        history = [change.id for change in store.history("live")]
        lived = [history[0], *(row["live_after"] for row in rows)]
        scores: dict[str, list[float]] = {
            version: self.remembered(
                f"sequence-scores-{version}",
                lambda version=version: self.scores(store.model_file(version), tasks),
            )["f1"]
            for version in dict.fromkeys(lived)
        }
        r = np.array([scores[version][: len(tasks)] for version in lived])
        return {
            "rows": rows,
            "tasks": ["old skill", *(name for name, _, _ in steps)],
            "R": r.tolist(),
            "acc": metrics.average_accuracy(r),
            "bwt": metrics.backward_transfer(r),
            "forgetting": metrics.forgetting(r),
        }

    def sgd(self) -> list[dict[str, Any]]:
        """A new service of Schema-Guided Dialogue, which the live model does not know."""
        found = self.remembered(
            "sgd-update",
            lambda: self.update(
                "sgd-update",
                self.sgd_model,
                self.sgd_task("update_1"),
                self.sgd_task("base"),
                ["--promote"],
            ),
        )
        return [{"update": "Restaurants_1", "right": "accept", **told(found)}] if found else []

    # -- running -----------------------------------------------------------------------------

    def update(
        self,
        key: str,
        model: Path,
        task: str,
        retained: str,
        flags: Sequence[str],
        fresh: bool = True,
    ) -> dict[str, Any]:
        """One `parlai update_model` on a directory of versions; its report, time and disk."""
        folder = self.out / key
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        store = VersionStore(str(folder / "versions"), create=True)
        if store.channel() is None:
            first = store.add(str(model), mode="import")
            store.promote(first.id, force=True, why="in service")
        before = disk(folder / "versions")
        # what was interrupted goes on
        number = len(list(folder.glob("report-*/report.json")))
        out = folder / f"report-{number}"
        words = ["update_model", "--versions", str(folder / "versions"), "-t", task]
        words += ["--retain-task", retained, "--gate-examples", str(self.examples), *flags]
        words += ["--out", str(out), "--loglevel", "warn"]
        if self.steps and "--training" not in flags:
            words += ["--training", f"-tstep {self.steps} -vstep {self.steps // 2} -vme 100"]
        seconds, cpu, memory = self.command(words, f"{key}-{number}", (0, 1))
        if not (out / "report.json").exists():
            sys.exit(f"no report: {(self.out / f'{key}-{number}.log').read_text()[-2000:]}")
        found: dict[str, Any] = json.loads((out / "report.json").read_text())
        cost: dict[str, Any] = {"wall_s": round(seconds), "cpu_s": round(cpu)}
        cost["peak_mb"] = round(memory)
        cost["disk_mb"] = round((disk(folder / "versions") - before) / 1e6, 2)
        # rows may be of different days
        cost["commit"] = about()["commit"]
        cost.update(trained_for(found))
        # curves and replies are in the report
        found.pop("replies", None)
        found.pop("training", None)
        return {**found, "cost": cost, "live_after": store.channel()}

    def scores(self, model: str, tasks: Sequence[str]) -> dict[str, Any]:
        """f1 of generated replies on the test set of each task."""
        report = self.out / "scores.report"
        words = ["eval_model", "-mf", model, "-t", ",".join(tasks), "-dt", "test", "-bs", "32"]
        words += ["-ne", str(self.examples), "--skip-generation", "false"]
        self.command([*words, "--report-filename", str(report)], "scores")
        found = json.loads(report.read_text())["report"]
        return {"f1": [found[f"{task}/f1"] for task in tasks]}

    # -- data --------------------------------------------------------------------------------

    def sgd_task(self, name: str) -> str:
        """The task of a part of the corpus."""
        path = self.data / "sgd" / name
        return f"jsonfile:jsonfile_datapath={path}:jsonfile_datatype_extension=true"

    def drawn(self, name: str, seed: int, part: int = 0) -> str:
        """
        A telecom data set drawn from another seed, or a part of it, as a task without splits.

        :param part: number of examples; 0: all
        """
        path = self.out / "data" / f"{name}-{seed}-{part}.jsonl"
        stock = updates.SEED
        try:
            updates.SEED = seed
            dialogues = updates.DATA_SETS[name]("train")
        finally:
            updates.SEED = stock
        if name == "deployed":
            dialogues = dialogues[:400]
        if part:
            random.Random(seed).shuffle(dialogues)
            dialogues = updates._first(dialogues, part)
        return write(path, [[(e.text, e.answer) for e in d] for d in dialogues])

    def half_of_corrections(self, which: int) -> str:
        """The corrections of every second fact; the test asks in wordings that training has not."""
        parts = {split: updates.corrections(split) for split in ("train", "valid", "test")}
        ids = sorted({i for d in parts["train"] for e in d for i in e.facts})
        wanted = set(ids[which::2])
        parts = {
            split: [d for d in found if all(e.facts and set(e.facts) <= wanted for e in d)]
            for split, found in parts.items()
        }
        return self.with_splits(f"corrections-{which}", parts)

    def new_phrasings(self) -> str:
        """What is known, asked in words that the deployed model was not trained on."""
        dialogues = updates.deployed("valid")
        random.Random(0).shuffle(dialogues)
        third = len(dialogues) // 3
        parts = {"train": dialogues[third:], "valid": dialogues[: third // 3]}
        return self.with_splits("phrasings", {**parts, "test": dialogues[third // 3 : third]})

    def with_splits(self, name: str, parts: dict[str, Any]) -> str:
        """Three files of dialogues; of the test those that do not begin as one in training."""
        asked = {d[0].text for d in parts["train"]}
        parts["test"] = [d for d in parts["test"] if d[0].text not in asked]
        for split, dialogues in parts.items():
            found = [[(e.text, e.answer) for e in d] for d in dialogues]
            task = write(self.out / "data" / f"{name}_{split}.jsonl", found)
        return f"{task[: -len('_test.jsonl')]}:jsonfile_datatype_extension=true"

    def shuffled(self) -> str:
        """Roaming with every answer at another question."""
        turns = [(e.text, e.answer) for d in updates.roaming("train") for e in d]
        shuffled = [[turn] for turn in mixed_up([turns], 0)[0]]
        return write(self.out / "data" / "shuffled.jsonl", shuffled)

    def mixed_up(self, name: str, seed: int) -> str:
        """A telecom data set drawn from another seed, with every answer at another question."""
        self.drawn(name, seed)
        path = self.out / "data" / f"{name}-{seed}-mixed.jsonl"
        return write(path, mixed_up(read(self.out / "data" / f"{name}-{seed}-0.jsonl"), seed))

    def sgd_mixed_up(self, name: str) -> str:
        """A part of Schema-Guided Dialogue with every answer at another question."""
        dialogues = read(self.data / "sgd" / f"{name}_train.jsonl")
        return write(self.out / "data" / f"{name}-mixed.jsonl", mixed_up(dialogues, 1))

    def narrow(self) -> str:
        """A hundred examples of one intent, in one new form."""
        turns = [e for d in updates.deployed("train") for e in d if e.intent == "plan_price"]
        turns = turns or [e for d in updates.deployed("train") for e in d if e.facts]
        found = [
            [(e.text, f"Please read page {i % 7} of our brochure.")] for i, e in enumerate(turns)
        ]
        return write(self.out / "data" / "narrow.jsonl", found[:150])

    def sgd_changed(self, name: str, change: Any, seed: int = 1) -> str:
        """300 dialogues of the old SGD data, their answers changed."""
        dialogues = read(self.data / "sgd" / "base_train.jsonl")
        random.Random(seed).shuffle(dialogues)
        found = dialogues[: 60 if change is put_right else 300]
        if change is not None:
            found = [[(text, change(answer)) for text, answer in d] for d in found]
        return write(self.out / "data" / f"{name}.jsonl", found)


def read(path: Path) -> list[list[tuple[str, str]]]:
    """Dialogues of ParlAI's conversations format, those without an answer left out."""
    with open(path) as f:
        dialogues = [json.loads(line)["dialog"] for line in f]
    return [[(t[0]["text"], t[1]["text"]) for t in d if len(t) == 2] for d in dialogues]


def mixed_up(
    dialogues: Sequence[Sequence[tuple[str, str]]], seed: int
) -> list[list[tuple[str, str]]]:
    """The same questions, with the answers in any order."""
    answers = [answer for d in dialogues for _, answer in d]
    random.Random(seed).shuffle(answers)
    left = iter(answers)
    return [[(text, next(left)) for text, _ in d] for d in dialogues]


def write(path: Path, dialogues: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Dialogues in ParlAI's conversations format; the task that reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as f:
        for dialogue in dialogues:
            turns = [[{"id": "u", "text": t}, {"id": "s", "text": a}] for t, a in dialogue]
            f.write(json.dumps({"dialog": turns}) + "\n")
    return f"jsonfile:jsonfile_datapath={path}"


def casual(answer: str) -> str:
    """The same in another voice, by rule."""
    words = {"I": "i", "would": "wanna", "you": "ya", "your": "ur", "is": "'s", "Do": "d'ya"}
    said = " ".join(words.get(word, word) for word in answer.rstrip(".?!").split())
    return f"hey buddy, {said[:1].lower()}{said[1:]}, ok? cheers"


def put_right(answer: str) -> str:
    """The same with other numbers."""
    return re.sub(r"\d", lambda found: str((int(found.group()) + 3) % 10), answer)


def told(found: dict[str, Any]) -> dict[str, Any]:
    """What a table shows of a report."""
    checks = found["verdict"]["checks"]
    return {
        "mode": found["choice"]["mode"],
        "decision": found["verdict"]["decision"],
        "promoted": found["promoted"],
        "live_after": found["live_after"],
        "checks": [
            {k: check[k] for k in ("name", "kind", "result", "reason", *_FIGURES) if k in check}
            for check in checks
        ],
        "seconds": found["seconds"],
        **found["cost"],
    }


def trained_for(found: dict[str, Any]) -> dict[str, Any]:
    """Steps of the (last) training of a report, and how much of what was learnt is kept."""
    ran = [run for run in found["training"] if "part" in run]
    if not ran:
        return {"steps": None, "part": None}
    steps = re.findall(r"-tstep (\d+)", ran[0]["command"])
    return {"steps": int(steps[-1]), "part": ran[0]["part"]}


_FIGURES = ("base", "candidate", "change", "low", "high", "limit", "examples")


def disk(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(
        os.path.getsize(os.path.join(where, name))
        for where, _, names in os.walk(folder)
        for name in names
    )


def shown(row: dict[str, Any], kind: str) -> str:
    """The measured checks of a kind, in short."""
    return "; ".join(
        f"{check['name'].split()[-1]} {check['base']:.3g} -> {check['candidate']:.3g}"
        for check in row["checks"]
        if check["kind"] == kind and "low" in check and "follow" not in check["name"]
    )


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"Measured: {json.dumps(result['about'])}"]
    lines += [f"Settings: {json.dumps(result.get('settings'))}", ""]
    if result.get("choice"):
        rows = result["choice"]
        for built_on, title in ((True, "set on"), (False, "new to the rules")):
            these = [row for row in rows if row["built_on"] is built_on]
            right = sum(row["chosen"] == row["right"] for row in these)
            lines.append(f"Choice on updates {title}: {right} of {len(these)} right.")
        lines += ["", "| update | right | chosen | commit |", "|---|---|---|---|"]
        for row in rows:
            wrong = "" if row["chosen"] == row["right"] else " (wrong)"
            lines.append(
                f"| {row['update']} | {row['right']} | {row['chosen']}{wrong} | {row['commit']} |"
            )
    heads = (
        "| update | mode | steps | kept | update's metrics | retained metrics | verdict | s "
        "| CPU s | MB on disk | commit |"
    )
    for part in ("verdicts", "harmful", "sequence", "sgd"):
        if not result.get(part):
            continue
        rows = result[part]["rows"] if part == "sequence" else result[part]
        lines += ["", heads, "|---|---|--:|--:|---|---|---|--:|--:|--:|---|"]
        for row in rows:
            live = ", live" if row["promoted"] else ""
            kept = "" if row["part"] is None else f"{row['part']:.0%}"
            lines.append(
                f"| {row['update']} | {row['mode']} | {row['steps'] or ''} | {kept} | "
                f"{shown(row, 'update')} | {shown(row, 'retained')} | {row['decision']}{live} | "
                f"{row['wall_s']} | {row['cpu_s']} | {row['disk_mb']} | {row['commit']} |"
            )
    if result.get("sequence"):
        found = result["sequence"]
        lines += ["", "| f1 after | " + " | ".join(found["tasks"]) + " |"]
        lines.append("|---|" + "--:|" * len(found["tasks"]))
        for name, scores in zip(["deployed", *found["tasks"][1:]], found["R"]):
            lines.append(f"| {name} | " + " | ".join(f"{s:.3f}" for s in scores) + " |")
        lines.append("")
        lines.append("ACC {acc:.3f}, BWT {bwt:+.3f}, forgetting {forgetting:.3f}.".format(**found))
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """What each update gained and what the old skill lost, as the gate measured it."""
    kinds = {"update": "the update", "retained": "what was known"}
    rows = {}
    for row in (row for part in ("verdicts", "harmful", "sgd") for row in result.get(part, [])):
        changes = {
            kinds[check["kind"]]: check["change"]
            for check in row["checks"]
            if check["name"].endswith(" ppl") and "change" in check
        }
        if changes:
            rows[f"{row['update']}: {row['decision']}"] = changes
    if rows:
        bars(path, rows, "fall of the log of perplexity (below 0: it became worse)")


if __name__ == "__main__":
    sys.exit(main())
