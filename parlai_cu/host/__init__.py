"""
What we add to ParlAI's own commands, loops and loaders; repairs of it are in parlai_cu.compat.

Each file is named in :mod:`parlai_cu.plugin`. Its functions say in the place of which of ParlAI's
they are called (:func:`instead_of`); what else is to happen after an import stands in ``after``.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

# what a function of ours is called in the place of, and is given as its first argument
Stock = Callable[..., Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def instead_of(*places: str) -> Callable[[Function], Function]:
    """
    Let a function be called in the place of ParlAI's, which it gets as its first argument.

    :param places: each ``module:function`` or ``module:Class.method``
    """

    def mark(function: Function) -> Function:
        function.__dict__["places"] = places
        return function

    return mark


def extend(extension: str, module: ModuleType) -> None:
    """
    Do what a file here does to a module of ParlAI's, which has just been imported.

    :param extension: the file's name
    :param module: ParlAI's
    """
    ours = importlib.import_module(f"{__name__}.{extension}")
    own = [each for each in vars(ours).values() if getattr(each, "__module__", "") == ours.__name__]
    for function in own:
        for place in getattr(function, "places", ()):
            name, _, path = place.partition(":")
            if name == module.__name__:
                _replace(module, path, function)
    if hasattr(ours, "after"):
        ours.after(module)


def _replace(module: ModuleType, path: str, function: Callable[..., Any]) -> None:
    *classes, name = path.split(".")
    owner: Any = functools.reduce(getattr, classes, module)
    # static, as getattr() would bind a class method to its class
    stock = inspect.getattr_static(owner, name)
    plain = getattr(stock, "__func__", stock)  # of a class method or a static one

    @functools.wraps(plain)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return function(plain, *args, **kwargs)

    is_method_of_class = isinstance(stock, (classmethod, staticmethod))
    setattr(owner, name, type(stock)(replacement) if is_method_of_class else replacement)
