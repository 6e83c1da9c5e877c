"""A store in a folder of its own, with a cache that goes with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from parlai_cu.versions.store import VersionStore


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., VersionStore]:
    """``open_store(create=True)``: a store below the test's folder."""

    def open_it(create: bool = True, name: str = "store") -> VersionStore:
        return VersionStore(str(tmp_path / name), create=create, cache=str(tmp_path / "cache"))

    return open_it


@pytest.fixture
def store(open_store: Callable[..., VersionStore]) -> VersionStore:
    """An empty store."""
    return open_store()
