"""
``ReduceLROnPlateau(verbose=)`` left torch in version 2.7 (2025); deprecated since 2.2.

Seen: every ``parlai train_model`` without ``--lr-scheduler`` dies while the agent is built,
``TypeError: ReduceLROnPlateau.__init__() got an unexpected keyword argument 'verbose'``
(``parlai/nn/lr_scheduler.py``, line 338): it is ParlAI's default scheduler.
Goes when: ParlAI no longer passes ``verbose``.

The rate is in every line of the training log, so the lost message costs nothing.
"""

import inspect
from types import ModuleType
from typing import Any

import torch


def needed() -> str | None:
    """Why the repair is active, or None."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    if "verbose" in inspect.signature(ReduceLROnPlateau.__init__).parameters:
        return None
    return "this torch has no ReduceLROnPlateau(verbose=), which ParlAI's default scheduler passes"


def after(module: ModuleType) -> None:
    """Build ParlAI's plateau scheduler without ``verbose``."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    base: Any = module.ParlAILRScheduler

    def __init__(
        self: Any,
        optimizer: torch.optim.Optimizer,
        patience: int,
        decay: float,
        warmup_updates: int,
        warmup_rate: float,
    ) -> None:
        base.__init__(self, warmup_updates, warmup_rate)
        self.scheduler = ReduceLROnPlateau(optimizer, "min", factor=decay, patience=patience)

    module.ReduceOnPlateauLRScheduler.__init__ = __init__
