"""
How often the row that the gold dialogue used is found in the tables of Schema-Guided Dialogue.

For each service with public entities, its table in a SQLite file by itself; then all tables in
one. Of the turns whose gold act calls the API: is a gold row first, and in the first five? Beside
it the same rows as facts in the embedded knowledge base (full text).

    python benchmarks/knowledge_tables.py --data ../shared/data --out bench/knowledge_tables
"""

import argparse
import csv
import gzip
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from harness import about, bars, publish

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.backends.structured import StructuredDatabase
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.types import Fact, Turn

# the rows of these belong to one user's conversation
PRIVATE = {"Banks", "Calendar", "RideSharing"}
TODAY = date(2019, 3, 1)
SETS = ("base", "update_1", "update_2", "update_3")
Call = tuple[Turn, list[str]]


def main() -> None:
    """Ask every turn, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_tables"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--turns", type=int, default=60, help="of each service at most")
    args = parser.parse_args()
    folder = args.data / "sgd"
    if not (folder / "kb").exists():
        sys.exit(f"--data {args.data}: no sgd/kb there")
    args.out.mkdir(parents=True, exist_ok=True)
    calls = {name: found[: args.turns] for name, found in read_calls(folder, args.split).items()}
    rows = {name: read_rows(folder, name) for name in calls}
    with tempfile.TemporaryDirectory() as place:
        result = {
            "about": about(),
            "one table": measure_each(Path(place), rows, calls),
            "all tables": measure(
                asked(tables(Path(place) / "all.db", rows)),
                [call for found in calls.values() for call in found],
            ),
            "all rows as facts": measure(
                facts(Path(place) / "facts.db", rows),
                [call for found in calls.values() for call in found],
            ),
        }
    publish(args.out, result, table(result), draw)


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"Measured: {json.dumps(result['about'])}",
        "",
        "| | turns | gold row first | in the first five | ms | p99 ms |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    together = {name: result[name] for name in ("all tables", "all rows as facts")}
    for name, row in {**result["one table"], **together}.items():
        lines.append(
            f"| {name} | {row['turns']} | {row['first']:.1%} | {row['in_five']:.1%} "
            f"| {row['ms']:.1f} | {row['p99_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """How often a gold row is found in each service's table."""
    shown = {"first": "gold row first", "in_five": "in the first five"}
    bars(path, result["one table"], "share of turns", shown)


def read_calls(folder: Path, split: str) -> dict[str, list[Call]]:
    """By service, the turns that are answered from a table, and the gold rows."""
    calls: dict[str, list[Call]] = {}
    for name in SETS:
        with gzip.open(folder / "annotations" / f"{name}_{split}.jsonl.gz", "rt") as notes:
            with open(folder / f"{name}_{split}.jsonl") as texts:
                for note, text in zip(notes, texts):
                    dialogue = json.loads(note)
                    if dialogue["service"].split("_")[0] in PRIVATE:
                        continue
                    found = calls.setdefault(dialogue["service"], [])
                    found += _calls(dialogue["turns"], json.loads(text)["dialog"])
    return dict(sorted(calls.items()))


def _calls(turns: list[dict[str, Any]], said: list[Any]) -> Iterator[Call]:
    history: list[str] = []
    for turn, (user, system) in zip(turns, said):
        if turn.get("kb_rows"):
            yield Turn(user["text"], tuple(history)), turn["kb_rows"]
        history += [user["text"], system["text"]]


def read_rows(folder: Path, service: str) -> list[dict[str, str]]:
    """The rows of a service's table."""
    with open(folder / "kb" / f"{service}.csv", newline="") as file:
        return list(csv.DictReader(file))


def tables(path: Path, rows: dict[str, list[dict[str, str]]]) -> Path:
    """A SQLite file with a table for each service."""
    db = sqlite3.connect(path)
    for service, found in rows.items():
        names = list(found[0])
        columns = ", ".join(f'"{name}" TEXT' for name in names)
        db.execute(f'CREATE TABLE "{service}" ({columns}, PRIMARY KEY (row_id))')
        marks = ", ".join("?" * len(names))
        db.executemany(
            f'INSERT INTO "{service}" VALUES ({marks})',
            [[row[name] or None for name in names] for row in found],
        )
    db.commit()
    db.close()
    return path


def facts(path: Path, rows: dict[str, list[dict[str, str]]]) -> SQLiteFacts:
    """All rows in words, in the embedded knowledge base."""
    base = SQLiteFacts(f"sqlite:///{path}", writable=True)
    base.add(
        Fact(row_sentence({k: v for k, v in row.items() if k != "row_id"}, ""), id=row["row_id"])
        for found in rows.values()
        for row in found
    )
    return base


def measure_each(
    place: Path, rows: dict[str, list[dict[str, str]]], calls: dict[str, list[Call]]
) -> dict[str, Any]:
    """Each service with its own table alone."""
    result = {}
    for service in calls:
        path = tables(place / f"{service}.db", {service: rows[service]})
        result[service] = measure(asked(path), calls[service])
    return result


def asked(path: Path) -> StructuredDatabase:
    """The tables of a file, on the day on which the dialogues are meant to be."""
    return StructuredDatabase(f"sql+sqlite:///{path}", today=lambda: TODAY)


def measure(base: Any, calls: list[Call]) -> dict[str, float]:
    """Shares of turns with a gold row first and in the first five; time of a query."""
    first = five = 0
    times = []
    for turn, gold in calls:
        start = time.perf_counter()
        found = base.query(turn, 5)
        times.append(1000 * (time.perf_counter() - start))
        ids = [evidence.id.split(":", 1)[-1] for evidence in found]
        names = [{name, name.split(":", 1)[-1]} for name in gold]
        hits = [any(one in name for name in names) for one in ids]
        first += bool(hits and hits[0])
        five += any(hits)
    times.sort()
    count = max(len(calls), 1)
    return {
        "turns": len(calls),
        "first": first / count,
        "in_five": five / count,
        "ms": times[len(times) // 2] if times else 0.0,
        "p99_ms": times[int(0.99 * len(times))] if times else 0.0,
    }


if __name__ == "__main__":
    main()
