"""
The errors we raise for what a user can put right.

::

    ParlaiCuError            everything below; reaches the terminal as one line, exit status 1
    ├── MissingParlAIError   ParlAI is not installed (also an ImportError)
    ├── UsageError           a flag, or a combination of flags
    │   └── PatternError     --tune / --freeze
    ├── ModelFileError       a model, its .opt or its dictionary
    ├── DataError            a data file
    ├── KnowledgeError       a knowledge base: missing, out of reach, damaged, or asked for too much
    ├── VersionsError        a versions directory, a version or a channel
    ├── ConversationError    the store of conversations: out of reach, damaged, not ours
    │   └── UnknownConversationError   it does not have this one
    ├── SaveError            a file that could not be written
    ├── FrozenBreachError    a frozen tensor changed: the promise is broken, nothing was saved
    └── DivergedError        the loss is no longer a number

Each message names the flag or file, what was found, what was expected and what to do next.
Where one stands in the place of an error of ParlAI's, it is of that kind as well
(:func:`in_place_of`), so that ParlAI's own callers catch what they always did.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any


class ParlaiCuError(Exception):
    """Base of all errors that tell the user what to put right."""


class MissingParlAIError(ParlaiCuError, ImportError):
    """ParlAI is not installed here."""


class UsageError(ParlaiCuError):
    """A flag, or a combination of flags, that cannot work."""


class PatternError(UsageError):
    """``--tune`` or ``--freeze`` names something the model does not have."""


class ModelFileError(ParlaiCuError):
    """A model file, its ``.opt`` or its dictionary is missing, damaged or does not fit."""


class DataError(ParlaiCuError):
    """A data file is missing, empty or not in its format."""


class KnowledgeError(ParlaiCuError):
    """A knowledge base cannot be opened, read or changed as asked."""


class VersionsError(ParlaiCuError):
    """A versions directory, a version or a channel cannot be read or changed as asked."""


class ConversationError(ParlaiCuError):
    """The store of conversations cannot be opened, read or written."""

    # whether the next call is likely to fail as well
    out_of_reach = True


class UnknownConversationError(ConversationError):
    """The store does not have this conversation: it was deleted, or another file is there now."""

    out_of_reach = False


class SaveError(ParlaiCuError):
    """A file could not be written; what was there before is whole."""


class FrozenBreachError(ParlaiCuError):
    """A tensor that must not change did; the save was stopped."""


class DivergedError(ParlaiCuError):
    """The loss became NaN or infinite."""


def in_place_of(stock: BaseException | type[Exception], error: ParlaiCuError) -> ParlaiCuError:
    """
    An error of ours that stands where ParlAI raises another: who catches that one catches this.

    :param stock: what ParlAI raises, or its kind
    :param error: what is said instead
    :return: an error that is of both kinds
    """
    kind: type[BaseException] = stock if isinstance(stock, type) else type(stock)
    if issubclass(kind, ParlaiCuError):  # that stands for one of ParlAI's itself
        others = (base for base in kind.__mro__ if not issubclass(base, ParlaiCuError))
        kind = next(base for base in others if issubclass(base, BaseException))
    if isinstance(error, kind):
        return error
    made: ParlaiCuError = _both(type(error), kind)(*error.args)
    if isinstance(stock, BaseException):
        made.__dict__.update(stock.__dict__)
    if isinstance(made, ImportError) and isinstance(stock, ImportError):
        made.name, made.path = stock.name, stock.path
    return made


def _both(ours: type[ParlaiCuError], stock: type[BaseException]) -> type[ParlaiCuError]:
    def __init__(self: Any, *args: Any) -> None:
        # some kinds want more than a message
        BaseException.__init__(self, *args)

    members = {
        "__init__": __init__,
        "__str__": BaseException.__str__,  # KeyError shows a message in quotes
        "__reduce__": lambda self: (ours, self.args),
        "__doc__": ours.__doc__,
        "__module__": ours.__module__,
    }
    return type(ours.__name__, (ours, stock), members)


_stock_excepthook: Callable[..., Any] = sys.__excepthook__
_short_interrupts = False


def short_excepthook(kind: type, error: BaseException, traceback: object) -> None:
    """
    ``sys.excepthook`` that prints our errors as one line, and leaves all other kinds alone.

    With ``PARLAI_CU_TRACEBACK=1`` in the environment the traceback is printed as well.
    """
    if isinstance(error, ParlaiCuError) and not os.environ.get("PARLAI_CU_TRACEBACK"):
        sys.stderr.write(f"parlai_cu: {error}\n")
    elif _short_interrupts and isinstance(error, KeyboardInterrupt):
        sys.stderr.write("\nInterrupted\n")
    else:
        _stock_excepthook(kind, error, traceback)


def install_short_excepthook() -> None:
    """Let our errors reach the terminal as one line. Calling it again does nothing."""
    global _stock_excepthook
    if sys.excepthook is not short_excepthook:
        _stock_excepthook = sys.excepthook
        sys.excepthook = short_excepthook


def one_line_interrupts() -> None:
    """Let Ctrl-C end the commands of this process in one line; a library's callers see it whole."""
    global _short_interrupts
    _short_interrupts = not os.environ.get("PARLAI_CU_TRACEBACK")


def require_parlai() -> None:
    """
    Import ParlAI, or say what to run.

    :raises MissingParlAIError: when it is not installed
    """
    try:
        importlib.import_module("parlai")
    except ModuleNotFoundError as error:
        if error.name != "parlai":
            raise
        raise MissingParlAIError(
            "ParlAI is not installed. Run: pip install --no-deps parlai==1.7.2 "
            "(its other requirements came with parlai-cu)"
        ) from None


def nearest(word: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """
    The choices that look most like ``word``, best first.

    :param word: what the user wrote
    :param choices: what there is
    :param count: how many to return at most
    """
    return difflib.get_close_matches(word, list(choices), n=count, cutoff=0.4)


def hint(close: Iterable[str]) -> str:
    """
    What is nearest, to end a message with: ``; nearest: base, large``.

    :param close: as :func:`nearest` gives them; where there are none, nothing is said
    """
    names = ", ".join(close)
    return f"; nearest: {names}" if names else ""


def check_one_of(flag: str, value: str, choices: Collection[str]) -> None:
    """
    Refuse what is none of the choices.

    :param flag: what named it
    :param value: what was found
    :param choices: what was expected
    :raises UsageError: naming the nearest
    """
    if value not in choices:
        close = nearest(str(value), choices) or choices
        raise UsageError(
            f"{flag} {value}: expected one of {', '.join(choices)}; nearest: {', '.join(close)}"
        )


def near_file(path: str) -> str:
    """
    What is there where a file is missing, to end a message with.

    :param path: of the file
    :return: ``; nearest in models: base``, or in brackets why there is none
    """
    if os.path.isdir(path):
        held = ", ".join(sorted(os.listdir(path))[:5])
        return f" (that is a folder; in it: {held or 'nothing'})"
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f" (there is no folder {folder})"
    close = nearest(os.path.basename(path), os.listdir(folder))
    return f"; nearest in {folder}: {', '.join(close)}" if close else f" ({folder} has no such)"
