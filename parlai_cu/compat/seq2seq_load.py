"""
seq2seq reads model files in a way of its own (``parlai/agents/seq2seq/seq2seq.py``, line 236).

Seen: since torch 2.6, whose ``torch.load`` reads tensors only by default, a model that holds
anything else does not load, ``UnpicklingError: Weights only load failed``, whatever the user
says; with an older torch, whatever stands in it is run.
Goes when: ``Seq2seqAgent.load`` names ``pickle_module`` as ``TorchAgent.load`` does.

It is read as every other agent's model file (:mod:`parlai_cu.compat.model_pickles`). ParlAI's
other calls without ``pickle_module`` (candidates, image features, dense indexes, foreign
fairseq and DPR checkpoints) keep torch's default.
"""

from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "seq2seq reads model files in a way of its own"


def after(module: ModuleType) -> None:
    """Read seq2seq models as all other agents' models are read."""
    import torch

    def load(self: Any, path: str) -> dict[str, Any]:
        import parlai.utils.pickle

        with module.PathManager.open(path, "rb") as stream:  # type: ignore[attr-defined]
            states: dict[str, Any] = torch.load(
                stream, map_location="cpu", pickle_module=parlai.utils.pickle
            )
        self.model.load_state_dict(states["model"])
        if "longest_label" in states:
            self.model.longest_label = states["longest_label"]
        return states

    agent: Any = module.Seq2seqAgent  # type: ignore[attr-defined]
    load.__doc__ = agent.load.__doc__
    agent.load = load
