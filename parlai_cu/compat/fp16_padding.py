"""
ParlAI pads a model's dictionary by the run's ``--fp16``, not by what the weights were made with.

Seen with ParlAI 1.7.2: a model trained with ``--fp16 true`` over 93 tokens has 96 rows, and
``-mf`` it with ``--fp16 false`` fails with a size mismatch; so does ``--fp16 true`` over one of 93.
Goes when: never; ParlAI is archived.

A model's options say what it was made with. Where it is loaded from its file, they decide.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any


def needed() -> str | None:
    """Why the repair is active."""
    return "--fp16 changes the shape of a model that is loaded"


def after(module: Any) -> None:
    """Let the file's options decide where a model is loaded from one (parlai.core.agents)."""
    stock = module.create_agent_from_opt_file

    @functools.wraps(stock)
    def create_agent_from_opt_file(opt: Any) -> Any:
        saved = _saved(module, opt)
        if saved is None:
            return stock(opt)
        if is_padded(saved):
            opt["override"] = {**(opt.get("override") or {}), "force_fp16_tokens": True}
        with padding_as(saved):
            return stock(opt)

    module.create_agent_from_opt_file = create_agent_from_opt_file


def is_padded(saved: Any) -> bool:
    """Whether a model of the options ``saved`` has a dictionary padded for half precision."""
    return bool(saved.get("fp16") or saved.get("force_fp16_tokens"))


@contextlib.contextmanager
def padding_as(saved: Any) -> Iterator[None]:
    """
    Within, agents are built without padding where the model has none.

    :param saved: the options of the model that the weights come from; None where they are new
    """
    # late: the repair is loaded while ParlAI is imported
    import parlai.utils.torch as parlai_torch

    size = parlai_torch.FP16_PAD_SIZE
    if saved is not None and not is_padded(saved):
        parlai_torch.FP16_PAD_SIZE = 1
    try:
        yield
    finally:
        parlai_torch.FP16_PAD_SIZE = size


def _saved(module: Any, opt: Any) -> Any:
    path = f"{opt.get('model_file')}.opt"
    return module.Opt.load(path) if os.path.isfile(path) else None
