"""
Several knowledge bases: merged by rank, or by priority?

DSTC11's snippets in one database, then split over two: hotels and restaurants, reviews and FAQ
entries. Of the validation turns that need knowledge: is a gold snippet first, and in the first
five? Search alone, nothing is learnt; the default was chosen on training turns.

    python benchmarks/knowledge_merged.py --data ../shared/data --out bench/knowledge_merged
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dstc11 import facts
from harness import about, bars, publish

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.factory import COMBINED, SeveralKnowledgeBases
from parlai_cu.types import Fact, Turn

Asked = list[tuple[Turn, set[str]]]


def main() -> None:
    """Ask every turn of every arrangement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_merged"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--turns", type=int, default=400)
    args = parser.parse_args()
    corpus = args.data / "dstc11"
    if not (corpus / "knowledge.json").exists():
        sys.exit(f"--data {args.data}: no dstc11/knowledge.json there")
    args.out.mkdir(parents=True, exist_ok=True)
    asked = read_turns(corpus / args.split)[: args.turns]
    with tempfile.TemporaryDirectory() as place:
        result = {"about": about(), "turns": len(asked), "rows": rows(Path(place), corpus, asked)}
    publish(args.out, result, table(result), draw)


def read_turns(folder: Path) -> Asked:
    """The turns that need knowledge, and the ids of the snippets that answer them."""
    logs = json.loads((folder / "logs.json").read_text())
    labels = json.loads((folder / "labels.json").read_text())
    return [
        (
            Turn(log[-1]["text"], tuple(turn["text"] for turn in log[:-1])),
            {_id(snippet) for snippet in label["knowledge"]},
        )
        for log, label in zip(logs, labels)
        if label["target"]
    ]


def _id(snippet: dict[str, Any]) -> str:
    of = f"{snippet['domain']}-{snippet['entity_id']}-{snippet['doc_type']}-{snippet['doc_id']}"
    return f"{of}-{snippet['sent_id']}" if snippet["doc_type"] == "review" else of


def rows(place: Path, corpus: Path, asked: Asked) -> dict[str, dict[str, float]]:
    """Each line of the table."""

    def base(name: str, chosen: Callable[[Fact], bool]) -> SQLiteFacts:
        made = SQLiteFacts(f"sqlite:///{place / name}.db", writable=True)
        made.add(fact for fact in facts(corpus) if chosen(fact))
        return made

    parts = {
        "hotels": base("hotels", lambda fact: str(fact.id).startswith("hotel")),
        "restaurants": base("restaurants", lambda fact: not str(fact.id).startswith("hotel")),
        "reviews": base("reviews", lambda fact: "-review-" in str(fact.id)),
        "FAQ": base("faq", lambda fact: "-faq-" in str(fact.id)),
    }
    result = {"one database": measure(base("one", lambda fact: True), asked)}
    for names in (("hotels", "restaurants"), ("reviews", "FAQ")):
        for order in (names, names[::-1]):
            for combine in COMBINED:
                several = SeveralKnowledgeBases([parts[name] for name in order], combine)
                result[f"{', '.join(order)}: {combine}"] = measure(several, asked)
    return result


def measure(base: Any, asked: Asked) -> dict[str, float]:
    """Shares of turns with a gold snippet first, and in the first five."""
    first = five = 0
    for turn, gold in asked:
        ids = [found.id for found in base.query(turn, 5)]
        first += bool(gold & set(ids[:1]))
        five += bool(gold & set(ids))
    return {"first": first / len(asked), "in_five": five / len(asked)}


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"Measured: {json.dumps(result['about'])}, {result['turns']} turns", ""]
    lines += ["| | gold snippet first | in the first five |", "|---|--:|--:|"]
    for name, row in result["rows"].items():
        lines.append(f"| {name} | {row['first']:.1%} | {row['in_five']:.1%} |")
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """How often a gold snippet is found in each arrangement."""
    shown = {"first": "gold snippet first", "in_five": "in the first five"}
    bars(path, result["rows"], "share of turns", shown)


if __name__ == "__main__":
    main()
