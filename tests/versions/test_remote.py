"""A store behind iopath: the same, through a handler."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from iopath.common.file_io import PathHandler, PathManager

from parlai_cu.errors import VersionsError
from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, loaded, tiny_model, write_model
from tests.versions.test_store import same


class Bucket(PathHandler):
    """A place that is reached by ``bucket://`` only; it has no locks, no links and no renames."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.reachable = True

    def _get_supported_prefixes(self) -> list[str]:
        return ["bucket://"]

    def place(self, path: str) -> str:
        """Where it really is."""
        if not self.reachable:
            raise OSError(110, "Connection timed out", path)
        return str(self.folder / path[len("bucket://") :])

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        if "w" in mode:
            os.makedirs(os.path.dirname(self.place(path)), exist_ok=True)
        return open(self.place(path), mode)

    def _exists(self, path: str, **kwargs: Any) -> bool:
        return os.path.exists(self.place(path))

    def _ls(self, path: str, **kwargs: Any) -> list[str]:
        return os.listdir(self.place(path))

    def _mkdirs(self, path: str, **kwargs: Any) -> None:
        os.makedirs(self.place(path), exist_ok=True)

    def _rm(self, path: str, **kwargs: Any) -> None:
        os.unlink(self.place(path))

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return self.place(path)

    def _copy_from_local(
        self, local_path: str, dst_path: str, overwrite: bool = False, **kwargs: Any
    ) -> bool:
        shutil.copyfile(local_path, self.place(dst_path))
        return True


def test_a_life_behind_iopath(tmp_path: Path) -> None:
    """Add, promote, delta, load, roll back, prune, verify; and when it is out of reach."""
    (tmp_path / "far").mkdir()
    bucket = Bucket(tmp_path / "far")
    manager = PathManager()
    manager.register_handler(bucket)

    def opened(create: bool = False) -> VersionStore:
        uri = "bucket://models/assistant"
        cache = str(tmp_path / "cache")
        return VersionStore(uri, create=create, path_manager=manager, cache=cache)

    with pytest.raises(VersionsError, match="bucket://models/assistant is no versions directory"):
        opened()
    store = opened(create=True)
    store.add(write_model(tmp_path / "m" / "model"), mode="import")
    store.promote("v1", force=True)
    candidate = write_model(tmp_path / "c" / "model", change(tiny_model()))
    assert store.add(candidate, mode="frozen_layer", parent="live").delta_of == store.channel()
    store.promote("v2", force=True)
    assert same(loaded(opened().model_file("live")), loaded(candidate))
    assert opened().rollback().id == store.get("v1").id
    # one that does not stand on the second
    other = write_model(tmp_path / "d" / "model", change(tiny_model(), block=1))
    store.add(other, mode="frozen_layer", parent="live")
    assert [version.number for version in opened().prune(keep=1)] == [2]
    assert opened().verify() == []
    bucket.reachable = False
    with pytest.raises(VersionsError, match="Connection timed out"):
        opened()
