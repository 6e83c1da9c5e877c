"""
Reading model files of others without running what may be in them.

A model file is a pickle, and unpickling calls whatever the file says. Here only tensors and plain
values are read (``torch.load``'s ``weights_only``), and the checksums that torch writes are
compared, which ``torch.load`` itself does not: a flipped bit in a weight is told, not served.
``--trust-checkpoint`` on the command line reads a file as stock ParlAI does. It counts only there:
an ``.opt`` beside the model that says the same is the model's word for itself.
"""

import _codecs
import contextlib
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Iterator
from types import ModuleType
from typing import IO, Any

import numpy as np
import torch

from parlai_cu.errors import ModelFileError, ParlaiCuError, near_file
from parlai_cu.trust import FLAG, trusted

# what torch says of an object that weights_only does not make, since 2.0
_OBJECT = re.compile(
    r"(?:GLOBAL|[Uu]nsupported class|instantiate|call reduce for unrecognized function)"
    r"\W+([A-Za-z_][\w. ]*\w)"
)


def _allow_numbers() -> None:
    """
    NumPy's numbers are values, too: ParlAI's learning rate schedules keep them in model files.

    Numbers only: of NumPy's other types nothing is made. Before torch 2.4 none are.
    """
    allow = getattr(torch.serialization, "add_safe_globals", None)
    if allow is None:
        return
    make = np.float64(0).__reduce__()[0]
    codes = np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"
    made: list[Any] = [make, np.dtype, _codecs.encode, *{type(np.dtype(code)) for code in codes}]
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6):
        # what NumPy 1 wrote is read beside NumPy 2, and the other way round
        made += [(make, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    allow(made)


_allow_numbers()


def load(path: str, mmap: bool = False) -> dict[str, Any]:
    """
    The dictionary that a model file holds, on the CPU.

    :param path: the model file
    :param mmap: leave tensors on the disk until they are asked for, where torch can
    :raises ModelFileError: when it is damaged, or holds objects rather than tensors and values
    """
    try:
        with open(path, "rb") as f:
            if mmap and not trusted() and zipfile.is_zipfile(f):
                check(f, path)
                held = _mapped(path)
            else:
                f.seek(0)
                held = read(f, path, map_location="cpu")
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    if not isinstance(held, dict):
        raise ModelFileError(
            f"{path} holds a {type(held).__name__}; a ParlAI model is a dictionary"
        )
    return held


def read(f: IO[bytes], path: str, pickle_module: ModuleType = pickle, **more: Any) -> Any:
    """
    What an open model file holds.

    :param f: the file, at its beginning
    :param path: its name, for messages
    :param pickle_module: what unpickles a file that the user trusts
    :param more: for ``torch.load``
    :raises ModelFileError: when it is damaged, or holds objects rather than tensors and values
    """
    if trusted():
        return torch.load(f, pickle_module=pickle_module, weights_only=False, **more)
    with translate_errors(path):
        check(f, path)
        return torch.load(f, weights_only=True, **more)


def check(f: IO[bytes], path: str) -> None:
    """
    Compare a model file with the checksums in it; ``f`` is at its beginning afterwards.

    :param f: the file
    :param path: its name, for messages
    :raises ModelFileError: when it is damaged, or of a format that is not read safely
    """
    f.seek(0)
    if zipfile.is_zipfile(f):
        try:
            with zipfile.ZipFile(f) as archive:
                bad = archive.testzip()
        except Exception as error:  # a flipped bit in a header may be anything
            raise damaged(path, str(error)) from None
        if bad is not None:
            raise damaged(path, f"{bad} is not what was written")
    else:
        f.seek(0)
        if tarfile.is_tarfile(f):  # before PyTorch 0.4; weights_only is no protection there
            raise _untrusted(path, "it is in PyTorch's first format")
    f.seek(0)


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """
    What torch says of a model file that it does not read, as ours; our own errors are left.

    :param path: the file
    :raises ModelFileError: when it is damaged, or holds objects rather than tensors and values
    """
    try:
        yield
    except ParlaiCuError:
        raise
    except Exception as error:
        # a truncated file raises EOFError, UnpicklingError, BadZipFile, KeyError...
        match = _OBJECT.search(str(error))
        if match is not None:
            raise _untrusted(path, f"it holds Python objects ({match.group(1)})") from error
        if "size mismatch" in str(error) or "loading state_dict" in str(error):
            # the file was read: it is its tensors that are of another model
            raise ModelFileError(
                f"{path} does not fit the options or the dictionary that it was loaded with: "
                f"{_first_misfit(str(error))}"
            ) from error
        why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
        raise damaged(path, why) from error


def _first_misfit(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    telling = [line for line in lines if "size mismatch" in line or "key(s)" in line]
    return (telling or lines)[0]


def damaged(path: str, why: str) -> ModelFileError:
    """
    The error for a model file that is not whole.

    :param path: the file
    :param why: what is wrong with it
    """
    if os.path.isdir(path):
        return ModelFileError(f"{path}: expected a model file{near_file(path)}")
    size: int | None = os.path.getsize(path) if os.path.isfile(path) else None
    bytes_of_it = "" if size is None else f" Its size is {size:,d} bytes;"
    return ModelFileError(
        f"{path} cannot be loaded: truncated, damaged or not a ParlAI model ({why})."
        f"{bytes_of_it} restore it from where it came"
    )


def _untrusted(path: str, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} was not read: {why}, and loading it could run any code. If you trust those whom "
        f"it is from, say {FLAG}; what is saved afterwards is free of them"
    )


def _mapped(path: str) -> Any:
    with (
        translate_errors(path),
        contextlib.suppress(TypeError, RuntimeError, ValueError),
    ):  # torch 2.0 cannot
        return torch.load(path, mmap=True, map_location="cpu", weights_only=True)
    with open(path, "rb") as f:
        return read(f, path, map_location="cpu")
