"""Which version answers whom, and which models are in memory."""

import pytest

from parlai_cu.versions.swap import VersionRouter, in_share


def line_up(*residents: str, live: str, canary: str = "", **settings: object) -> VersionRouter:
    """A line-up with models in memory."""
    lineup = VersionRouter(**settings)  # type: ignore[arg-type]
    for version in residents:
        lineup.enter(version)
    lineup.serve(live, canary or None)
    return lineup


def test_a_conversation_follows_the_live_version() -> None:
    """Unless it is pinned: then it stays, for as long as its model is there."""
    for pin, then in ((False, "v2"), (True, "v1")):
        lineup = line_up("v1", live="v1", pin=pin)
        assert lineup.choose("ann") == "v1"
        lineup.enter("v2")
        assert lineup.choose("ann", "v1") == "v1", "it was loaded, and is not live yet"
        lineup.serve("v2", None)
        assert lineup.choose("ann", "v1") == then and lineup.choose("bob") == "v2"
    lineup.leave("v1")
    assert lineup.choose("ann", "v1") == "v2"


def test_the_share_of_a_canary() -> None:
    """It is met, it is the same each time, and another canary is tried by others."""
    people = [f"person {i}" for i in range(5000)]
    first = {p for p in people if in_share(p, "v2", 0.1)}
    assert 400 < len(first) < 600
    assert first == {p for p in people if in_share(p, "v2", 0.1)}
    assert first < {p for p in people if in_share(p, "v2", 0.2)}, "a larger share keeps who is in"
    assert len(first & {p for p in people if in_share(p, "v3", 0.1)}) < 100
    assert not any(in_share(p, "v2", 0.0) for p in people)
    assert all(in_share(p, "v2", 1.0) for p in people)
    lineup = line_up("v1", "v2", live="v1", canary="v2", canary_share=0.1)
    assert {p for p in people if lineup.choose(p) == "v2"} == first
    assert line_up("v1", "v2", live="v1", canary="v2").choose(next(iter(first))) == "v1"


def test_what_is_loaded_next() -> None:
    """The live one first, then the canary; never what failed, nor what is there."""
    lineup = line_up("v1", live="v1", canary_share=0.5)
    assert lineup.next_load("v2", "v3", ()) == "v2"
    assert lineup.next_load("v2", "v3", ("v2",)) == "v3"
    assert lineup.next_load("v1", "v3", ("v3",)) is None
    assert lineup.next_load("v1", None, ()) is None
    assert line_up("v1", live="v1").next_load("v1", "v3", ()) is None, "no share, no canary"


@pytest.mark.parametrize(
    ("residents", "live", "canary", "leaving"),
    [
        ("v1", "v1", "", []),
        ("v1 v2", "v2", "", ["v1"]),
        ("v1 v2", "v1", "v2", ["v2"]),
        ("v1 v2", "v1", "", ["v2"]),
    ],
)
def test_who_leaves_for_a_third(residents: str, live: str, canary: str, leaving: list) -> None:
    """An old version that pinned conversations need, or the canary; the live one never."""
    lineup = line_up(*residents.split(), live=live, canary=canary, canary_share=0.5, pin=True)
    assert lineup.leaving("v9") == leaving
    for version in leaving:
        lineup.leave(version)
    lineup.enter("v9")
    assert len(lineup.residents) <= 2 and lineup.live == live
    with pytest.raises(AssertionError):
        lineup.leave(live)


def test_what_is_not_in_memory_is_not_served() -> None:
    """A promotion takes effect when its model is there, and a canary that became live is none."""
    lineup = line_up("v1", live="v1", canary_share=0.5)
    lineup.serve("v2", "v3")
    assert (lineup.live, lineup.canary) == ("v1", None)
    lineup.enter("v2")
    lineup.serve("v1", "v2")
    assert (lineup.live, lineup.canary) == ("v1", "v2")
    lineup.serve("v2", "v2")
    assert (lineup.live, lineup.canary) == ("v2", None)
