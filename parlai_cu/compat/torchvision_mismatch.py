"""
A torchvision built for another torch raises ``RuntimeError`` where it should not import.

Seen (torchvision 0.20 beside torch 2.13, likewise any CPU build beside a CUDA build):
``RuntimeError: operator torchvision::nms does not exist`` from ``import torchvision``. ParlAI
catches ImportError only (``parlai/core/image_featurizers.py``, line 85;
``parlai/utils/testing.py``, line 35, without which none of its tests starts).
Goes when: torchvision raises ImportError there.

The error becomes an ImportError that has the first one as its cause: a torchvision that
cannot be imported counts as not installed.
"""

import importlib.util


def needed() -> str | None:
    """Why the repair is active, or None."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, RuntimeError):
            return f"the installed torchvision does not fit this torch ({_short(cause)})"
    return None


def failed(name: str, error: Exception) -> ImportError | None:
    """Turn torchvision's RuntimeError into an ImportError."""
    if not isinstance(error, RuntimeError):
        return None
    return ImportError(
        f"the installed torchvision does not fit this torch ({_short(error)})", name=name
    )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
