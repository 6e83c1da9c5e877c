"""
Fifty facts of the telecommunications company change: does the assistant say so, and nothing else?

The shipped model (``zoo:telecom/base``) is in service with the company's tables as facts. Fifty
cells that an answer states get another value while it serves; each is asked for in five phrasings
that the model was never trained on. Right is a reply in which the new value stands. Beside them
fifty cells that stay, in five phrasings, and small talk: there the reply must stay word for word.
What needs no fact (small talk, and help with what customers do themselves) shows the price of a low
threshold: how often the model is left to answer it.

    python benchmarks/knowledge_telecom.py --out bench/knowledge_telecom
"""

import argparse
import dataclasses
import json
import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from harness import about, publish
from knowledge_values import says

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.knowledge.words import words
from parlai_cu.tasks.telecom import updates
from parlai_cu.tasks.telecom.facts import LABELS, FactBase, Row
from parlai_cu.tasks.telecom.intents import Intent, placeholders
from parlai_cu.types import Fact

CELLS, PHRASINGS = 50, 5
# how the reply is made
SYSTEMS: dict[str, dict[str, Any]] = {
    "answer": {},
    "answer, threshold 0.1": {"kb_gate_threshold": "0.1"},
    "the model's own": {"kb_gate": "never"},
}


class Cell(NamedTuple):
    """A fact, and an intent whose answer states it."""

    intent: Intent
    row: Row
    column: str

    @property
    def fact_id(self) -> str:
        """Of the row that it stands in."""
        return f"{self.intent.about}/{self.row['key']}"

    def questions(self) -> list[str]:
        """Phrasings of the customer that no training saw."""
        asked = [*self.intent.ask["test"], *self.intent.ask["valid"]][:PHRASINGS]
        return [phrasing.format(**self.row) for phrasing in asked]


def main() -> None:
    """Ask, change, ask again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_telecom"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "results.json"
    result: dict[str, Any] = {"systems": {}}
    if kept.exists():  # what was measured already stays
        result = json.loads(kept.read_text())
    result["about"] = about([args.seed])
    for name, settings in SYSTEMS.items():
        if name not in result["systems"]:
            result["systems"][name] = measure(settings, args.seed)
            kept.write_text(json.dumps(result, indent=2))
    publish(args.out, result, table(result))


def measure(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """The figures of one system; all are asked the same."""
    changed, kept = cells(updates.base_facts(), random.Random(seed))
    return ask_twice(settings, changed, kept, new_values(changed, random.Random(seed)))


def cells(facts: FactBase, rng: random.Random) -> tuple[list[Cell], list[Cell]]:
    """Cells to be changed, and others, of other rows, that stay."""
    found = [
        Cell(intent, row, column)
        for intent in updates.base_intents()
        if intent.about
        for row in facts.tables[intent.about]
        if intent.row in (None, row["key"])
        for column in placeholders(intent.answer(row).say[0])[:1]
    ]
    one_each = list({(cell.fact_id, cell.column): cell for cell in found}.values())
    rng.shuffle(one_each)
    changed = one_each[:CELLS]
    touched = {cell.fact_id for cell in changed}
    # as there are fewer rows than cells, another cell of a row that changes counts as well
    others = sorted(one_each[CELLS:], key=lambda cell: cell.fact_id in touched)
    return changed, others[:CELLS]


def new_values(changed: list[Cell], rng: random.Random) -> list[str]:
    """For each cell a value of the same kind that its row has nowhere."""
    found = []
    for cell in changed:
        number = next((word for word in words(cell.row[cell.column]) if word.isdigit()), None)
        taken = {word for value in cell.row.values() for word in words(value)}
        fresh = rng.choice([str(i) for i in range(2, 999) if str(i) not in taken])
        old = cell.row[cell.column]
        found.append(old.replace(number, fresh, 1) if number else f"{fresh} {old}")
    return found


def ask_twice(
    settings: dict[str, Any], changed: list[Cell], kept: list[Cell], new: list[str]
) -> dict[str, float]:
    """Replies before and after the change, by one agent that stays open."""
    with tempfile.TemporaryDirectory() as place:
        kb = SQLiteFacts(f"sqlite:///{place}/facts.db", writable=True)
        kb.add(rows(updates.base_facts()))
        agent = load(kb.name, settings)
        stay = [question for cell in kept for question in cell.questions()]
        stay += [said for intent in updates.small_talk() for said in intent.ask["test"]]
        change = [question for cell in changed for question in cell.questions()]
        before = [reply(agent, question) for question in [*stay, *change]]
        for cell, value in zip(changed, new):
            put(kb, cell, value)
        after = [reply(agent, question) for question in [*stay, *change]]
        talk = [*updates.small_talk(), *(i for i in updates.base_intents() if not i.about)]
        alone = [used(agent, said) for intent in talk for said in intent.ask["test"]]
    values = [value for cell, value in zip(changed, new) for _ in cell.questions()]
    old = [cell.row[cell.column] for cell in changed for _ in cell.questions()]
    now = after[len(stay) :]
    was = before[len(stay) :]
    return {
        "questions": len(change),
        "right_before": share(says(text, value) for text, value in zip(was, old)),
        "right": share(says(text, value) for text, value in zip(now, values)),
        "words": sum(len(words(text)) for text in now) / len(now),
        "elsewhere": len(stay),
        "unchanged": share(a == b for a, b in zip(before, after[: len(stay)])),
        "no_fact_needed": len(alone),
        "left_alone": 1 - share(alone),
    }


def rows(facts: FactBase) -> list[Fact]:
    """Each row of each table."""
    found = []
    for name, table_rows in facts.tables.items():
        for row in table_rows:
            fields = {column: value for column, value in row.items() if column not in LABELS}
            text, key = row_sentence(fields, row["name"]), f"{name}/{row['key']}"
            found.append(Fact(text, id=key, entity=row["name"], fields=fields))
    return found


def put(kb: SQLiteFacts, cell: Cell, value: str) -> None:
    """Change one cell."""
    fact = kb.fact(cell.fact_id)
    assert fact is not None
    fields = {**fact.fields, cell.column: value}
    kb.update(dataclasses.replace(fact, text=row_sentence(fields, fact.entity), fields=fields))


def load(kb: str, settings: dict[str, Any]) -> Any:
    """What `parlai interactive -m kb_augmented` makes."""
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt
    from parlai.core.params import ParlaiParser

    opt = ParlaiParser(True, True).parse_kwargs(
        model="kb_augmented", init_model="zoo:telecom/base", kb=kb, loglevel="error", **settings
    )
    return create_agent(Opt({**opt, "interactive_mode": True, "datatype": "valid"}))


def reply(agent: Any, text: str) -> str:
    """To the first turn of a conversation."""
    return str(_act(agent, text)["text"])


def used(agent: Any, text: str) -> bool:
    """Whether the reply was made of facts."""
    return "knowledge" in _act(agent, text)


def _act(agent: Any, text: str) -> dict[str, Any]:
    clone = agent.clone()
    clone.observe({"id": "user", "text": text, "episode_done": False})
    act: dict[str, Any] = clone.act()
    return act


def share(hits: Any) -> float:
    """Of those that are true."""
    found = list(hits)
    return sum(found) / len(found)


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| reply | right before | right after | words a reply | unchanged elsewhere "
        "| no fact needed, none used |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in result["systems"].items():
        lines.append(
            f"| {name} | {row['right_before']:.1%} | {row['right']:.1%} | {row['words']:.1f} "
            f"| {row['unchanged']:.1%} | {row['left_alone']:.1%} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
