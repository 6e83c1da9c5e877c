"""What differs between two versions."""

import json
from pathlib import Path

import pytest
import torch

from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, tiny_model, write_model


def test_the_block_that_moved(store: VersionStore, tmp_path: Path) -> None:
    """One number of one block: which, how many, how far."""
    before = tiny_model()
    store.add(write_model(tmp_path / "m" / "model", before), mode="import")
    candidate = write_model(tmp_path / "c" / "model", change(tiny_model(), block=2, by=0.5))
    store.add(candidate, mode="frozen_layer", parent="v1", delta=True)
    found = store.diff("v1", "v2")
    (block,) = found.changed
    assert (block.block, block.changed, block.tensors, block.elements) == ("layers.2", 1, 2, 1)
    layer = before.layers[2]  # type: ignore[union-attr,index]
    length = torch.cat([layer.weight.flatten(), layer.bias]).double().norm().item()
    assert block.moved == pytest.approx(0.5 / length, rel=1e-6)
    assert block.largest == pytest.approx(0.5, rel=1e-6)
    assert not found.settings and not found.files
    assert [b.block for b in found.blocks][:3] == ["embedding", "layers.0", "layers.1"]
    assert store.diff("v1", "v1").changed == []


def test_other_shapes_settings_and_files(store: VersionStore, tmp_path: Path) -> None:
    """A student of another shape is compared as far as that means something."""
    store.add(write_model(tmp_path / "m" / "model"), mode="import")
    other = tiny_model(width=16)
    del other.layers[3]  # type: ignore[union-attr,operator]
    student = write_model(tmp_path / "s" / "model", other)
    opt = json.loads(Path(student + ".opt").read_text())
    Path(student + ".opt").write_text(json.dumps({**opt, "n_layers": 3}))
    Path(student + ".dict").write_text("other\t1\n")
    store.add(student, mode="distill_student", parent="v1")
    found = store.diff("v1", "v2")
    blocks = {block.block: block for block in found.changed}
    assert blocks["layers.0"].moved is None and blocks["layers.3"].removed == 2
    assert found.settings == {"n_layers": (4, 3)}
    assert found.files == ("model.dict",)
