"""What is held out: whole conversations, drawn at random."""

import json
from pathlib import Path
from typing import Any

import pytest
from parlai.agents.repeat_label.repeat_label import RepeatLabelAgent
from parlai.core.params import ParlaiParser
from parlai.core.worlds import create_task

from parlai_cu.update.steps.evaluation import Measured, draw_conversations, sums, watching

TURNS = 3


@pytest.fixture
def task(tmp_path: Path) -> str:
    """Sixty conversations of three turns, in an order that means something."""
    path = tmp_path / "talks.jsonl"
    with open(path, "w") as f:
        for number in range(60):
            dialog = [
                [
                    {"id": "user", "text": f"question {turn} of {number}"},
                    {"id": "system", "text": f"answer {turn} of {number}"},
                ]
                for turn in range(TURNS)
            ]
            f.write(json.dumps({"dialog": dialog}) + "\n")
    return f"jsonfile:jsonfile_datapath={path}:jsonfile_datatype_extension=false"


def answered(task: str, batch: int, limit: int, among: Any = None) -> list[Measured]:
    """What an agent that knows everything was asked."""
    opt = ParlaiParser(True, True).parse_args(
        ["-t", task, "-dt", "valid", "-bs", str(batch), "--loglevel", "error"]
    )
    world = create_task(opt, RepeatLabelAgent(opt))
    most = draw_conversations(world, limit, among)
    with watching() as found:
        while not world.epoch_done() and len(found) < most:
            world.parley()
    return found


@pytest.mark.parametrize("batch", [1, 4])
def test_a_random_sample_of_whole_conversations(task: str, batch: int) -> None:
    """Not the first ones, each with all its turns, however many are answered at once."""
    found = answered(task, batch, 30)
    numbers = [int(m.example.text.split()[-1]) for m in found]
    assert len(found) == 30 and len(set(numbers)) == 10
    assert all(numbers.count(number) == TURNS for number in numbers)
    assert sorted(set(numbers)) != list(range(10))
    assert len({(m.conversation, n) for m, n in zip(found, numbers)}) == 10
    assert {m.conversation for m in found} == {m.conversation for m in answered(task, batch, 30)}
    assert sums(found, "accuracy").conversations == 10


def test_of_few_all_are_answered(task: str) -> None:
    """In their order."""
    found = answered(task, 1, 1000)
    assert [m.example.text for m in found[:2]] == ["question 0 of 0", "question 1 of 0"]
    assert len(found) == 180


def test_conversations_of_which_nothing_counts_are_left_out(task: str) -> None:
    """What training holds too is not drawn."""
    wanted = {m.example.key for m in answered(task, 1, 1000)[:9]}
    found = answered(task, 2, 30, wanted)
    assert {m.example.key for m in found} == wanted
