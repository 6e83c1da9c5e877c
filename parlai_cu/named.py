"""A user's own class, named by ``my.module:Name``, as ParlAI's ``-m`` does."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from parlai_cu.errors import ParlaiCuError, UsageError, nearest


def load(name: str, flag: str, error: type[ParlaiCuError] = UsageError) -> Any:
    """
    What ``my.module:Name`` names; modules in the current folder are found too.

    :param name: as it was typed
    :param flag: where it was typed, for the message
    :param error: what is raised when there is none of that name
    """
    module, _, attribute = name.partition(":")
    _look_here()
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as reason:
        raise error(
            f"{flag} {name}: expected my.module:name, of a module that can be imported ({reason})"
        ) from reason


def is_there(module: str) -> bool:
    """Whether a module, or the package it is in, can be found."""
    _look_here()
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _look_here() -> None:
    # `parlai` does not look in the current folder, `python -m parlai` does
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def kind(
    ours: Mapping[str, str],
    name: str,
    flag: str,
    needs: Sequence[str] = (),
    error: type[ParlaiCuError] = UsageError,
) -> Any:
    """
    The class of a variant: one of ours, or ``my.module:Class``.

    :param ours: name -> ``module:Class``, of :mod:`parlai_cu.plugin`
    :param name: as it was typed
    :param flag: where it was typed, for the message
    :param needs: methods that the class must have. Names come from ``.opt`` files, too: what is
        no such class is not called
    :param error: what is raised when there is none of that name
    """
    if ":" not in name:
        if name not in ours:
            close = nearest(name, ours) or list(ours)
            raise error(
                f"{flag} {name}: expected one of {', '.join(ours)}, or my.module:Class; "
                f"nearest: {', '.join(close)}"
            )
        return load(ours[name], flag)
    loaded = load(name, flag, error)
    missing = [method for method in needs if not callable(getattr(loaded, method, None))]
    if not isinstance(loaded, type) or missing:
        what = f"has no {', '.join(missing)}" if isinstance(loaded, type) else "is no class"
        raise error(f"{flag} {name}: expected a class with {', '.join(needs)}; it {what}")
    return loaded
