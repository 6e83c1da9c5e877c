"""
Files as people keep them, questions as people ask: how many get the right answer?

Eight sources with 40 questions each, split by source into dev (to design by) and test (to look at
as rarely as can be). All is invented, and was written before the code that it measures. Each file
is imported by one command and served with default settings. A reply is

- right, where it names each expected value and none that is wrong;
- right in a row, where it is right but tells more than four values that nobody asked for;
- wrong, where it was made of facts and is neither;
- silent, where the model answered itself.

A question without an answer in the file, and small talk, must be left to the model.

    python benchmarks/knowledge_life.py --split dev --out bench/knowledge_life
"""

import argparse
import csv
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from harness import Harness, about, publish

FOLDER = Path(__file__).parent / "knowledge_life"
OUTCOMES = ("right", "right in a row", "wrong", "silent", "left", "answered")
# more values than this beside those that were asked for make a reply a row
MANY = 4


def main() -> None:
    """Import, ask, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_life"))
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--sources", nargs="*", help="some of them, by name")
    args = parser.parse_args()
    harness = Harness(args.out)
    result: dict[str, Any] = {"about": about(), "split": args.split, "sources": {}}
    for path in sorted((FOLDER / args.split).glob("*.yaml")):
        if not args.sources or path.stem in args.sources:
            result["sources"][path.stem] = measure(path, harness)
    publish(args.out, result, table(result))


def measure(path: Path, harness: Harness) -> dict[str, Any]:
    """One source: what became of each question."""
    about_it = yaml.safe_load(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        source = written(path.parent, about_it["source"], Path(place))
        kb = opened(source, Path(place), harness, path.stem)
        if kb is None:
            return {"import": "refused", "replies": []}
        agent = load(kb, str(about_it["now"]))
        replies = [asked(agent, question) for question in about_it["questions"]]
    return {"import": "taken", "replies": replies}


def written(folder: Path, name: str, place: Path) -> Path:
    """The file itself; spreadsheets and databases are kept as text here."""
    target = place / name
    if name.endswith(".xlsx"):
        import openpyxl

        book = openpyxl.Workbook()
        with open(folder / f"{name}.csv", newline="", encoding="utf-8") as f:
            for cells in csv.reader(f):
                book.active.append(
                    [int(cell) if cell.isdigit() else cell or None for cell in cells]
                )
        book.save(target)
    elif name.endswith(".db"):
        with sqlite3.connect(target) as database:
            database.executescript((folder / name).with_suffix(".sql").read_text(encoding="utf-8"))
    else:
        shutil.copyfile(folder / name, target)
    return target


def opened(source: Path, place: Path, harness: Harness, key: str) -> str | None:
    """The source as a ``--kb``; None where the import refuses it."""
    if source.suffix == ".ttl":
        return f"graph:{source}"
    if source.suffix == ".db":
        return f"sql+sqlite:///{source}"
    kb = f"sqlite:///{place}/facts.db"
    words = ["knowledge_base", "import", "--kb", kb, "--file", str(source)]
    harness.command(words, f"import_{key}", expected=(0, 1, 2))
    return kb if (place / "facts.db").exists() else None


def load(kb: str, now: str) -> Any:
    """What `parlai interactive -m kb_augmented` makes, with default settings and a set clock."""
    from knowledge_telecom import load as load_agent

    return load_agent(kb, {"kb_now": now})


def asked(agent: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Ask one question, after what was said before it."""
    turns = question["ask"] if isinstance(question["ask"], list) else [question["ask"]]
    user = agent.clone()
    act: dict[str, Any] = {}
    for text in turns:
        user.observe({"id": "user", "text": text, "episode_done": False})
        act = user.act()
    said, used = str(act.get("text", "")), "knowledge" in act
    return {
        "kind": question["kind"],
        "ask": turns,
        "reply": said,
        "outcome": outcome(question, said, used),
    }


def outcome(question: dict[str, Any], said: str, used: bool) -> str:
    """What a reply is, see above."""
    if question["right"] is None:
        return "answered" if used else "left"
    if not used:
        return "silent"
    right = all(any(names(said, way) for way in value.split("|")) for value in question["right"])
    wrong = any(names(said, value) for value in question.get("wrong", ()))
    if not right or wrong:
        return "wrong"
    return "right in a row" if said.count(", ") > MANY + len(question["right"]) else "right"


def names(said: str, value: str) -> bool:
    """Whether a value stands in a reply, as words of their own."""
    plain, wanted = (re.sub(r"\s+", " ", text.casefold()) for text in (said, value))
    plain = re.sub(r"(?<=\d)[.,]00?(?!\d)", "", plain)  # 649,00 is 649
    return re.search(rf"(?<![\w.,]){re.escape(wanted)}(?!\w|[.,]\d)", plain) is not None


def counts(replies: list[dict[str, Any]]) -> Counter[str]:
    """How often each outcome came."""
    return Counter(reply["outcome"] for reply in replies)


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown: source by source, then kind by kind; of both splits, if there."""
    if "splits" in result:
        return "\n".join(table(split) for split in result["splits"])
    lines = [
        f"| {result['split']} | " + " | ".join(OUTCOMES) + " |",
        "|---|" + "--:|" * len(OUTCOMES),
    ]
    everything: list[dict[str, Any]] = []
    for name, row in result["sources"].items():
        everything += row["replies"]
        found = counts(row["replies"])
        figures = " | ".join(str(found[o]) for o in OUTCOMES)
        lines.append(
            f"| {name} | {figures if row['import'] == 'taken' else 'refused' + ' |' * 5} |"
        )
    for kind in dict.fromkeys(reply["kind"] for reply in everything):
        found = counts([reply for reply in everything if reply["kind"] == kind])
        lines.append(f"| *{kind}* | " + " | ".join(str(found[o]) for o in OUTCOMES) + " |")
    found = counts(everything)
    lines.append("| **all** | " + " | ".join(f"**{found[o]}**" for o in OUTCOMES) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
