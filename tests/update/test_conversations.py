"""Which conversation an example is of, however its task serves it."""

import pytest

from parlai_cu.update.conversations import conversation_ids, part_of
from parlai_cu.update.wording import Example

TALKS = [
    [("hi", "hello"), ("a table", "for how many"), ("two", "done")],
    [("hi", "hello"), ("a taxi", "where to")],
    [("hi", "hello")],
]
HISTORIES = [
    Example(text, label, tuple(said for turn in talk[:i] for said in turn))
    for talk in TALKS
    for i, (text, label) in enumerate(talk)
]
FLAT = [Example(example.context, example.label) for example in HISTORIES]
EXPECTED = [0, 0, 0, 1, 1, 2]


def same(found: list[str], expected: list[int]) -> bool:
    """Whether two lists divide into the same groups."""
    return len(set(zip(found, expected))) == len(set(found)) == len(set(expected))


def test_an_episode_is_a_conversation() -> None:
    """Also where two are the same word for word: each was held."""
    ids = conversation_ids(HISTORIES, EXPECTED, [{}] * 6)
    assert same(ids, EXPECTED)
    assert same(conversation_ids(HISTORIES[-1:] * 3, [0, 1, 2], [{}] * 3), [0, 1, 2])


def test_turns_that_stand_alone_with_their_history() -> None:
    """Each turn an episode with all that was said in its text, in any order."""
    ids = conversation_ids(FLAT, range(6), [{}] * 6)
    assert same(ids, EXPECTED)
    mixed = [4, 0, 5, 2, 1, 3]
    ids = conversation_ids([FLAT[i] for i in mixed], range(6), [{}] * 6)
    assert sorted(map(ids.count, set(ids))) == [1, 2, 3]
    assert ids[mixed.index(1)] == ids[mixed.index(2)] != ids[mixed.index(4)]


@pytest.mark.parametrize("name", ["dialogue_id", "conversation_id", "session_id"])
def test_a_name_of_the_conversation_counts_most(name: str) -> None:
    """A field of the message."""
    ids = conversation_ids(FLAT, range(6), [{name: f"d{i}"} for i in EXPECTED])
    assert same(ids, EXPECTED)


def test_the_part_of_a_task() -> None:
    """Its own field; the finest there is."""
    assert part_of({"domain": "banks", "intent": "balance"}) == "intent balance"
    assert part_of({"services": ["Banks_1", "Buses_2"]}) == "services Banks_1, Buses_2"
    assert part_of({"text": "hi", "intent": ""}) == ""
