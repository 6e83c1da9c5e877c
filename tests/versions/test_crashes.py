"""A process that ends at any write leaves the old state or the new one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parlai_cu import files
from parlai_cu.types import Verdict
from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, loaded, tiny_model, write_model
from tests.versions.test_store import same


class Crash(BaseException):
    """The end of the process: nothing catches it, and nothing is tidied up."""


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """``crash_at(n)``: the n-th write from now on, and all after it, never happen."""

    def arm(number: int) -> None:
        left = number

        def step(what: str) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash(what)

        monkeypatch.setattr(files, "step", step)

    yield arm


def deploy(store: VersionStore, folder: Path) -> None:
    """What an update does to a store: a delta is added, promoted, and old ones are pruned."""
    version = store.add(
        write_model(folder / "c" / "model", change(tiny_model())),
        mode="frozen_layer",
        parent="live",
        verdict=Verdict("accept"),
    )
    store.promote(version.id)
    store.rollback()
    store.promote(version.id)
    store.prune(keep=1)


def started(open_store: Callable[..., VersionStore], folder: Path) -> VersionStore:
    """A store that serves its second version; the first is of no use any more."""
    store = open_store()
    for seed in (1, 2, 0):
        model = write_model(folder / f"m{seed}" / "model", tiny_model(seed))
        store.add(model, mode="import")
    store.promote("v3", force=True)
    return store


def is_usable(store: VersionStore, sources: Path) -> None:
    """Something is live and loads, nothing is damaged, and the next update works."""
    live = store.channel()
    assert live is not None
    source = {3: sources / "m0" / "model"}.get(store.get(live).number, sources / "c" / "model")
    assert same(loaded(store.model_file(live)), loaded(str(source)))
    assert store.verify() == []
    numbers = {version.number for version in store.list(pruned=True)}
    again = store.add(str(source), mode="import", verdict=Verdict("accept"))
    assert again.number > max(numbers)
    store.promote(again.id)
    assert store.channel() == again.id
    store.prune(keep=1)
    assert store.verify() == []


def test_every_write_may_be_the_last(
    open_store: Callable[..., VersionStore],
    tmp_path: Path,
    crash_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Broken off at each of its writes, an update leaves a store that serves and goes on."""
    for number in range(1, 200):
        folder = tmp_path / str(number)
        store = started(lambda folder=folder: open_store(name=f"{folder.name}/store"), folder)
        crash_at(number)
        try:
            deploy(store, folder)
        except Crash:
            monkeypatch.undo()
            fresh = open_store(create=False, name=f"{number}/store")
            is_usable(fresh, folder)
        else:
            break
    assert number > 25, "the writes are not reported to step()"


def test_a_store_that_was_never_finished(
    open_store: Callable[..., VersionStore],
    tmp_path: Path,
    crash_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Making a directory and adding the first version can be done again after each write."""
    source = write_model(tmp_path / "m0" / "model")
    for number in range(1, 50):
        crash_at(number)
        try:
            open_store(name=f"s{number}").add(source, mode="import")
        except Crash:
            monkeypatch.undo()
            assert open_store(name=f"s{number}").add(source, mode="import").number in (1, 2)
        else:
            break
    assert number > 6


KILLED = """
import os, signal, sys
from pathlib import Path
from parlai_cu import files
from parlai_cu.versions.store import VersionStore
from tests.versions.test_crashes import deploy

folder, left = Path(sys.argv[1]), int(sys.argv[2])
store = VersionStore(str(folder / "store"), cache=str(folder / "cache"))

def step(what):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

files.step = step
deploy(store, folder)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [8, 20])
def test_kill_9(number: int, open_store: Callable[..., VersionStore], tmp_path: Path) -> None:
    """The same with a real SIGKILL, which also frees the lock."""
    started(open_store, tmp_path)
    root = Path(files.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(number)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    is_usable(open_store(create=False), tmp_path)
