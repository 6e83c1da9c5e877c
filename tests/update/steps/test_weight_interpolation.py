"""Part of the way from the live model to a candidate."""

from pathlib import Path

import torch

from parlai_cu.update.steps import weight_interpolation
from tests.versions.models import change, loaded, tiny_model, write_model


def test_part_of_what_was_learnt(tmp_path: Path) -> None:
    """What changed goes part of the way, the rest is bit-identical, and all can be had again."""
    start = write_model(tmp_path / "start" / "model")
    candidate = write_model(tmp_path / "c" / "model", change(tiny_model(), by=0.5), epochs=3)
    before, whole = loaded(start)["model"], loaded(candidate)
    for part in (0.75, 0.5, 1.0, 0.0):
        (tmp_path / f"{part}").mkdir()
        target = str(tmp_path / f"{part}" / "model")
        weight_interpolation.put(start, candidate, part, target)
        found = loaded(target)
        assert found["epochs"] == 3 and list(found["model"]) == list(whole["model"])
        for name, tensor in found["model"].items():
            if name == "layers.3.weight":
                moved = (tensor - before[name])[0, 0]
                assert torch.isclose(moved, torch.tensor(0.5 * part), atol=1e-6)
            else:
                assert torch.equal(tensor, before[name])
    after = loaded(str(tmp_path / "1.0" / "model"))["model"]
    assert all(torch.equal(tensor, whole["model"][name]) for name, tensor in after.items())
    after = loaded(candidate)["model"]  # what was trained is as it was
    assert all(torch.equal(tensor, whole["model"][name]) for name, tensor in after.items())


def test_tied_tensors_stay_one(tmp_path: Path) -> None:
    """Under two names they are stored once, before and after."""
    start = write_model(tmp_path / "start" / "model")
    model = tiny_model()
    with torch.no_grad():
        model.embedding.weight += 1.0  # type: ignore[operator,union-attr]
    candidate = write_model(tmp_path / "c" / "model", model)
    size = Path(candidate).stat().st_size
    target = str(tmp_path / "half")
    weight_interpolation.put(start, candidate, 0.5, target)
    found = loaded(target)["model"]
    assert found["embedding.weight"].data_ptr() == found["head.weight"].data_ptr()
    assert Path(target).stat().st_size < size + 2000


def test_what_cannot_be_between_is_what_was_trained() -> None:
    """Counts, tensors of another shape, and those that only the candidate has."""
    start = {"count": torch.tensor(1), "wide": torch.zeros(2), "half": torch.zeros(2).half()}
    trained = {
        "count": torch.tensor(5),
        "wide": torch.ones(3),
        "half": torch.ones(2).half(),
        "new": torch.ones(1),
    }
    found = weight_interpolation.between(start, trained, 0.5)
    assert int(found["count"]) == 5
    assert torch.equal(found["wide"], torch.ones(3)) and torch.equal(found["new"], torch.ones(1))
    assert torch.equal(found["half"], torch.full((2,), 0.5).half())
