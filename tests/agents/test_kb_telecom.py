"""Facts of the telecommunications company that change while an assistant serves."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import create_agent
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.importing.files import read_source
from parlai_cu.knowledge.reading import row_sentence

PLANS = Path(__file__).parents[2] / "parlai_cu" / "tasks" / "telecom" / "facts" / "plans.csv"
# phrasings that the assistant's training never saw, and the column they ask for
ASKED = [
    ("Tell me the price of {name}, please.", "price"),
    ("How much is {name}?", "price"),
    ("And what is the monthly price for {name}?", "price"),
    ("What price would I see on the bill for {name}?", "price"),
    ("{name}: price?", "price"),
]


@pytest.mark.slow
def test_five_phrasings_tell_what_changed_and_nothing_else_does(
    deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """Of fourteen plans two change: their prices are the new ones, all other replies stay."""
    kb = SQLiteFacts(f"sqlite:///{tmp_path / 'plans.db'}", writable=True)
    kb.add(read_source(str(PLANS))[0].facts)
    opt = ParlaiParser(True, True).parse_kwargs(
        model="kb_augmented",
        init_model=deployed("transformer/generator"),
        kb=kb.name,
        no_cuda=True,
        loglevel="error",
    )
    agent = create_agent(Opt({**opt, "interactive_mode": True, "datatype": "valid"}))

    def say(text: str) -> Any:
        clone = agent.clone()
        clone.observe({"id": "user", "text": text, "episode_done": False})
        return clone.act()["text"]

    rows = {row.entity: row for row in read_source(str(PLANS))[0].facts}
    changed = {"Solo Lite": "871", "Night Owl": "872"}
    stay = [
        *(
            phrasing.format(name=name)
            for phrasing, _ in ASKED
            for name in sorted(set(rows) - set(changed))[:4]
        ),
        "How much data does Solo Lite have?",
        "hello there",
    ]
    before = [say(text) for text in stay]
    for name, price in changed.items():
        fields = {**rows[name].fields, "price": price}
        kb.update(dataclasses.replace(rows[name], text=row_sentence(fields, name), fields=fields))
    for name, price in changed.items():
        for phrasing, _ in ASKED:
            assert say(phrasing.format(name=name)) == f"{name} costs {price}."
    assert [say(text) for text in stay] == before
    assert before[-2] == "Solo Lite has 2 GB of data."
