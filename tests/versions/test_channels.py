"""Promotion and rollback: the gate's word, history, two at once, channels."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import VersionsError
from parlai_cu.types import Verdict
from parlai_cu.versions import channels
from parlai_cu.versions.records import Promotion
from parlai_cu.versions.store import VersionStore
from tests.versions.models import write_model


@pytest.fixture
def filled(store: VersionStore, tmp_path: Path) -> VersionStore:
    """Three versions: never gated, refused, accepted."""
    model = write_model(tmp_path / "m" / "model")
    verdicts = (None, Verdict("refuse", ("forgets 5 %",)), Verdict("accept"))
    for verdict in verdicts:
        store.add(model, mode="import", verdict=verdict)
    return store


def test_only_what_the_gate_accepted_goes_live(filled: VersionStore) -> None:
    """Anything else needs force, which is recorded."""
    with pytest.raises(VersionsError, match="it was never gated.*--force"):
        filled.promote("v1")
    with pytest.raises(VersionsError, match="gate said 'refuse' .forgets 5 %."):
        filled.promote("v2")
    assert filled.channel() is None and filled.history() == []
    filled.promote("v1", force=True, who="me", why="in service since spring")
    filled.promote("v3", force=True)
    assert filled.channel() == filled.get("v3").id
    first, second = filled.history()
    assert (first.who, first.why, first.forced) == ("me", "in service since spring", True)
    assert second.forced is False, "force that was not needed is no force"


def test_rollback_goes_back_step_by_step(filled: VersionStore) -> None:
    """Not to and fro between two; and it ends at the first."""
    ids = [version.id for version in filled.list()]
    for name in ("v1", "v2", "v3"):
        filled.promote(name, force=True)
    assert filled.rollback(why="complaints").id == ids[1]
    assert filled.rollback().id == ids[0]
    with pytest.raises(VersionsError, match="cannot be rolled back"):
        filled.rollback()
    filled.promote("v3")
    assert filled.rollback().id == ids[0]
    actions = [change.action for change in filled.history()]
    assert actions == ["promote"] * 3 + ["rollback"] * 2 + ["promote", "rollback"]
    with pytest.raises(VersionsError, match="--channel canary cannot be rolled back: it serves no"):
        filled.rollback("canary")


@pytest.mark.parametrize(
    ("changes", "stack"),
    [
        ("", ""),
        ("+a", "a"),
        ("+a +a", "a"),
        ("+a +b +c -b", "ab"),
        ("+a +b +c -b -a", "a"),
        ("+a +b +a -b", "ab"),
        ("+a +b -a +c", "ac"),
        ("+b +a +b -a -b", "b"),
    ],
)
def test_what_a_rollback_goes_back_to(changes: str, stack: str) -> None:
    """The stack of promotions that were not taken back."""
    kinds = {"+": channels.PROMOTE, "-": channels.ROLLBACK}
    history = [
        Promotion("t", id_, "w", "", False, kinds[sign])
        for sign, id_ in map(tuple, changes.split())
    ]
    assert "".join(channels.stacked(history)) == stack
    assert channels.before(history) == (stack[-2] if len(stack) > 1 else None)


def test_channels_have_heads_of_their_own(filled: VersionStore) -> None:
    """Each is a file, and names that mean something else are refused."""
    filled.promote("v3")
    filled.promote("v1", "canary", force=True)
    assert filled.channels() == {"canary": filled.get("v1").id, "live": filled.get("v3").id}
    assert Path(filled.channel_file("canary")) == Path(filled.path) / "canary"
    for name in ("versions", "v3", "../x", "Live", ""):
        with pytest.raises(VersionsError, match="expected a lower-case word"):
            filled.promote("v3", name)
    Path(filled.channel_file("canary")).write_text("by hand\n")
    with pytest.raises(VersionsError, match="canary is no channel of a versions directory"):
        filled.channel("canary")
    assert filled.channel() == filled.get("v3").id


def test_who_comes_second_is_told(filled: VersionStore) -> None:
    """A promoter that decided on another state than there is changes nothing."""
    filled.promote("v1", force=True)
    expected = filled.channel()
    filled.promote("v3", expected=expected, who="ann@one")
    with pytest.raises(VersionsError, match="which ann@one promoted .* nothing was changed"):
        filled.promote("v2", expected=expected, force=True)
    with pytest.raises(VersionsError, match="not None any more"):
        filled.promote("v2", expected=None, force=True)
    assert filled.channel() == filled.get("v3").id and len(filled.history()) == 2


def test_of_many_at_once_one_wins(
    filled: VersionStore, open_store: Callable[..., VersionStore]
) -> None:
    """Eight promoters that saw the same state: one promotion, seven errors."""
    filled.promote("v1", force=True)
    seen = filled.channel()
    start, told = threading.Barrier(8), []  # type: ignore[var-annotated]

    def promote() -> None:
        store = open_store(create=False)
        start.wait()
        try:
            told.append(store.promote("v3", expected=seen))
        except VersionsError as error:
            told.append(error)

    run_all([promote] * 8)
    assert sum(isinstance(outcome, Promotion) for outcome in told) == 1 and len(told) == 8
    assert len(filled.history()) == 2


def test_many_adders_get_numbers_of_their_own(
    open_store: Callable[..., VersionStore], tmp_path: Path
) -> None:
    """Versions that are added at once all arrive, under different ids."""
    model = write_model(tmp_path / "m" / "model")
    run_all([lambda: open_store().add(model, mode="import")] * 6)
    assert [version.number for version in open_store().list()] == [1, 2, 3, 4, 5, 6]


def run_all(jobs: list[Callable[[], Any]]) -> None:
    """Run functions in threads, to their end."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
