"""Messages on disk: every type comes back as it was, and what cannot be kept is named."""

import collections
import copy
import enum
from typing import Any

import numpy as np
import pytest
import torch

from parlai_cu import messages
from parlai_cu.errors import DataError


class Mood(enum.StrEnum):
    """A type of somebody's own."""

    GLAD = "glad"


KEPT: dict[str, Any] = {
    "text": 'two\nlines\twith a tab, a "quote" and \u2028',
    "half": "broken \ud83d text",
    "none": None,
    "flag": True,
    "number": 10**30,
    "rate": 0.1,
    "endless": float("inf"),
    "labels": ("a", "b"),
    "list": [1, (2, [3])],
    "set": {"a", "b"},
    "frozen": frozenset({1}),
    "bytes": b"\x00\xff",
    "nested": {"a": {"b": (1,)}, 7: "not only text as keys"},
    "ordered": collections.OrderedDict(b=1, a=2),
    "counted": collections.Counter("aab"),
    "like ours": {"__type__": "tuple", "value": [1]},
    "array": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    "words": np.array(["a", "bcd"]),
    "scalar": np.float32(0.1),
    "tensor": torch.arange(6.0).reshape(2, 3)[:, 1:],
    "half tensor": torch.ones(2, dtype=torch.bfloat16),
    "one": torch.tensor(3),
    "empty": torch.zeros(0, 4),
}


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", KEPT)
def test_types_are_kept(name: str) -> None:
    """Through a line of text, which has no line end in it."""
    lost: dict[str, str] = {}
    line = messages.dumps({name: KEPT[name]}, lost)
    assert "\n" not in line and line.encode()
    assert same(messages.loads(line)[name], KEPT[name]) and not lost


def test_of_a_view_only_what_it_shows_is_kept() -> None:
    """Not the array that it is a part of."""
    big = torch.zeros(1000, 1000)
    assert len(messages.dumps({"row": big[0]})) < 10_000


def test_images_are_kept() -> None:
    """Point by point."""
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    again = messages.loads(messages.dumps({"image": picture}))["image"]
    assert again.mode == "RGB" and np.array_equal(np.asarray(again), np.asarray(picture))


@pytest.mark.parametrize("value", [Mood.GLAD, len, np.array([{}], dtype=object), object()])
def test_what_cannot_be_kept_is_named(value: Any) -> None:
    """When it is written, and when somebody wants it; who does not want it is not held up."""
    lost: dict[str, str] = {}
    again = messages.loads(messages.dumps({"text": "a", "mood": {"now": value}}, lost))
    assert list(lost) == ["mood.now"] and again["text"] == "a"
    held = copy.deepcopy(again)["mood"]["now"]
    for use in (bool, len, iter, str.lower, lambda it: it.name, lambda it: it["a"]):
        with pytest.raises((DataError, TypeError)) as refused:
            use(held)
        assert use is str.lower or "'mood.now' of a stored example held a " in str(refused.value)
    # what is stored once more is named once more
    lost = {}
    messages.dumps(again, lost)
    assert list(lost) == ["mood.now"]
