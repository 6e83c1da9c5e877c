"""
``np.int`` left numpy in version 1.24 (2022); deprecated since 1.20.

Seen: ``DictionaryAgent.txt2vec(text, np.ndarray)`` dies, ``AttributeError: module 'numpy' has
no attribute 'int'`` (``parlai/core/dict.py``, line 754).
Goes when: that line says ``int``.

Nothing is put back into numpy: other libraries look there to see which numpy they have.
"""

import warnings
from types import ModuleType
from typing import Any


def needed() -> str | None:
    """Why the repair is active, or None."""
    import numpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it is only deprecated, asking warns
        if hasattr(numpy, "int"):
            return None
    return "this numpy has no np.int, which parlai.core.dict uses"


def after(module: ModuleType) -> None:
    """Let ``txt2vec`` make its arrays by way of a list."""
    import numpy

    agent: Any = module.DictionaryAgent
    stock = agent.txt2vec

    def txt2vec(self: Any, text: str, vec_type: type = list) -> Any:
        if vec_type is numpy.ndarray:
            return numpy.array(stock(self, text, list), dtype=int)
        return stock(self, text, vec_type)

    txt2vec.__doc__ = stock.__doc__
    agent.txt2vec = txt2vec
