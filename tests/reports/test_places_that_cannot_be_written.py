"""Caches where the home folder cannot be written: a temporary folder, said so."""

import os
from pathlib import Path

import pytest

from parlai_cu import user_cache


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are; nothing was found out before."""
    user_cache._base.cache_clear()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.mark.parametrize("place", ["read-only", "a file", "below a file", "no home"])
def test_a_temporary_folder_is_taken(
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    """Once, and the variable that helps is named."""
    (tmp_path / "file").write_text("")
    where = {"read-only": "held", "a file": "file", "below a file": "file/cache"}.get(place)
    if where is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / where))
    if place == "read-only":
        # the tests' user may be root, whom permissions do not stop
        (tmp_path / "held").mkdir()
        stock = os.access
        monkeypatch.setattr(os, "access", lambda p, mode: "held" not in str(p) and stock(p, mode))
    first, second = user_cache.folder("versions"), user_cache.folder("versions")
    assert first == second and Path(first).is_relative_to(temporary)
    told = capsys.readouterr().err
    assert told.count("cannot be written") == 1 and "Set XDG_CACHE_HOME" in told


def test_nobody_elses_folder(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of that name that others may write is not taken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    open_to_all = temporary / f"parlai_cu-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert not Path(user_cache.folder()).is_relative_to(open_to_all)


def test_where_it_can_be_written(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as named, be it there or not yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert user_cache.folder("a") == str(tmp_path / "not" / "yet" / "parlai_cu" / "a")


@pytest.mark.parametrize("in_memory", [True, False])
def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool) -> None:
    """A container's read-only root: what is read is read, memory is taken where there is some."""
    import tempfile

    from parlai_cu.errors import UsageError

    user_cache._base.cache_clear()
    nowhere = str(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [nowhere])
    monkeypatch.setattr(user_cache, "_IN_MEMORY", (str(tmp_path),) if in_memory else ())
    user_cache.prepare()
    if in_memory:
        assert Path(user_cache.folder("versions")).is_relative_to(tmp_path)
        return
    monkeypatch.setattr(tempfile, "tempdir", nowhere)
    with pytest.raises(UsageError, match="no folder can be written.*set XDG_CACHE_HOME"):
        user_cache.folder("versions")


def test_what_only_looks_asks_for_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of versions is listed and verified without one."""
    from parlai_cu.versions.store import VersionStore
    from tests.versions.models import tiny_model, write_model

    store = VersionStore(str(tmp_path / "store"), create=True)
    store.add(write_model(tmp_path / "m" / "model", tiny_model(1)), mode="import")
    monkeypatch.setattr(user_cache, "folder", None)
    again = VersionStore(store.path)
    assert again.list() and not again.verify() and again.settings("v1")
