"""
How much of what a dictionary takes apart comes back as it was written?

Sentences of people (SGD's base test set) go through the tokenizer of ParlAI's ``re`` dictionary,
with and without capitals, and through each detokenizer. Right is a text that is the same to the
letter (without capitals: but for them). The rules were written with an eye on the training set;
``pip install sacremoses nltk`` for those beside them.

    python benchmarks/detokenize.py --sgd ../shared/data/sgd
"""

import argparse
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import about, publish

from parlai_cu.detokenize import detokenize

TEXTS = 5000
TOKEN = re.compile(r"\w+|[^\w\s]")


def main() -> None:
    """Take apart, put together, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--sgd", type=Path, default=Path("../shared/data/sgd"))
    parser.add_argument("--out", type=Path, default=Path("bench/detokenize"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    texts = sentences(args.sgd / "base_test.jsonl")
    rows = {name: measured_one(way, texts) for name, way in ways().items()}
    result = {"rows": rows, "texts": len(texts), "about": about([1])}
    publish(args.out, result, table(result))


def ways() -> dict[str, Callable[[str], str]]:
    """Ours, and libraries'."""
    from nltk.tokenize.treebank import TreebankWordDetokenizer
    from sacremoses import MosesDetokenizer

    moses, treebank = MosesDetokenizer("en"), TreebankWordDetokenizer()
    return {
        "parlai-cu": detokenize,
        "sacremoses": lambda text: str(moses.detokenize(text.split())),
        "NLTK (Treebank)": lambda text: str(treebank.detokenize(text.split())),
    }


def sentences(path: Path) -> list[str]:
    """What people said in it, in an order of its own."""
    texts = {
        " ".join(str(said.get("text", "")).split())
        for line in path.open()
        for exchange in json.loads(line)["dialog"]
        for said in exchange
    }
    drawn = sorted(texts)
    random.Random(1).shuffle(drawn)
    return drawn[:TEXTS]


def measured_one(way: Callable[[str], str], texts: list[str]) -> dict[str, float]:
    """Shares of the texts that come back, with capitals and without, and that are left alone."""
    back = lower = alone = 0
    for text in texts:
        tokens = " ".join(TOKEN.findall(text))
        back += way(tokens) == text
        lower += way(tokens.lower()).lower() == text.lower()
        alone += way(text) == text
    return {
        name: count / len(texts)
        for name, count in (("back", back), ("lower", lower), ("alone", alone))
    }


def table(result: dict[str, Any]) -> str:
    """A row a way."""
    lines = [
        "| | tokens become the text | the same without capitals | text is left alone |",
        "|---|--:|--:|--:|",
    ]
    for name, row in result["rows"].items():
        lines.append(f"| {name} | {row['back']:.1%} | {row['lower']:.1%} | {row['alone']:.1%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
