"""Stored tensors are read without torch as torch reads them, or left to it."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parlai_cu.versions import arrays, tensors

TYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def states() -> dict[str, Any]:
    """Tensors of all types, slices, transposed, tied, empty, and of no dimension."""
    torch.manual_seed(0)
    whole = torch.randn(6, 4)
    model = collections.OrderedDict(
        {f"of.{kind}": (torch.randn(3, 2) * 9).to(kind) for kind in TYPES}
    )
    model.update(part=whole[1:4, ::2], turned=whole.t(), tied=whole, number=torch.tensor(3.5))
    model["empty"] = torch.zeros(0, 4)
    model["learns"] = torch.nn.Parameter(torch.ones(2)).data
    return {"model": model, "rest": {"list": [torch.ones(2), 3], 7: ("x", None, 1.5)}}


def test_files_of_torch(tmp_path: Path) -> None:
    """Every tensor by the path that the store gives it, with its numbers."""
    torch.save(states(), tmp_path / "model")
    expected = tensors.take_apart(states()).tensors
    found = arrays.of_torch(str(tmp_path / "model"))
    assert set(expected) <= set(found)
    for path, tensor in expected.items():
        assert found[path].shape == tuple(tensor.shape), path
        assert found[path].numel() == tensor.numel()
        assert np.array_equal(found[path].read(), tensor.double().numpy()), path


def test_safetensors(tmp_path: Path) -> None:
    """The same of a delta's file."""
    held = tensors.take_apart(states()).tensors
    tensors.save_tensors(held, str(tmp_path / "delta"))
    found = arrays.of_safetensors(str(tmp_path / "delta"))
    assert set(found) == set(held)
    for path, tensor in held.items():
        assert np.array_equal(found[path].read(), tensor.double().numpy()), path


@pytest.mark.parametrize(
    "held", [{"x": torch.zeros(2, dtype=torch.complex64)}, {"x": torch.nn.Linear(2, 2)}]
)
def test_what_is_left_to_torch(held: Any, tmp_path: Path) -> None:
    """Objects and odd types are not made here; nor is what is no zip file."""
    torch.save(held, tmp_path / "model")
    with pytest.raises(arrays.NotPlain):
        arrays.of_torch(str(tmp_path / "model"))
    (tmp_path / "old").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(arrays.NotPlain):
        arrays.of_torch(str(tmp_path / "old"))
