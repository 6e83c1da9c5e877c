"""
DSTC11 track 5: does a turn need knowledge, which snippet answers it, and what is the reply like?

All snippets become facts of a SQLite knowledge base; ``parlai train_model -m kb_augmented`` learns
gates and a ranker from the training dialogues, ``parlai eval_model`` measures them on the
validation ones, which nothing is chosen by: of the training dialogues one in eight is kept to
choose the gate's epoch and to calibrate it.

Detection: the classifier from labels, the classifier from the facts and from the dialogues before
the labelled turns alone, and the search's score. Selection: search and learnt ranker, where it is
known that knowledge is sought; as many validation dialogues are about hotels that training
dialogues were about too, also learnt without those of every fifth hotel or restaurant, and measured
on them. At last the whole of the task by the official scores (``dstc11_scores.py``): the classifier
decides, the ranker chooses a set of snippets, the integrator replies.

The scores need `pip install sacrebleu rouge-score`; METEOR Java, and `--no-deps pycocoevalcap`.

    python benchmarks/dstc11.py --data ../shared/data --out bench/dstc11
"""

import argparse
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dstc11_scores import Said, scores
from harness import Harness, about, bars, publish

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact

EPOCHS = 5
# one in so many entities is kept from the training of the last row of selection
HELD_OUT = 5
# one in so many dialogues is kept from a gate's training
DEV = 8
DETECTION, SELECTION = "dstc11:detection", "dstc11:selection"
DIALOGUES = "dstc11:dialogues"
YES, NO = "yes", "no"
# how the gates learn: --kb-gate, task, and for how long
GATES = {
    # judged once, at the end: what is calibrated then is what is kept
    "classifier": ("classifier", f"{DETECTION},dstc11:earlier", ["-eps", "6", "-veps", "5.9"]),
    # without labels nothing can be chosen by them either
    "classifier, no labels": ("classifier", DIALOGUES, ["-tstep", "150", "-veps", "-1"]),
    "score": ("score", DETECTION, ["-eps", "2", "-veps", "1"]),
}
# how the reply is made of the facts
REPLIES: dict[str, dict[str, Any]] = {
    "the model's own": {"kb_gate": "never"},
    "answer": {"kb_integrate": "answer"},
    "fuse": {"kb_integrate": "fuse"},
}
# snippets in a set at most; of the training dialogues' sets 95 % are no larger
LARGEST = 10
# what the track's own baseline has, https://arxiv.org/abs/2305.12091; its models were pretrained
LEFT_OUT = ("detection_p", "detection_r")  # of the last table
PUBLISHED = {"detection_f1": 0.998, "selection_f1": 0.789, "selection_em": 0.391}


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
    result = {"about": about([0]), "epochs": EPOCHS, **bench.tables()}
    publish(bench.out, result, table(result), draw)


class Bench(Harness):
    """The runs."""

    def __init__(self, out: Path, deployed: Path, corpus: Path) -> None:
        super().__init__(out)
        self.deployed, self.corpus = deployed, corpus
        self.kb = f"sqlite:///{out / 'facts.db'}"
        if not (out / "facts.db").exists():
            SQLiteFacts(self.kb, writable=True).add(facts(corpus))

    def tables(self) -> dict[str, dict[str, dict[str, float]]]:
        """Detection, selection and response: each line's figures."""
        whole, held, dev = self.out / "whole", self.out / "held_out", self.out / "dev"
        link(self.corpus, whole)
        hold_out(self.corpus, held)
        split_off(self.corpus, dev)
        # the whole of the task first, in case of an interruption; then what it is compared with
        gate, ranker = self.gate("classifier", dev), self.ranker("ranker", dev)
        replied = {name: self.replied(name, whole, gate, ranker) for name in REPLIES}
        selected = {
            "search": self.selected("search", whole, None),
            "learnt": self.selected("learnt", whole, ranker),
        }
        detected = {name: self.detected(self.gate(name, dev), whole) for name in GATES}
        selected["search, new entities"] = self.selected("search-new", held, None)
        new = self.ranker("ranker-new", held)
        selected["learnt, new entities"] = self.selected("learnt-new", held, new)
        return {"detection": detected, "selection": selected, "whole": replied}

    def gate(self, name: str, corpus: Path) -> Path:
        """A model whose gate learnt; of its epochs the best on the dialogues kept from it."""
        gate, task, length = GATES[name]
        words = ["--kb-gate", gate, "-t", task, "--dstc11-path", str(corpus), *length]
        words += ["--evaltask", DETECTION, "-vmt", "detection_f1", "-vmm", "max"]
        return self.learnt(f"gate-{name.replace(', ', '-').replace(' ', '-')}", words)

    def ranker(self, key: str, corpus: Path) -> Path:
        """A model whose ranker learnt; judged once, at the end, for how many snippets to choose."""
        words = ["--kb-gate", "always", "--kb-rank", "word_pairs", "-t", SELECTION]
        words += ["--dstc11-path", str(corpus), "-eps", str(EPOCHS), "-veps", f"{EPOCHS - 0.1}"]
        words += ["-vmt", "kb_set_f1", "-vmm", "max"]
        return self.learnt(key, [*words, "--evaltask", SELECTION])

    def learnt(self, key: str, flags: list[str]) -> Path:
        """A model that learnt; remembered."""
        path = self.out / key / "model"
        words = ["train_model", "-m", "kb_augmented", "--init-model", str(self.deployed)]
        words += ["--kb", self.kb, "-bs", "16", "--seed", "0", *flags]
        self.remembered(
            key, lambda: {"wall_s": self.command([*words, "-mf", str(path)], f"train-{key}")[0]}
        )
        return path

    def detected(self, gate: Path, corpus: Path) -> dict[str, float]:
        """Precision, recall, F1 and calibration error on the validation dialogues."""
        words = ["-mf", str(gate), "-t", DETECTION, "--kb-gate-threshold", "0.5"]
        found = self.report(f"{gate.parent.name}-detection", corpus, words)
        return {
            **{name: found[f"detection_{name}"] for name in ("p", "r", "f1")},
            "ece": found["gate_ece"],
        }

    def selected(self, key: str, corpus: Path, learnt: Any) -> dict[str, float]:
        """How often a gold snippet is first, and in five."""
        words = ["-m", "kb_augmented", "--init-model", str(self.deployed), "--kb", self.kb]
        words = words if learnt is None else ["-mf", str(learnt)]
        words = [*words, "-t", SELECTION, "--kb-gate", "always"]
        found = self.report(f"{key}-selection", corpus, words)
        return {"first": found["kb_hits@1"], "five": found["kb_hits@5"], "ms": found["kb_ms"]}

    def replied(self, name: str, corpus: Path, gate: Path, ranker: Path) -> dict[str, float]:
        """The official scores over all validation turns, of what one gate and one ranker say."""
        key = f"whole-{''.join(c if c.isalnum() else '-' for c in name)}"

        def run() -> dict[str, float]:
            gold, turns = instances(corpus)
            decisions = load(gate, {})
            replies = load(ranker, {"kb_gate": "always", "kb_top_k": LARGEST, **REPLIES[name]})
            said = []
            for text in turns:
                seeks = act(decisions, text, [YES, NO])["text"] == YES
                reply = act(replies, text, None) if seeks else {"text": ""}
                ids = {fact["id"] for fact in reply.get("knowledge", ())}
                said.append(Said(seeks, ids, reply["text"]))
            found = scores(gold, said)
            chooses = any(one.snippets for one in said)
            return {k: v for k, v in found.items() if chooses or not k.startswith("selection")}

        return self.remembered(key, run)

    def report(self, key: str, corpus: Path, flags: list[str]) -> dict[str, float]:
        """The report of an eval_model on a corpus' validation dialogues."""
        words = ["eval_model", "-dt", "valid", "--dstc11-path", str(corpus), "-bs", "1", *flags]

        def run() -> dict[str, Any]:
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


def rewrite(corpus: Path, to: Path, parts: dict[str, Any]) -> None:
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


def is_held_out(entry: dict[str, Any]) -> bool:
    """Whether an entry of labels.json is about a held out entity."""
    return zlib.crc32(f"{entry['domain']} {entry['entity_id']}".encode()) % HELD_OUT == 0


def instances(corpus: Path) -> tuple[list[Said], list[str]]:
    """The validation turns: what is true of each, and its text with all that was said before."""
    logs = json.loads((corpus / "val" / "logs.json").read_text())
    labels = json.loads((corpus / "val" / "labels.json").read_text())
    gold = []
    for label in labels:
        ids = {fact_id(entry) for entry in label.get("knowledge", ())}
        gold.append(Said(label["target"], ids, label.get("response", "")))
    return gold, ["\n".join(turn["text"] for turn in log) for log in logs]


def fact_id(entry: dict[str, Any]) -> str:
    """Of an entry of labels.json, as :func:`facts` calls it."""
    name = f"{entry['domain']}-{entry['entity_id']}-{entry['doc_type']}-{entry['doc_id']}"
    return f"{name}-{entry['sent_id']}" if entry["doc_type"] == "review" else name


def load(path: Path, settings: dict[str, Any]) -> Any:
    """A model that learnt."""
    from parlai.core.agents import create_agent_from_model_file

    quiet = {"loglevel": "error", "no_cuda": True, "datatype": "valid"}
    return create_agent_from_model_file(str(path), {**quiet, **settings})


def act(agent: Any, text: str, candidates: list[str] | None) -> dict[str, Any]:
    """What it says to a conversation."""
    clone = agent.clone()
    more = {"label_candidates": candidates} if candidates else {}
    clone.observe({"id": "user", "text": text, "episode_done": True, **more})
    reply: dict[str, Any] = clone.act()
    return reply


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    lines += ["| gate | precision | recall | F1 | calibration error |", "|---|--:|--:|--:|--:|"]
    for name, row in result["detection"].items():
        lines.append(f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in row)} |")
    lines += ["", "| facts chosen by | gold snippet first | in five |", "|---|--:|--:|"]
    for name, row in result["selection"].items():
        lines.append(f"| {name} | {row['first']:.1%} | {row['five']:.1%} |")
    # of the detection the first table has more
    columns = [name for name in result["whole"]["answer"] if name not in LEFT_OUT]
    heads = [name.replace("_", " ").replace("rouge", "ROUGE-") for name in columns]
    lines += ["", f"| reply | {' | '.join(heads)} |", "|---|" + "--:|" * len(columns)]
    rows = {**result["whole"], "published baseline, pretrained": PUBLISHED}
    for name, row in rows.items():
        said = (f"{row[key]:.3f}" if key in row else "-" for key in columns)
        lines.append(f"| {name} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """The whole of the task beside the published baseline."""
    rows = {**result["whole"], "published baseline, pretrained": PUBLISHED}
    bars(path, rows, "of 1", {name: name for name in PUBLISHED})


if __name__ == "__main__":
    main()
