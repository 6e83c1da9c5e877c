"""Libraries that ParlAI hardly ever uses come when they are used, and do what they did."""

import copy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from parlai_cu.host import late_imports


def test_a_name_is_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called, looked into, compared with: as the real one, imported by the first use."""
    monkeypatch.delitem(sys.modules, "fractions", raising=False)
    with late_imports.show(["fractions"]):
        import fractions as late_module
        from fractions import Fraction as Late

    assert type(Late) is late_imports.LateName and "fractions" not in sys.modules
    assert not isinstance(1, Late)  # nothing is of a class that nobody imported
    assert "fractions" not in sys.modules
    half = Late(1, 2)
    assert half == Late.from_float(0.5) == late_module.Fraction("1/2")
    assert isinstance(half, Late) and issubclass(type(half), Late)
    assert copy.copy(Late)(1, 2) == half


def test_what_is_there_is_taken_as_it_is() -> None:
    """A module that was imported already has no stand-in; one that is lacking fails as ever."""
    with late_imports.show(["json", "no_such_library.part"]):
        assert not isinstance(sys.modules["json"], late_imports._LateModule)
        with pytest.raises(ModuleNotFoundError):
            import no_such_library.part  # noqa: F401


def test_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """All late names of a module become what they stand for; parts of packages too."""
    module = ModuleType("held")
    module.first = late_imports.LateName("json", "dumps")  # type: ignore[attr-defined]
    module.part = late_imports.LateName("xml", "dom")  # type: ignore[attr-defined]
    late_imports.settle(module)
    import json
    import xml.dom

    assert module.first is json.dumps and module.part is xml.dom


SHARDING = """
import sys, torch
import parlai.utils.fsdp as fsdp
assert fsdp.FSDP_AVAILABLE and "torch.distributed.fsdp" not in sys.modules
model = torch.nn.Linear(2, 2)
assert not fsdp.is_fsdp(model) and fsdp.fsdp_wrap(model) is model
assert set(fsdp.get_state_dict(model)) == {"weight", "bias"}
with fsdp.maybe_fsdp_wrap({"ddp_backend": "zero2"}):
    pass
from parlai.core.torch_classifier_agent import auc
assert "sklearn" not in sys.modules and "torch.distributed.fsdp" not in sys.modules
fsdp.is_distributed = lambda: True
assert fsdp.should_use_fsdp({"ddp_backend": "zero2"})
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
assert fsdp.FSDP is FullyShardedDataParallel and fsdp.ShardingStrategy is ShardingStrategy
assert not fsdp.is_fsdp(model)
assert auc([0, 1], [0, 1]) == .5
import parlai.core.build_data as build
import requests, torch.multiprocessing
assert build.requests.Session is requests.Session
try:
    raise requests.exceptions.ConnectionError
except build.requests.exceptions.ConnectionError:
    pass
with build.Pool(1) as pool:
    assert pool.map(len, ["ab"]) == [2]
from PIL import Image
import parlai.core.image_featurizers as images
assert images.Image.BICUBIC == Image.BICUBIC
print("done")
"""


def test_of_parlai(tmp_path: Path) -> None:
    """Sharding, areas under curves, downloads and pictures: late, and right."""
    result = subprocess.run(
        [sys.executable, "-c", SHARDING], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert result.stdout.endswith("done\n"), result.stderr
