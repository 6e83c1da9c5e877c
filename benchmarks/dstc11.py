"""
DSTC11 track 5: does a turn need knowledge, which snippet answers it, and what is the reply like?

All snippets become facts of a SQLite knowledge base; ``parlai train_model -m kb_augmented`` learns
gates and a ranker from the training dialogues, ``parlai eval_model`` measures them on the
validation ones, which nothing is chosen by: of the training dialogues one in eight is kept to
choose the gate's epoch and to calibrate it.

Detection: the classifier from labels, the classifier from the facts and from the dialogues before
the labelled turns alone, and the search's score. Selection: search and learnt ranker; as many
validation dialogues are about hotels that training dialogues were about too, also learnt without
those of every fifth hotel or restaurant, and measured on them. Response: the reply to turns that
need knowledge, by what the ranker puts first.

    python benchmarks/dstc11.py --data ../shared/data --out bench/dstc11
"""

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List

from harness import Harness, about

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact

EPOCHS = 5
# one in so many entities is kept from the training of the last row of selection
HELD_OUT = 5
# one in so many dialogues is kept from a gate's training
DEV = 8
DETECTION, SELECTION = "dstc11:detection", "dstc11:selection"
DIALOGUES, RESPONSE = "dstc11:dialogues", "dstc11:response"
# how the gates learn: --kb-gate, task, and for how long
GATES = {
    # judged once, at the end: what is calibrated then is what is kept
    "classifier": ("classifier", f"{DETECTION},dstc11:earlier", ["-eps", "6", "-veps", "5.9"]),
    # without labels nothing can be chosen by them either
    "classifier, no labels": ("classifier", DIALOGUES, ["-tstep", "150", "-veps", "-1"]),
    "score": ("score", DETECTION, ["-eps", "2", "-veps", "1"]),
}
# how the reply is made of the facts
REPLIES = {
    "the model's own": ["--kb-gate", "never"],
    "answer": ["--kb-integrate", "answer"],
    "fuse": ["--kb-integrate", "fuse", "--kb-top-k", "1"],
}


def main() -> None:
    """Make the knowledge base, learn, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/dstc11"))
    args = parser.parse_args()
    corpus = args.data.resolve() / "dstc11"
    if not (corpus / "knowledge.json").exists():
        sys.exit(f"--data {args.data}: no dstc11/knowledge.json there")
    bench = Bench(args.out.resolve(), args.data.resolve() / "sgd_base_model" / "model", corpus)
    result = {"about": about(), "epochs": EPOCHS, **bench.tables()}
    (bench.out / "results.json").write_text(json.dumps(result, indent=2))
    text = table(result)
    (bench.out / "table.md").write_text(text)
    print(text)


class Bench(Harness):
    """The runs."""

    def __init__(self, out: Path, deployed: Path, corpus: Path) -> None:
        super().__init__(out)
        self.deployed, self.corpus = deployed, corpus
        self.kb = f"sqlite:///{out / 'facts.db'}"
        if not (out / "facts.db").exists():
            SQLiteFacts(self.kb, writable=True).add(facts(corpus))

    def tables(self) -> Dict[str, Dict[str, Dict[str, float]]]:
        """Detection, selection and response: each line's figures."""
        whole, held, dev = self.out / "whole", self.out / "held_out", self.out / "dev"
        link(self.corpus, whole)
        hold_out(self.corpus, held)
        split_off(self.corpus, dev)
        gates = {name: self.gate(name, dev) for name in GATES}
        ranker = self.ranker("ranker", whole)
        new = self.ranker("ranker-new", held)
        return {
            "detection": {name: self.detected(path, whole) for name, path in gates.items()},
            "selection": {
                "search": self.selected("search", whole, None),
                "learnt": self.selected("learnt", whole, ranker),
                "search, new entities": self.selected("search-new", held, None),
                "learnt, new entities": self.selected("learnt-new", held, new),
            },
            "response": {name: self.replied(name, whole, ranker) for name in REPLIES},
        }

    def gate(self, name: str, corpus: Path) -> Path:
        """A model whose gate learnt; of its epochs the best on the dialogues kept from it."""
        gate, task, length = GATES[name]
        words = ["--kb-gate", gate, "-t", task, "--dstc11-path", str(corpus), *length]
        words += ["--evaltask", DETECTION, "-vmt", "detection_f1", "-vmm", "max"]
        return self.learnt(f"gate-{name.replace(', ', '-').replace(' ', '-')}", words)

    def ranker(self, key: str, corpus: Path) -> Path:
        """A model whose ranker learnt; the last epoch is taken."""
        words = ["--kb-gate", "always", "--kb-rank", "word_pairs", "-t", SELECTION]
        words += ["--dstc11-path", str(corpus), "-eps", str(EPOCHS), "-veps", "-1"]
        return self.learnt(key, [*words, "--evaltask", DETECTION])

    def learnt(self, key: str, flags: List[str]) -> Path:
        """A model that learnt; remembered."""
        path = self.out / key / "model"
        words = ["train_model", "-m", "kb_augmented", "--init-model", str(self.deployed)]
        words += ["--kb", self.kb, "-bs", "16", "--seed", "0", *flags]
        self.remembered(
            key, lambda: {"wall_s": self.command([*words, "-mf", str(path)], f"train-{key}")[0]}
        )
        return path

    def detected(self, gate: Path, corpus: Path) -> Dict[str, float]:
        """Precision, recall, F1 and calibration error on the validation dialogues."""
        words = ["-mf", str(gate), "-t", DETECTION, "--kb-gate-threshold", "0.5"]
        found = self.report(f"{gate.parent.name}-detection", corpus, words)
        return {
            **{name: found[f"detection_{name}"] for name in ("p", "r", "f1")},
            "ece": found["gate_ece"],
        }

    def selected(self, key: str, corpus: Path, learnt: Any) -> Dict[str, float]:
        """How often a gold snippet is first, and in five."""
        words = ["-m", "kb_augmented", "--init-model", str(self.deployed), "--kb", self.kb]
        words = words if learnt is None else ["-mf", str(learnt)]
        words = [*words, "-t", SELECTION, "--kb-gate", "always"]
        found = self.report(f"{key}-selection", corpus, words)
        return {"first": found["kb_hits@1"], "five": found["kb_hits@5"], "ms": found["kb_ms"]}

    def replied(self, name: str, corpus: Path, ranker: Path) -> Dict[str, float]:
        """The reply beside the gold one."""
        words = ["-mf", str(ranker), "-t", RESPONSE, "--metrics", "bleu,rouge", *REPLIES[name]]
        key = f"response-{name.replace(' ', '-')}"
        found = self.report(key, corpus, words)
        names = {
            "bleu": "bleu-4",
            "rouge_l": "rouge_L",
            "meteor": "meteor",
            "meteor_words": "meteor_no_synonyms",
        }
        return {short: found[long] for short, long in names.items() if long in found}

    def report(self, key: str, corpus: Path, flags: List[str]) -> Dict[str, float]:
        """The report of an eval_model on a corpus' validation dialogues."""
        words = ["eval_model", "-dt", "valid", "--dstc11-path", str(corpus), "-bs", "1", *flags]

        def run() -> Dict[str, Any]:
            path = self.out / f"{key}.report"
            self.command([*words, "--report-filename", str(path)], f"eval-{key}")
            return {"report": json.loads(path.read_text())["report"]}

        return dict(self.remembered(key, run)["report"])


def facts(corpus: Path) -> Iterator[Fact]:
    """Each sentence of a review and each FAQ entry is a fact of its entity."""
    knowledge = json.loads((corpus / "knowledge.json").read_text())
    for domain, entities in knowledge.items():
        for number, entity in entities.items():
            of = {"entity": entity["name"].title()}
            for review, found in entity["reviews"].items():
                for i, text in found["sentences"].items():
                    yield Fact(text, id=f"{domain}-{number}-review-{review}-{i}", **of)
            for i, faq in entity["faqs"].items():
                asked, answer = faq["question"], faq["answer"]
                yield Fact(answer, id=f"{domain}-{number}-faq-{i}", question=asked, **of)


def link(corpus: Path, to: Path) -> None:
    """The corpus; training ends with a look at the test split, which is not published."""
    to.mkdir(exist_ok=True)
    for name, of in (("train", "train"), ("val", "val"), ("test", "val")):
        if not (to / name).exists():
            (to / name).symlink_to(corpus / of)
    (to / "knowledge.json").write_bytes((corpus / "knowledge.json").read_bytes())


def split_off(corpus: Path, to: Path) -> None:
    """A corpus of the training dialogues alone: those kept from training are its validation."""

    def kept(log: Any, label: Any, part: str) -> bool:
        is_dev = zlib.crc32(log[0]["text"].encode()) % DEV == 0
        return is_dev == (part == "val")

    rewrite(corpus, to, {"train": ("train", kept), "val": ("train", kept)})


def hold_out(corpus: Path, to: Path) -> None:
    """A corpus whose training never needs facts of held out entities, its validation only them."""

    def kept(log: Any, label: Any, part: str) -> bool:
        held = label["target"] and any(is_held_out(entry) for entry in label["knowledge"])
        return label["target"] and held == (part == "val")

    rewrite(corpus, to, {"train": ("train", kept), "val": ("val", kept)})


def rewrite(corpus: Path, to: Path, parts: Dict[str, Any]) -> None:
    """A corpus with some of the dialogues: part -> (part they are of, which of them)."""
    if to.exists():
        return
    for part, (of, kept) in parts.items():
        logs = json.loads((corpus / of / "logs.json").read_text())
        labels = json.loads((corpus / of / "labels.json").read_text())
        chosen = [pair for pair in zip(logs, labels) if kept(*pair, part)]
        (to / part).mkdir(parents=True)
        for name, column in zip(("logs", "labels"), zip(*chosen)):
            (to / part / f"{name}.json").write_text(json.dumps(column))
    (to / "test").symlink_to(to / "val")
    (to / "knowledge.json").write_bytes((corpus / "knowledge.json").read_bytes())


def is_held_out(entry: Dict[str, Any]) -> bool:
    """Whether an entry of labels.json is about a held out entity."""
    return zlib.crc32(f"{entry['domain']} {entry['entity_id']}".encode()) % HELD_OUT == 0


def table(result: Dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| gate | precision | recall | F1 | calibration error |", "|---|--:|--:|--:|--:|"]
    for name, row in result["detection"].items():
        lines.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in row)} |")
    lines += ["", "| facts chosen by | gold snippet first | in five |", "|---|--:|--:|"]
    for name, row in result["selection"].items():
        lines.append(f"| {name} | {row['first']:.1%} | {row['five']:.1%} |")
    columns = list(next(iter(result["response"].values())))
    lines += ["", f"| reply | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for name, row in result["response"].items():
        lines.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in columns)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
