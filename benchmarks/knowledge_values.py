"""
Does the reply state the right value? Rows of ordinary tables, asked for in real dialogues.

Schema-Guided Dialogue: turns of test dialogues in which the user requests properties and the system
informs of them from a row of its last result; by service with public entities, all rows of the
service as facts. Those of rows that no training dialogue was given are counted apart. MultiWOZ:
its restaurants, hotels and attractions as facts; turns of DSTC11's validation dialogues (which are
MultiWOZ's) whose reply told a phone number, postcode or address of a row.

The reply is what ``--kb-gate always --kb-integrate answer`` gives: the best row, with the columns
asked for. Nothing was trained. Right is a reply in which every value stands that the gold one told.

    python benchmarks/knowledge_values.py --data ../shared/data --out bench/knowledge_values
"""

import argparse
import csv
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness import about, publish
from knowledge_tables import PRIVATE, SETS

from parlai_cu.knowledge.answer_fields import asked_columns, narrowed
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.knowledge.words import words
from parlai_cu.types import Fact, Turn

MULTIWOZ = ("restaurant", "hotel", "attraction")
TOLD = ("phone", "postcode", "address")
# of a service at most
TURNS = 60


class Question(NamedTuple):
    """A turn, the values of the gold reply, and whether training dialogues were given their row."""

    turn: Turn
    values: list[str]
    seen: bool


def main() -> None:
    """Ask, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_values"))
    args = parser.parse_args()
    if not (args.data / "sgd" / "kb").exists():
        sys.exit(f"--data {args.data}: no sgd/kb there")
    args.out.mkdir(parents=True, exist_ok=True)
    rows = {**sgd(args.data / "sgd"), "MultiWOZ": multiwoz(args.data)}
    total = sum(row["turns"] for row in rows.values())
    result = {"about": about(), "rows": rows, "turns": total}
    publish(args.out, result, table(result))


def sgd(folder: Path) -> dict[str, dict[str, float]]:
    """By service."""
    seen = {row for name in SETS for row in rows_of(folder, f"{name}_train")}
    asked: dict[str, list[Question]] = {}
    for name in SETS:
        for service, question in questions(folder, f"{name}_test", seen):
            if service.split("_")[0] not in PRIVATE:
                asked.setdefault(service, []).append(question)
    found = {}
    for service in sorted(asked):
        with open(folder / "kb" / f"{service}.csv", newline="") as file:
            rows = [{k: v for k, v in row.items() if k != "row_id"} for row in csv.DictReader(file)]
        found[service] = measure(rows, asked[service][:TURNS])
    return found


def notes(folder: Path, name: str) -> Iterator[Any]:
    """Each dialogue's annotations."""
    with gzip.open(folder / "annotations" / f"{name}.jsonl.gz", "rt") as file:
        yield from map(json.loads, file)


def rows_of(folder: Path, name: str) -> set[str]:
    """Ids of all rows that the dialogues were given."""
    return {
        row
        for note in notes(folder, name)
        for turn in note["turns"]
        for row in turn.get("kb_rows", [])
    }


def questions(folder: Path, name: str, seen: set[str]) -> Iterator[Any]:
    """(service, question) of each turn that is answered from the last result."""
    with open(folder / f"{name}.jsonl") as texts:
        for note, text in zip(notes(folder, name), texts):
            table_rows = rows_by_id(folder, note["service"])
            history: list[str] = []
            last: list[str] = []
            for turn, (user, system) in zip(note["turns"], json.loads(text)["dialog"]):
                last = turn.get("kb_rows") or last
                wanted = set(turn.get("requested") or ())
                informed = {
                    slot: values[0]
                    for act, slot, values in turn["system_acts"]
                    if act == "INFORM" and slot in wanted and values
                }
                row = next((r for r in last if holds(table_rows.get(r, {}), informed)), None)
                if informed and row is not None:
                    said = Turn(user["text"], tuple(history))
                    yield note["service"], Question(said, list(informed.values()), row in seen)
                history += [user["text"], system["text"]]


_TABLES: dict[str, dict[str, dict[str, str]]] = {}


def rows_by_id(folder: Path, service: str) -> dict[str, dict[str, str]]:
    """A service's table; empty for one that has none."""
    path = folder / "kb" / f"{service}.csv"
    if service not in _TABLES:
        with open(path, newline="") as file:
            _TABLES[service] = {row["row_id"]: row for row in csv.DictReader(file)}
    return _TABLES[service]


def holds(row: dict[str, str], informed: dict[str, str]) -> bool:
    """Whether a row has the values."""
    return bool(row) and all(row.get(slot) == value for slot, value in informed.items())


def multiwoz(data: Path) -> dict[str, float]:
    """Its tables, by what DSTC11's dialogues ask."""
    rows = []
    for name in MULTIWOZ:
        found = json.loads((data / "multiwoz_db" / f"{name}_db.json").read_text())
        rows += [
            {k: v for k, v in row.items() if isinstance(v, str) and k != "id"} for row in found
        ]
    asked: dict[Any, Question] = {}
    for log in json.loads((data / "dstc11" / "val" / "logs.json").read_text()):
        for i in range(len(log) - 1):
            if (log[i]["speaker"], log[i + 1]["speaker"]) != ("U", "S"):
                continue
            values = values_in(log[i + 1]["text"], log[i]["text"], rows)
            turn = Turn(log[i]["text"], tuple(said["text"] for said in log[:i]))
            if values:
                asked.setdefault(turn, Question(turn, values, False))
    return measure(rows, list(asked.values()))


def values_in(reply: str, question: str, rows: list[dict[str, str]]) -> list[str]:
    """Phone number, postcode and address of the one row that a reply tells, where asked for."""
    plain = re.sub(r"[^a-z0-9]", "", reply.lower())
    for row in rows:
        found = [
            row[column]
            for column in TOLD
            if row.get(column)
            and column in question.lower()
            and re.sub(r"[^a-z0-9]", "", row[column].lower()) in plain
        ]
        if found and "phone" in row:
            return found
    return []


def measure(rows: list[dict[str, str]], asked: list[Question]) -> dict[str, float]:
    """How often the reply states the values."""
    name = entity_column(rows)
    with tempfile.TemporaryDirectory() as place:
        kb = SQLiteFacts(f"sqlite:///{place}/facts.db", writable=True)
        kb.add(
            Fact(
                row_sentence({k: v for k, v in row.items() if k != name}, row.get(name, "")),
                id=str(number),
                entity=row.get(name, ""),
                fields={k: v for k, v in row.items() if v},
            )
            for number, row in enumerate(rows)
        )
        rights = {True: [0, 0], False: [0, 0]}
        narrow = 0
        for question in asked:
            found = kb.query(question.turn, 5)
            text = narrowed(question.turn, found[0]).text if found else ""
            right = all(says(text, value) for value in question.values)
            narrow += bool(found) and bool(asked_columns(question.turn.text, found[0]))
            rights[question.seen][0] += right
            rights[question.seen][1] += 1
    unseen, every = rights[False], [sum(pair) for pair in zip(*rights.values())]
    return {
        "turns": every[1],
        "right": every[0] / max(every[1], 1),
        "unseen_turns": unseen[1],
        "unseen_right": unseen[0] / max(unseen[1], 1),
        "columns_alone": narrow / max(every[1], 1),
    }


def entity_column(rows: list[dict[str, str]]) -> str:
    """The column that names a row; else the one with most values."""
    for column in rows[0]:
        if column.split("_")[-1] in ("name", "title"):
            return column
    return max(rows[0], key=lambda column: len({row.get(column) for row in rows}))


def says(text: str, value: str) -> bool:
    """Whether a value stands in a text, as words."""
    return f" {' '.join(words(value))} " in f" {' '.join(words(text))} "


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | turns | right value | rows not in training | right value | told alone |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in result["rows"].items():
        lines.append(
            f"| {name} | {row['turns']} | {row['right']:.1%} | {row['unseen_turns']} "
            f"| {row['unseen_right']:.1%} | {row['columns_alone']:.1%} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
