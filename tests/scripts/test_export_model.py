"""parlai export_model: a plain model that a ParlAI without us loads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.errors import ModelFileError

GENERATOR = "transformer/generator"

# the interpreter as it is without parlai_cu: no import hook, and importing it fails. What
# ParlAI itself needs repaired to start at all on today's libraries is stood in for.
WITHOUT_US = """
import sys, types
sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") != "ParlaiCuStub"]
sys.modules["parlai_cu"] = None
try:
    import pkg_resources
except ImportError:
    sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
from parlai.core.agents import create_agent_from_model_file
agent = create_agent_from_model_file(sys.argv[1], {"no_cuda": True, "datatype": "valid"})
print(type(agent).__name__, repr(agent.respond("open the door")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}], ids=["plain", "lora"])
def test_a_parlai_without_us_loads_it(
    options: Any,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """The exported model answers as the candidate does, where parlai_cu cannot be imported."""
    from parlai.core.agents import create_agent_from_model_file

    candidate = str(tmp_path / "candidate" / "model")
    train(
        model="frozen_layer",
        init_model=deployed(GENERATOR),
        model_file=candidate,
        tune="@attention,@ffn",
        jsonfile_datapath=str(data / "new.jsonl"),
        max_train_steps=20,
        **options,
    )
    out = str(tmp_path / "export" / "model")
    command = [sys.executable, "-m", "parlai", "export_model", "-mf", candidate, "-o", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    opt = json.loads(Path(out + ".opt").read_text())
    assert opt["model"] == GENERATOR and "base_agent" not in opt
    assert set(torch.load(out, weights_only=True)) & {"optimizer", "frozen_layer"} == set()
    plain = subprocess.run([sys.executable, "-c", WITHOUT_US, out], capture_output=True, text=True)
    assert plain.returncode == 0, plain.stderr[-2000:]
    ours = create_agent_from_model_file(candidate, {"no_cuda": True})
    expected = f"TransformerGeneratorAgent {ours.respond('open the door')!r}"
    assert plain.stdout.strip().splitlines()[-1] == expected


def test_refusals(deployed: Callable[[str], str], tmp_path: Path) -> None:
    """A plain model and a missing one are refused; nothing is written."""
    from parlai_cu.scripts.export_model import export_model

    with pytest.raises(ModelFileError, match="is a plain transformer/generator model already"):
        export_model(deployed(GENERATOR), str(tmp_path / "out"))
    with pytest.raises(ModelFileError, match="no model file"):
        export_model(str(tmp_path / "nothing"), str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []
