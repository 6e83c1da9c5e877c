"""
Repairs of ParlAI 1.7.2 and of what it imports: one file per break.

Each file states which library and version broke ParlAI, what a user saw, and when the repair
may go. It defines

``needed() -> str | None``
    None where nothing is broken, else why the repair is active. Feature-detects; it is asked
    once, when the module to be repaired is imported, so it may import what that module does.
``around() -> ContextManager``
    optional: the context in which that module's code runs.
``after(module) -> None``
    optional: runs once the module is imported.
``failed(name, error) -> Exception | None``
    optional: the module's own code raised ``error``; what to raise instead, if anything.
    It is called without asking ``needed``: the failure is the answer.

:data:`parlai_cu.plugin.REPAIRS` says at whose import each file is asked.
"""

import contextlib
import importlib
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

# repair -> why it is active, or None where it was not needed; filled as modules are imported
_state: dict[str, str | None] = {}


def _load(repair: str) -> Any:
    return importlib.import_module(f"{__name__}.{repair}")


def reason(repair: str) -> str | None:
    """
    Why a repair is active (or would be, once its module is imported), or None.

    :param repair: the repair's file name
    :raises Exception: whatever the check itself ran into; the repair is off then
    """
    if repair not in _state:
        _state[repair] = _load(repair).needed()
    return _state[repair]


def around(repair: str) -> AbstractContextManager[None]:
    """
    The context in which a module is imported.

    :param repair: the repair's file name
    """
    hook = getattr(_load(repair), "around", None)
    if hook is None or not reason(repair):
        return contextlib.nullcontext()
    context: AbstractContextManager[None] = hook()
    return context


def after(repair: str, module: ModuleType) -> None:
    """
    Run the part of a repair that belongs after the import of a module.

    :param repair: the repair's file name
    :param module: the module that was imported
    """
    hook = getattr(_load(repair), "after", None)
    if hook is not None and reason(repair):
        hook(module)


def failed(repair: str, name: str, error: Exception) -> Exception | None:
    """
    Ask a repair what becomes of the error that ended the import of module ``name``.

    :param repair: the repair's file name
    :param name: the module whose code raised
    :param error: what it raised
    :return: what to raise in its place, or None to leave it as it is
    """
    hook = getattr(_load(repair), "failed", None)
    return hook(name, error) if hook is not None else None


def summary(repair: str) -> str:
    """
    What a repair is for: the first paragraph of its file, on one line.

    :param repair: the repair's file name
    """
    paragraph = (_load(repair).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())
