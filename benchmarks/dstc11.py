"""
DSTC11 track 5: does a turn need knowledge, and which snippet answers it?

All snippets become facts of a SQLite knowledge base; ``parlai train_model -m kb_augmented`` learns
the gate and the ranker from the training dialogues, ``parlai eval_model`` measures them on the
validation ones, beside the search alone. Many validation dialogues are about hotels that training
dialogues were about too; so the ranker is also learnt without those of every fifth hotel or
restaurant, and measured on them.

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
# one in so many entities is kept from the training of the last row
HELD_OUT = 5
DETECTION, SELECTION = "dstc11:detection", "dstc11:selection"


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
    result = {"about": about(), "epochs": EPOCHS, "rows": bench.rows()}
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

    def rows(self) -> Dict[str, Dict[str, float]]:
        """Each line of the table."""
        whole, held = self.out / "whole", self.out / "held_out"
        whole.mkdir(exist_ok=True)
        # training ends with a look at the test split, which is not published; nobody reads it here
        for name, of in (("train", "train"), ("val", "val"), ("test", "val")):
            if not (whole / name).exists():
                (whole / name).symlink_to(self.corpus / of)
        (whole / "knowledge.json").write_bytes((self.corpus / "knowledge.json").read_bytes())
        hold_out(self.corpus, held)
        both = f"{DETECTION},{SELECTION}"
        return {
            "search": self.judged("search", whole, None),
            "learnt": self.judged("learnt", whole, self.learnt("all", whole, both)),
            "search, new entities": self.judged("search-new", held, None),
            "learnt, new entities": self.judged(
                "learnt-new", held, self.learnt("new", held, SELECTION)
            ),
        }

    def learnt(self, key: str, corpus: Path, task: str) -> Path:
        """A model whose gate and ranker learnt from a corpus."""
        path = self.out / key / "model"
        words = ["train_model", "-m", "kb_augmented", "--init-model", str(self.deployed)]
        words += ["--kb", self.kb, "--kb-rank", "word_pairs", "--kb-gate"]
        words += ["classifier" if DETECTION in task else "always"]
        words += ["-t", task, "--dstc11-path", str(corpus), "-eps", str(EPOCHS), "-bs", "16"]
        # the last epoch is taken: nothing is chosen by what is reported
        words += ["--evaltask", "dstc11:detection", "-veps", "-1", "--seed", "0"]
        self.remembered(
            key, lambda: {"wall_s": self.command([*words, "-mf", str(path)], f"train-{key}")[0]}
        )
        return path

    def judged(self, key: str, corpus: Path, learnt: Any) -> Dict[str, float]:
        """What eval_model says of the validation dialogues."""
        common = ["eval_model", "-dt", "valid", "--dstc11-path", str(corpus), "-bs", "1"]
        if learnt is None:
            common += ["-m", "kb_augmented", "--init-model", str(self.deployed), "--kb", self.kb]
        else:
            common += ["-mf", str(learnt)]
        found = self.report(f"{key}-selection", [*common, "-t", SELECTION, "--kb-gate", "always"])
        result = {"first": found["kb_hits@1"], "five": found["kb_hits@5"], "ms": found["kb_ms"]}
        if key == "learnt":
            found = self.report(f"{key}-detection", [*common, "-t", DETECTION])
            result.update({name: found[f"detection_{name}"] for name in ("p", "r", "f1")})
        return result

    def report(self, key: str, words: List[str]) -> Dict[str, float]:
        """The report of an eval_model."""

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


def hold_out(corpus: Path, to: Path) -> None:
    """A corpus whose training never needs facts of held out entities, its validation only them."""
    if to.exists():
        return
    for part in ("train", "val"):
        logs = json.loads((corpus / part / "logs.json").read_text())
        labels = json.loads((corpus / part / "labels.json").read_text())
        kept = [
            (log, label)
            for log, label in zip(logs, labels)
            if label["target"]
            and any(is_held_out(entry) for entry in label["knowledge"]) == (part == "val")
        ]
        (to / part).mkdir(parents=True)
        for name, column in zip(("logs", "labels"), zip(*kept)):
            (to / part / f"{name}.json").write_text(json.dumps(column))
    (to / "test").symlink_to(to / "val")
    (to / "knowledge.json").write_bytes((corpus / "knowledge.json").read_bytes())


def is_held_out(entry: Dict[str, Any]) -> bool:
    """Whether an entry of labels.json is about a held out entity."""
    return zlib.crc32(f"{entry['domain']} {entry['entity_id']}".encode()) % HELD_OUT == 0


def table(result: Dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | gold snippet first | in five | needs knowledge: P | R | F1 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in result["rows"].items():
        shares = [f"{row[key]:.1%}" for key in ("first", "five")]
        shares += [f"{row[key]:.3f}" if key in row else "" for key in ("p", "r", "f1")]
        lines.append(f"| {name} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
