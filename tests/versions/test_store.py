"""Versions: what is recorded, deltas, names, pruning, damage."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.errors import ModelFileError, VersionsError
from parlai_cu.files import file_hash
from parlai_cu.types import Verdict
from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, loaded, tiny_model, write_model

ACCEPTED = Verdict("accept", (), ({"check": "ppl", "passed": True},))


def same(one: Any, other: Any) -> bool:
    """Whether two nested things are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and bool(
                (
                    one.contiguous().reshape(-1).view(torch.uint8)
                    == other.contiguous().reshape(-1).view(torch.uint8)
                ).all()
            )
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one)


def test_everything_is_recorded(store: VersionStore, tmp_path: Path) -> None:
    """A version holds who, when, from what, with what result, and the hash of every file."""
    first = store.add(write_model(tmp_path / "m" / "model"), mode="import", note="the first")
    second = store.add(
        write_model(tmp_path / "c" / "model", change(tiny_model())),
        mode="frozen_layer",
        parent=first.id,
        metrics={"ppl": 3.5},
        verdict=ACCEPTED,
        data={"hash": "ab", "task": "jsonfile", "examples": 10},
        seed=7,
        kb_snapshot="d68:26",
    )
    assert store.get(second.id) == second
    assert second.parent == first.id and second.verdict == ACCEPTED and second.seed == 7
    assert second.metrics == {"ppl": 3.5} and second.kb_snapshot == "d68:26"
    assert second.data["examples"] == 10
    # the build may add where it runs: 2.14.1+cu130
    assert torch.__version__.startswith(second.packages["torch"])
    assert "@" in second.who and second.created.endswith("+00:00")
    assert set(first.files) == {"model", "model.opt", "model.dict", "contents.json"}
    assert [version.id for version in store.list()] == [first.id, second.id]


def test_a_delta_costs_what_changed(store: VersionStore, tmp_path: Path) -> None:
    """One changed block of many costs its share of the bytes, and loads bit-identical."""

    def wide() -> torch.nn.Module:
        torch.manual_seed(1)
        return torch.nn.Sequential(*(torch.nn.Linear(128, 128) for _ in range(100)))

    base = store.add(write_model(tmp_path / "m" / "model", wide()), mode="import")
    model = wide()
    with torch.no_grad():
        model[50].weight += 1
    candidate = write_model(tmp_path / "c" / "model", model)
    version = store.add(candidate, mode="frozen_layer", parent=base.id)
    assert version.delta_of == base.id
    # contents.json is of a size that does not depend on the tensors'
    tensors = version.files["delta.safetensors"].size
    assert tensors < 0.0101 * base.files["model"].size
    assert same(loaded(store.model_file(version.id)), loaded(candidate))
    folder = Path(store.path) / "versions" / version.id
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in [folder, *folder.iterdir()])
    # the dictionary is the parent's, and is not kept twice
    assert version.files["model.dict"].at == base.id
    assert (
        Path(store.model_file(version.id) + ".dict").read_text()
        == Path(candidate + ".dict").read_text()
    )


def test_what_is_no_tensor_comes_back(store: VersionStore, tmp_path: Path) -> None:
    """Kinds of values, torch's own record beside the entries, shared tensors, odd types."""
    odd = {
        "tuple": (1, 2.5, float("nan"), float("inf"), None, True, b"\x00\xff", "é"),
        "keys": {1: "one", "1": "other", (2, 3): [torch.Size([2])]},
        "half": torch.arange(3, dtype=torch.bfloat16),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "collide": {1: torch.ones(1), "1": torch.zeros(1)},
    }
    base = store.add(write_model(tmp_path / "m" / "model"), mode="import")
    candidate = write_model(tmp_path / "c" / "model", change(tiny_model()), odd=odd)
    version = store.add(candidate, mode="frozen_layer", parent=base.id, delta=True)
    back, original = loaded(store.model_file(version.id)), loaded(candidate)
    assert same(back, original)
    assert back["model"]._metadata == original["model"]._metadata
    weights = back["model"]
    assert weights["head.weight"].data_ptr() == weights["embedding.weight"].data_ptr()


def test_training_state_is_left_out(store: VersionStore, tmp_path: Path) -> None:
    """Optimizer and schedule are not kept; all else is, and the source is not touched."""
    record = {"format": 1, "resume_point": {"torch": torch.get_rng_state()}}
    source = write_model(tmp_path / "m" / "model", training=True, frozen_layer=record)
    before = Path(source).read_bytes()
    version = store.add(source, mode="import")
    held, original = loaded(store.model_file(version.id)), loaded(source)
    assert set(held) == {"model", "longest_label", "frozen_layer"}
    assert held["frozen_layer"] == {"format": 1}
    assert same(held["model"], original["model"])
    assert Path(source).read_bytes() == before


def test_deltas_upon_deltas_do_not_grow_for_ever(store: VersionStore, tmp_path: Path) -> None:
    """A chain does not grow for ever, and each link loads."""
    model = tiny_model()
    parent = store.add(write_model(tmp_path / "m" / "model", model), mode="import").id
    depths = []
    for i in range(12):
        candidate = write_model(tmp_path / f"c{i}" / "model", change(model, block=i % 4))
        version = store.add(candidate, mode="frozen_layer", parent=parent)
        assert same(loaded(store.model_file(version.id)), loaded(candidate))
        depths.append(version.depth)
        parent = version.id
    # then against one that is not as far down
    assert depths == [*range(1, 11), 10, 10]


def test_a_model_that_changed_everywhere_is_kept_in_full(
    store: VersionStore, tmp_path: Path
) -> None:
    """A delta that would not pay is not made, unless it is asked for."""
    base = store.add(write_model(tmp_path / "m" / "model"), mode="import")
    other = write_model(tmp_path / "o" / "model", tiny_model(seed=5))
    assert store.add(other, mode="distill_student", parent=base.id).delta_of is None
    assert store.add(other, mode="distill_student", parent=base.id, delta=True).delta_of == base.id
    with pytest.raises(VersionsError, match="needs a parent"):
        store.add(other, mode="import", delta=True)


def test_names(store: VersionStore, tmp_path: Path) -> None:
    """An id, a beginning of it, its number, a channel; else the nearest is named."""
    model = write_model(tmp_path / "m" / "model")
    ids = [store.add(model, mode="import").id for _ in range(11)]
    assert store.get("v1").id == ids[0] and store.get("v10").id == ids[9]
    assert store.get(ids[3]).id == ids[3]
    store.promote("v4", force=True)
    assert store.get("live").id == ids[3]
    with pytest.raises(VersionsError, match="nearest: .*live"):
        store.get("liev")
    with pytest.raises(VersionsError, match=f"could be {ids[0]}, {ids[1]}, {ids[2]}, "):
        store.get("v")


def test_ids_are_never_used_again(store: VersionStore, tmp_path: Path) -> None:
    """Not after pruning, and not after the folder was removed by hand."""
    import shutil

    model = write_model(tmp_path / "m" / "model")
    for _ in range(3):
        store.add(model, mode="import", delta=False)
    gone = store.prune(keep=1)
    assert [version.number for version in gone] == [1, 2]
    assert [version.number for version in store.list()] == [3]
    assert [version.number for version in store.list(pruned=True)] == [1, 2, 3]
    shutil.rmtree(os.path.join(store.path, "versions", store.get("v3").id))
    assert store.add(model, mode="import").number == 4
    with pytest.raises(VersionsError, match="removed by prune"):
        store.model_file("v1")


def test_prune_keeps_what_is_reachable(store: VersionStore, tmp_path: Path) -> None:
    """Channels, what they can be rolled back to, and what deltas need stay."""
    model = tiny_model()
    parent, ids = None, []
    for i in range(7):
        source = write_model(tmp_path / f"m{i}" / "model", change(model, by=float(i)))
        ids.append(store.add(source, mode="x", parent=parent, delta=i not in (0, 3)).id)
        parent = ids[-1]
    for number in ("v1", "v5"):
        store.promote(number, force=True)
    store.promote("v2", "canary", force=True)
    # v5 is a delta upon v4 upon v3's full model (v4); v3 alone is needed by nobody
    gone = [version.id for version in store.prune(keep=1, dry_run=True)]
    assert len(store.list()) == 7, "a dry run removed something"
    assert gone == [version.id for version in store.prune(keep=1)] == [ids[2]]
    assert store.verify() == []
    store.rollback()
    assert store.channel() == ids[0] and store.model_file(ids[6])
    assert os.listdir(os.path.join(store.path, "versions", ids[2])) == ["version.json"]


def test_damage_is_found(store: VersionStore, tmp_path: Path) -> None:
    """A changed byte, a lost and a foreign file are told of; what is damaged never goes live."""
    base = store.add(write_model(tmp_path / "m" / "model"), mode="import")
    delta = store.add(
        write_model(tmp_path / "c" / "model", change(tiny_model())),
        mode="frozen_layer",
        parent=base.id,
        verdict=ACCEPTED,
    )
    assert store.verify() == []
    (Path(store.path) / "notes.txt").write_text("?")
    (Path(store.path) / "versions" / "backup").mkdir()
    foreign = store.verify()
    assert len(foreign) == 2 and all("no part of a versions directory" in f for f in foreign)
    weights = Path(store.path) / "versions" / base.id / "model"
    held = bytearray(weights.read_bytes())
    held[-2000] ^= 1
    weights.write_bytes(bytes(held))
    assert "was changed or damaged" in store.verify(base.id)[0]
    # the delta cannot be put together without its base
    with pytest.raises(VersionsError, match="was changed or damaged"):
        store.model_file(delta.id)
    with pytest.raises(VersionsError, match="was changed or damaged"):
        store.promote(delta.id)
    assert store.channel() is None
    weights.unlink()
    assert "has lost its file model" in store.verify(base.id)[0]


def test_a_changed_cache_is_made_again(store: VersionStore, tmp_path: Path) -> None:
    """What was written over in the cache harms neither the version nor the next load."""
    source = write_model(tmp_path / "m" / "model")
    version = store.add(source, mode="import")
    path = store.model_file(version.id)
    Path(path + ".opt").write_text("{}")
    assert json.loads(Path(store.model_file(version.id) + ".opt").read_text())["n_layers"] == 4
    os.unlink(path)
    assert same(loaded(store.model_file(version.id)), loaded(source))
    assert store.verify() == []


def test_what_could_run_code_is_refused(store: VersionStore, tmp_path: Path) -> None:
    """A model file is never unpickled: one with objects in it, or an old .opt, is refused."""
    bad = write_model(tmp_path / "m" / "model", harm=Harm(str(tmp_path / "harmed")))
    with pytest.raises(ModelFileError, match="Python objects .*could run any code"):
        store.add(bad, mode="import")
    assert not (tmp_path / "harmed").exists()
    source = write_model(tmp_path / "n" / "model")
    Path(source + ".opt").write_bytes(b"\x80\x04}q\x00.")
    with pytest.raises(ModelFileError, match="no ParlAI options file"):
        store.add(source, mode="import")
    assert store.list() == []
    assert os.listdir(os.path.join(store.path, "versions")) == []


def test_a_store_that_somebody_forged(store: VersionStore, tmp_path: Path) -> None:
    """A record that leads out of the folder, and a model that was exchanged with its hash."""
    version = store.add(write_model(tmp_path / "m" / "model"), mode="import")
    folder = Path(store.path) / "versions" / version.id
    record = json.loads((folder / "version.json").read_text())
    forged = write_model(tmp_path / "n" / "model", harm=Harm(str(tmp_path / "harmed")))
    (folder / "model").write_bytes(Path(forged).read_bytes())
    record["files"]["model"]["sha256"] = file_hash(forged)
    (folder / "version.json").write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match="Python objects .*could run any code"):
        store.model_file(version.id)
    other = write_model(tmp_path / "o" / "model", tiny_model(seed=9))
    (folder / "model").write_bytes(Path(other).read_bytes())
    record["files"]["model"]["sha256"] = file_hash(other)
    (folder / "version.json").write_text(json.dumps(record))
    with pytest.raises(VersionsError, match="it is not what was added"):
        store.model_file(version.id)
    record["files"]["model.x/../../../../../out"] = record["files"].pop("model.opt")
    (folder / "version.json").write_text(json.dumps(record))
    with pytest.raises(VersionsError, match="is no file's name"):
        store.get(version.id)
    assert not (tmp_path / "harmed").exists()


class Harm:
    """What runs code when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        """Make a folder."""
        return os.mkdir, (self.path,)


def test_missing_models_are_named(store: VersionStore, tmp_path: Path) -> None:
    """A path that is wrong gets the nearest right one."""
    write_model(tmp_path / "m" / "model")
    with pytest.raises(ModelFileError, match="nearest in .*: model"):
        store.add(str(tmp_path / "m" / "modle"), mode="import")


def test_directories_that_are_no_store(
    open_store: Callable[..., VersionStore], tmp_path: Path
) -> None:
    """Missing, misspelt, foreign, newer, damaged: each has its message."""
    with pytest.raises(VersionsError, match="there is no such folder"):
        open_store(create=False)
    open_store()
    with pytest.raises(VersionsError, match="nearest in .*: store"):
        open_store(create=False, name="stoer")
    (tmp_path / "other").mkdir()
    with pytest.raises(VersionsError, match="no versions directory: it has no store.json"):
        open_store(create=False, name="other")
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(VersionsError, match="holds other files .thesis.tex"):
        open_store(name="other")
    held = json.loads((tmp_path / "store" / "store.json").read_text())
    (tmp_path / "store" / "store.json").write_text(json.dumps({**held, "format": 9}))
    with pytest.raises(VersionsError, match="format 9"):
        open_store()
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(VersionsError, match="store.json is damaged"):
        open_store()
    with pytest.raises(VersionsError, match="is the versions directory out of reach"):
        VersionStore(str(tmp_path / "store" / "store.json" / "x"), create=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(store: VersionStore, tmp_path: Path) -> None:
    """Reading goes on, adding says why it cannot."""
    source = write_model(tmp_path / "m" / "model")
    version = store.add(source, mode="import")
    folder = Path(store.path) / "versions"
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(VersionsError, match="Permission denied"):
            store.add(source, mode="import")
        assert store.model_file(version.id)
    finally:
        folder.chmod(0o755)


def test_export(store: VersionStore, tmp_path: Path) -> None:
    """The model's files come out as they went in, and nothing is written over."""
    source = write_model(tmp_path / "m" / "model")
    version = store.add(source, mode="import")
    out = str(tmp_path / "out" / "plain")
    store.export(version.id, out)
    assert Path(out).read_bytes() == Path(source).read_bytes()
    assert Path(out + ".dict").read_text() == Path(source + ".dict").read_text()
    with pytest.raises(VersionsError, match="exists; choose another"):
        store.export(version.id, out)


def test_ids_may_be_shortened(store: VersionStore, tmp_path: Path) -> None:
    """By number, with v or without, by the beginning of an id or of its hash."""
    one, other = (
        store.add(write_model(tmp_path / f"m{i}", tiny_model(i)), mode="x") for i in (0, 1)
    )
    digest = one.id.partition("-")[2]
    assert one.id == store.get("1").id == store.get("v1").id == store.get(digest[:6]).id
    assert store.get(other.id[:5]).id == other.id
    with pytest.raises(VersionsError, match="no such"):
        store.get("zz")
