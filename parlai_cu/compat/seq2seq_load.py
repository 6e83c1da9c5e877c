"""
``torch.load`` reads tensors only (``weights_only=True``) by default since torch 2.6 (2025).

Seen: ParlAI reads models with its own unpickler, which turns that default off, but seq2seq
does not (``parlai/agents/seq2seq/seq2seq.py``, line 236): a model whose file holds
anything but tensors and plain values does not load, ``UnpicklingError: Weights only load
failed``; such are models that were saved by an older ParlAI or PyTorch.
Goes when: ``Seq2seqAgent.load`` names ``pickle_module`` as ``TorchAgent.load`` does.

Nothing is read with less care than every other agent's model file has always been. ParlAI's
other calls without ``pickle_module`` (candidates, image features, dense indexes, foreign
fairseq and DPR checkpoints) keep torch's safe default.
"""

import io
import pickle
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any, Optional


def needed() -> Optional[str]:
    """Why the repair is active, or None."""
    import torch

    probe = io.BytesIO()
    torch.save(SimpleNamespace(), probe)
    probe.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.4 and 2.5 announce the change
        try:
            torch.load(probe)
        except pickle.UnpicklingError:
            return "this torch reads tensors only by default; seq2seq asks for no more"
    return None


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
