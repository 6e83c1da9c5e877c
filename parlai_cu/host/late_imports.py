"""
Heavy libraries that ParlAI's modules import at their top and hardly ever use.

``import parlai.core.script`` brings torch for a pool of downloads, every transformer agent brings
scikit-learn, SciPy and pandas for one area under a curve, and sharded training, with SymPy, for
runs on several GPUs. While such a module is imported (:data:`parlai_cu.plugin.LATE_IMPORTS` says
which, and what it imports late), it gets stand-ins for the names it takes; the library is imported
when one of them is used.
"""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt


class LateName:
    """A name of a module that is imported when the name is first used: called, looked into."""

    def __init__(self, module: str, name: str) -> None:
        self._late_module = module
        self._late_name = name

    def resolve(self) -> Any:
        """What the name stands for."""
        module = importlib.import_module(self._late_module)
        if hasattr(module, self._late_name):
            return getattr(module, self._late_name)
        return importlib.import_module(f"{self._late_module}.{self._late_name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.resolve()(*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_late"):  # of a copy in the making
            raise AttributeError(attribute)
        return getattr(self.resolve(), attribute)

    def __instancecheck__(self, instance: object) -> bool:
        # nothing is of a class whose module nobody imported
        return self._late_module in sys.modules and isinstance(instance, self.resolve())

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._late_module in sys.modules and issubclass(subclass, self.resolve())


class _LateModule(ModuleType):
    """Hands out late names to those who import from it, and the real ones to who kept it."""

    late_shown = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        late = LateName(self.__name__, name)
        return late if self.late_shown else late.resolve()


@contextlib.contextmanager
def show(names: Iterable[str]) -> Iterator[None]:
    """
    Within, stand-ins are where modules would be imported from, but for those there or lacking.

    :param names: of modules
    """
    # asked of its top package, as finding a part of one would import the packages around it
    late = [
        _LateModule(name)
        for name in names
        if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0])
    ]
    sys.modules.update({module.__name__: module for module in late})
    try:
        yield
    finally:
        for module in late:
            module.late_shown = False
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def settle(module: ModuleType) -> None:
    """
    Import what a module took late.

    :param module: one of those in :data:`parlai_cu.plugin.LATE_IMPORTS`
    """
    for name, value in list(vars(module).items()):
        if type(value) is LateName:
            setattr(module, name, value.resolve())


# let sharded training be imported by runs that are sharded, no sooner


@instead_of("parlai.utils.fsdp:should_use_fsdp")
def _should_use_fsdp(stock: Stock, opt: Opt) -> bool:
    used = bool(stock(opt))
    if used:
        settle(importlib.import_module("parlai.utils.fsdp"))
    return used


@instead_of("parlai.utils.fsdp:fsdp_wrap")
def _fsdp_wrap(stock: Stock, module: Any) -> Any:
    # nothing is sharded, so there is nothing to wrap
    return stock(module) if _sharding() else module


@instead_of("parlai.utils.fsdp:get_state_dict")
def _get_state_dict(stock: Stock, model: Any) -> Any:
    return stock(model) if _sharding() else model.state_dict()


def _sharding() -> bool:
    return "torch.distributed.fsdp" in sys.modules
