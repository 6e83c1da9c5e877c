"""Names that are not written as the facts write them."""

from pathlib import Path

import pytest

from parlai_cu.knowledge import aliases
from parlai_cu.knowledge.aliases import Aliases
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact, Turn

NAMES = [
    "the lensfield hotel",
    "gonville hotel",
    "bridge hotel",
    "acorn guest house",
    "a and b guest house",
    "avalon guest house",
    "hobsons house",
    "the cambridge belfry",
]
# "bridge" is a word of other facts too
RARE = {"gonville", "lensfield", "acorn", "avalon", "hobsons"}
KNOWN = set(" ".join(NAMES).split()) | set("is there parking at i like under do you have".split())


def rare(word: str, name: str) -> bool:
    """See :meth:`Aliases.meant`."""
    return word in RARE


def unknown(said: list[str]) -> set[str]:
    """See :meth:`Aliases.meant`."""
    return set(said) - KNOWN


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Is there parking at Lensfield hotel?", ["the lensfield hotel"]),
        ("is there parking at the lensfeild hotel", ["the lensfield hotel"]),
        ("I like the Acorn Guesthouse", ["acorn guest house"]),
        ("the A & B guest house?", ["a and b guest house"]),
        ("Hobson's House", ["hobsons house"]),
        ("the acorn, please", ["acorn guest house"]),
        ("the Gonville and the Lensfield", ["gonville hotel", "the lensfield hotel"]),
        ("the cambrdige belfry", ["the cambridge belfry"]),
        ("the gonvile, please", ["gonville hotel"]),
        ("under the bridge", []),
        ("under the brigde", []),
        ("do you have a guest house? or a hotel?", []),
        ("", []),
    ],
)
def test_other_ways_to_write(said: str, meant: list[str]) -> None:
    """Without "the", with other blanks, without the kind of thing, spelt wrong; no common word."""
    known = Aliases()
    known.add(NAMES)
    assert known.meant(said, rare, unknown) == meant


def test_two_of_a_name_are_none() -> None:
    """Where leaving the kind out leaves two, neither is meant."""
    known = Aliases()
    known.add([*NAMES, "avalon hotel"])
    assert known.meant("the avalon", rare, unknown) == []
    assert known.meant("the avalon hotel", rare, unknown) == ["avalon hotel"]


def test_part_of_a_name_names_nothing_else() -> None:
    """A longer name that is meant, and an ending that is a kind by chance."""
    known = Aliases()
    known.add(
        [*NAMES, "gonville hotel museum", "old mill hotel", "blue mill hotel", "red mill hotel"]
    )
    known.add(["old mill gallery", "tate gallery", "city gallery"])
    assert known.meant("the gonville hotel museum", rare, unknown) == ["gonville hotel museum"]
    assert known.meant("the old mill hotel", rare, unknown) == ["old mill hotel"]
    assert known.meant("the old mill", rare, unknown) == []


def test_names_come_one_by_one() -> None:
    """As all at once, misspelt ones included."""
    known = Aliases()
    for name in NAMES:
        known.add([name])
        known.meant("the lensfeild", rare, unknown)
    assert known.meant("the lensfeild hotel", rare, unknown) == ["the lensfield hotel"]
    assert known.meant("the gonvile hotel", rare, unknown) == ["gonville hotel"]


def test_so_many_names_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large knowledge base stays fast."""
    monkeypatch.setattr(aliases, "MOST_NAMES", len(NAMES) - 1)
    known = Aliases()
    known.add(NAMES)
    assert known.meant("lensfield hotel", rare, unknown) == []


def test_of_a_knowledge_base(tmp_path: Path) -> None:
    """A thing that another process added or removed is known at once, also by its other names."""
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    writer = SQLiteFacts(uri, writable=True)
    writer.add([Fact("Parking is free.", id="1", entity="The Lensfield Hotel")])
    writer.add([Fact("Parking costs 5.", id=str(i), entity=f"Inn {i}") for i in range(2, 9)])
    reader = SQLiteFacts(uri)
    asked = Turn("what does it cost?", ("I am at lensfeild hotel.", "How can I help?"))
    assert reader.query(asked)[0].id == "1"
    writer.add([Fact("A night costs 70.", id="9", entity="The Gonville Hotel")])
    assert reader.query(Turn("how much is gonville hotel?"))[0].id == "9"
    writer.remove(["1"])
    assert reader.query(asked)[0].id != "1"
