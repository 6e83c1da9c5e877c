"""
ParlAI pads a model's dictionary by the run's ``--fp16``, not by what the weights were made with.

Seen with ParlAI 1.7.2: a model trained with ``--fp16 true`` over 93 tokens has 96 rows, and
``-mf`` it with ``--fp16 false`` fails with a size mismatch; so does ``--fp16 true`` over one of 93.

A model's options say what it was made with. Where it is loaded from its file, they decide.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt


@instead_of("parlai.core.agents:create_agent_from_opt_file")
def _create_agent_from_opt_file(stock: Stock, opt: Opt) -> Any:
    from parlai.core.opt import Opt

    path = f"{opt.get('model_file')}.opt"
    if not os.path.isfile(path):
        return stock(opt)
    saved = Opt.load(path)
    if is_padded(saved):
        opt["override"] = {**(opt.get("override") or {}), "force_fp16_tokens": True}
    with padding_as(saved):
        return stock(opt)


def is_padded(saved: Mapping[str, Any]) -> bool:
    """Whether a model of the options ``saved`` has a dictionary padded for half precision."""
    return bool(saved.get("fp16") or saved.get("force_fp16_tokens"))


@contextlib.contextmanager
def padding_as(saved: Mapping[str, Any] | None) -> Iterator[None]:
    """
    Within, agents are built without padding where the model has none.

    :param saved: the options of the model that the weights come from; None where they are new
    """
    # late: this is loaded while ParlAI is imported
    import parlai.utils.torch as parlai_torch

    size = parlai_torch.FP16_PAD_SIZE
    if saved is not None and not is_padded(saved):
        parlai_torch.FP16_PAD_SIZE = 1
    try:
        yield
    finally:
        parlai_torch.FP16_PAD_SIZE = size
