"""However a candidate came in: only the tensors that no version has are stored."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.versions.store import VersionStore
from tests.agents.served import GENERATOR


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    """An empty one."""
    return VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))


@pytest.fixture
def tuned(deployed: Callable[[str], str], tmp_path: Path) -> Callable[..., str]:
    """``tuned(part, of=path)``: a model whose tensors with that in their name have moved."""
    count = iter(range(100))

    def make(part: str, of: str | None = None, by: float = 0.5) -> str:
        source = Path(of or deployed(GENERATOR))
        folder = tmp_path / f"tuned{next(count)}"
        folder.mkdir()
        for each in source.parent.glob("model*"):
            shutil.copyfile(each, folder / each.name)
        states: dict[str, Any] = torch.load(source, weights_only=True)
        for name, tensor in states["model"].items():
            if part in name and tensor.is_floating_point():
                tensor += by
        torch.save(states, folder / "model")
        return str(folder / "model")

    return make


PARTS = ["decoder.layers.1", "encoder.layers.0.ffn", "norm"]


@pytest.mark.parametrize("part", PARTS)
def test_imported_without_a_parent(
    store: VersionStore, tuned: Callable[..., str], part: str
) -> None:
    """The version it came from is found by content."""
    first = store.add(tuned("none"), mode="import")
    second = store.add(tuned(part), mode="import")
    assert second.parent == second.delta_of == first.id
    assert second.stored_bytes < 0.6 * first.stored_bytes
    loaded = torch.load(store.model_file(second.id), weights_only=True)["model"]
    given = torch.load(tuned(part), weights_only=True)["model"]
    assert all(torch.equal(loaded[name], given[name]) for name in given)


def test_with_another_parent_than_it_has(store: VersionStore, tuned: Callable[..., str]) -> None:
    """What was said stays on record; what is stored is against the nearest."""
    first = store.add(tuned("none"), mode="import")
    far = store.add(tuned("layers"), mode="import")
    near = store.add(tuned(PARTS[0]), mode="tune", parent=far.id)
    assert near.parent == far.id and near.delta_of == first.id


def test_the_same_again(store: VersionStore, tuned: Callable[..., str]) -> None:
    """It costs its record only."""
    first = store.add(tuned("none"), mode="import")
    again = store.add(tuned("none"), mode="import")
    assert again.content == first.content and again.stored_bytes < 0.2 * first.stored_bytes


def test_another_model(store: VersionStore, tuned: Callable[..., str]) -> None:
    """Which shares nothing: it is stored in full, and has no parent."""
    store.add(tuned("none"), mode="import")
    other = store.add(tuned(""), mode="import")
    assert other.parent is None and other.delta_of is None


def test_one_that_was_pruned_is_no_base(store: VersionStore, tuned: Callable[..., str]) -> None:
    """Its tensors are gone."""
    first = store.add(tuned("none"), mode="import")
    store.add(tuned(""), mode="import")
    assert [version.id for version in store.prune(keep=1)] == [first.id]
    again = store.add(tuned(PARTS[0]), mode="import")
    assert again.delta_of != first.id and store.model_file(again.id)


def test_under_other_names(store: VersionStore, tuned: Callable[..., str]) -> None:
    """As a wrapper for several devices saves them: the same tensors are not stored again."""
    first = store.add(tuned("none"), mode="import")
    path = tuned(PARTS[0])
    states = torch.load(path, weights_only=True)
    states["model"] = {f"module.{name}": tensor for name, tensor in states["model"].items()}
    torch.save(states, path)
    second = store.add(path, mode="import")
    assert second.delta_of == first.id and second.stored_bytes < 0.6 * first.stored_bytes
    loaded = torch.load(store.model_file(second.id), weights_only=True)["model"]
    assert all(torch.equal(loaded[name], tensor) for name, tensor in states["model"].items())
    assert list(loaded) == list(states["model"])
    assert store.diff(first.id, second.id).blocks


def test_of_one_that_is_long_ago(tmp_path: Path) -> None:
    """However many other versions came in between."""
    from tests.versions.models import tiny_model, write_model

    store = VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    first = store.add(write_model(tmp_path / "0" / "model", tiny_model(0, 64)), mode="import")
    for seed in range(1, 55):
        other = write_model(tmp_path / str(seed) / "model", tiny_model(seed, 4))
        store.add(other, mode="import")
    model = tiny_model(0, 64)
    with torch.no_grad():
        next(model.layers[1].parameters()).add_(1)
    again = store.add(write_model(tmp_path / "again" / "model", model), mode="import")
    assert again.delta_of == first.id


def test_its_base_is_pruned_meanwhile(
    store: VersionStore, tuned: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No version stands on what is gone."""
    from parlai_cu.errors import VersionsError
    from parlai_cu.versions.importer import ModelImporter

    first = store.add(tuned("none"), mode="import")
    store.add(tuned(""), mode="import")
    path, write = tuned(PARTS[0]), ModelImporter.write

    def pruned_first(*args: Any, **more: Any) -> Any:
        store.prune(keep=1)
        return write(*args, **more)

    monkeypatch.setattr(ModelImporter, "write", pruned_first)
    with pytest.raises(VersionsError, match="was pruned meanwhile; add it again"):
        store.add(path, mode="import")
    assert not store.verify()
    assert store.add(path, mode="import").delta_of != first.id
