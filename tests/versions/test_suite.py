"""What must not be lost, kept beside the versions."""

from pathlib import Path

import pytest

from parlai_cu.errors import UsageError, VersionsError
from parlai_cu.versions.store import VersionStore
from parlai_cu.versions.suite import Suite, SuitePart, shares
from tests.versions.models import change, tiny_model, write_model


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    """With one version, which is live."""
    store = VersionStore(str(tmp_path / "s"), create=True, cache=str(tmp_path / "cache"))
    first = store.add(write_model(tmp_path / "a" / "model"), mode="import")
    store.promote(first.id, force=True)
    return store


def part_of(store: VersionStore, name: str, text: str = "x") -> SuitePart:
    """A stored part of two conversations."""
    return Suite(store).add(name, {"train": [[f"{text}1"]], "test": [[f"{text}2", f"{text}3"]]})


def brought(store: VersionStore, tmp_path: Path, *parts: SuitePart) -> str:
    """A version that brings these parts."""
    import dataclasses

    model = change(tiny_model(), by=len(store.list()))
    path = write_model(tmp_path / f"m{len(store.list())}" / "model", model)
    held = [dataclasses.asdict(part) for part in parts]
    live = store.channel()
    return store.add(path, mode="frozen_layer", parent=live, data={"suite": held}).id


def names(store: VersionStore) -> list[str]:
    """Of the parts that the live version is not to lose."""
    live = store.channel()
    assert live is not None
    return [part.name for part in Suite(store).parts(live)]


def test_it_grows_and_goes_back_with_the_versions(store: VersionStore, tmp_path: Path) -> None:
    """A candidate brings nothing until it is live; a rollback takes its part back."""
    assert names(store) == []
    one, two = part_of(store, "one"), part_of(store, "two", "y")
    second = brought(store, tmp_path, one)
    assert names(store) == []
    store.promote(second, force=True)
    assert names(store) == ["one"]
    store.promote(brought(store, tmp_path, one, two), force=True)
    assert names(store) == ["one", "two"]
    store.rollback()
    assert names(store) == ["one"]
    assert Suite(store).read(two)["test"] == [["y2", "y3"]]


def test_a_model_made_elsewhere_inherits_it(store: VersionStore, tmp_path: Path) -> None:
    """It is not to lose what the one before it was not to lose."""
    store.promote(brought(store, tmp_path, part_of(store, "one")), force=True)
    other = store.add(
        write_model(tmp_path / "z" / "model", change(tiny_model(), by=9)), mode="import"
    )
    store.promote(other.id, force=True)
    assert names(store) == ["one"]


def test_old_data_is_named_once(store: VersionStore, tmp_path: Path) -> None:
    """For every version; named again it takes the place of the earlier sample."""
    suite = Suite(store)
    suite.name(part_of(store, "old"))
    suite.name(part_of(store, "old", "newer"))
    assert names(store) == ["old"]
    (held,) = suite.parts(store.channel() or "")
    assert suite.read(held)["train"] == [["newer1"]] and held.examples == 3


def test_parts_are_dropped(store: VersionStore, tmp_path: Path) -> None:
    """By name or content, with the nearest where there is none; naming one again brings it back."""
    suite = Suite(store)
    old = part_of(store, "old")
    suite.name(old)
    store.promote(brought(store, tmp_path, part_of(store, "weekly", "y")), force=True)
    live = store.channel() or ""
    with pytest.raises(UsageError, match="suite drop weekli: .* nearest: weekly"):
        suite.drop(live, ["weekli"])
    assert [part.name for part in suite.drop(live, ["weekly", old.content[:6]])] == [
        "weekly",
        "old",
    ]
    assert names(store) == []
    suite.name(old)
    assert names(store) == ["old"]


def test_its_size(store: VersionStore) -> None:
    """Is kept; too small a suite judges nothing."""
    suite = Suite(store)
    assert suite.size == 1000
    suite.resize(200)
    assert Suite(store).size == 200
    with pytest.raises(UsageError, match="suite size 5: expected 50"):
        suite.resize(5)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damage_is_named(damage: str, store: VersionStore) -> None:
    """With the way to go on without the part."""
    suite = Suite(store)
    part = part_of(store, "old")
    suite.name(part)
    assert suite.problems() == [] and store.verify() == []
    path = Path(store.path) / "suite" / f"{part.content}.json"
    path.unlink() if damage == "missing" else path.write_text("{}")
    with pytest.raises(VersionsError, match=f"{damage}; to go on .* suite drop {part.content[:8]}"):
        suite.read(part)
    assert len(suite.problems()) == 1


@pytest.mark.parametrize(
    "counts, size, taken",
    [
        ([5, 100, 100], 50, [5, 22, 23]),
        ([5, 6], 50, [5, 6]),
        ([], 50, []),
        ([100], 50, [50]),
        ([0, 10], 4, [0, 4]),
    ],
)
def test_the_small_are_whole(counts: list[int], size: int, taken: list[int]) -> None:
    """What is too much is taken from the large ones, in equal parts."""
    assert shares(counts, size) == taken
