"""Model files as ParlAI writes them, without ParlAI."""

import json
from pathlib import Path
from typing import Any

import torch

BLOCKS, WIDTH = 4, 32


def tiny_model(seed: int = 0, width: int = WIDTH) -> "torch.nn.Module":
    """Four equal blocks, an embedding and a head tied to it, and a norm with buffers."""
    torch.manual_seed(seed)
    model = torch.nn.Module()
    model.embedding = torch.nn.Embedding(20, width)
    model.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(BLOCKS))
    model.norm = torch.nn.BatchNorm1d(width)
    model.head = torch.nn.Linear(width, 20, bias=False)
    model.head.weight = model.embedding.weight
    return model


def write_model(
    path: Path,
    model: torch.nn.Module | None = None,
    training: bool = False,
    kb: str | None = None,
    **more: Any,
) -> str:
    """Write weights, .opt and .dict; ``more`` goes into the weights' file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model if model is not None else tiny_model()
    states: dict[str, Any] = {"model": model.state_dict(), "longest_label": 7, **more}
    if training:
        optimizer = torch.optim.Adam(model.parameters())
        sum(p.sum() for p in model.parameters()).backward()
        optimizer.step()
        states.update(
            optimizer=optimizer.state_dict(), optimizer_type="adam", lr_scheduler={"a": 1}
        )
        states["model"] = model.state_dict()
    torch.save(states, path)
    opt = {
        "model": "transformer/generator",
        "dict_file": "/elsewhere/model.dict",
        "n_layers": BLOCKS,
        **({"kb": kb} if kb else {}),
    }
    Path(f"{path}.opt").write_text(json.dumps(opt))
    Path(f"{path}.dict").write_text("__null__\t1\nhello\t5\n" * 50)
    return str(path)


def change(model: torch.nn.Module, block: int = 3, by: float = 0.5) -> torch.nn.Module:
    """The same model after an update of one block."""
    with torch.no_grad():
        model.layers[block].weight[0, 0] += by  # type: ignore[union-attr,operator,index]
    return model


def loaded(path: str) -> dict[str, Any]:
    """What a model file holds."""
    held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return held
