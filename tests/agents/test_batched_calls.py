"""Turns that ask the model side by side."""

from collections.abc import Sequence
from typing import Any

import pytest

from parlai_cu.agents.kb_augmented.batched_calls import Act, together


def asking(*questions: str) -> Any:
    """A turn that asks these one after the other."""

    def turn(act: Act) -> list[str]:
        return [answer for question in questions for answer in act([question])]

    return turn


def test_what_is_asked_is_one_batch() -> None:
    """As many batches as the one that asks most often; each hears its own answers."""
    batches: list[list[str]] = []

    def act(asked: Sequence[str]) -> list[str]:
        batches.append(list(asked))
        return [text.upper() for text in asked]

    said = together([asking("a", "b"), asking(), asking("c")], act)
    assert said == [["A", "B"], [], ["C"]]
    assert batches == [["a", "c"], ["b"]]


def test_errors_are_raised() -> None:
    """Of a turn, and of the model."""

    def failing(act: Act) -> Any:
        raise ValueError("a turn")

    with pytest.raises(ValueError, match="a turn"):
        together([asking("a"), failing], list)
    with pytest.raises(ZeroDivisionError):
        together([asking("a")], lambda asked: [1 / 0])
