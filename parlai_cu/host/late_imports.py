"""
Heavy libraries that ParlAI's modules import at their top and hardly ever use.

``import parlai.core.script`` brings torch for a pool of downloads, every transformer agent brings
scikit-learn, SciPy and pandas for one area under a curve, and sharded training, with SymPy, for
runs on several GPUs. While such a module is imported (:data:`parlai_cu.plugin.LATE_IMPORTS` says
which, and what it imports late), it gets stand-ins for the names it takes; the library is imported
when one of them is used.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any


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


def show(names: Iterable[str]) -> Callable[[], None]:
    """
    Put stand-ins where modules would be imported from, but for those that are there or lacking.

    :param names: of modules
    :return: takes them away again
    """
    # asked of its top package, as finding a part of one would import the packages around it
    late = [
        _LateModule(name)
        for name in names
        if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0])
    ]
    sys.modules.update({module.__name__: module for module in late})

    def away() -> None:
        for module in late:
            module.late_shown = False
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]

    return away


def settle(module: ModuleType) -> None:
    """
    Import what a module took late.

    :param module: one of those in :data:`parlai_cu.plugin.LATE_IMPORTS`
    """
    for name, value in list(vars(module).items()):
        if type(value) is LateName:
            setattr(module, name, value.resolve())


def after(fsdp: Any) -> None:
    """Let sharded training be imported by runs that are sharded, no sooner (parlai.utils.fsdp)."""
    stock_use, stock_wrap = fsdp.should_use_fsdp, fsdp.fsdp_wrap
    stock_state = fsdp.get_state_dict

    def should_use_fsdp(opt: Any) -> bool:
        used = bool(stock_use(opt))
        if used:
            settle(fsdp)
        return used

    def fsdp_wrap(module: Any) -> Any:
        # nothing is sharded, so there is nothing to wrap
        return stock_wrap(module) if _sharding() else module

    def get_state_dict(model: Any) -> Any:
        return stock_state(model) if _sharding() else model.state_dict()

    fsdp.should_use_fsdp, fsdp.fsdp_wrap = should_use_fsdp, fsdp_wrap
    fsdp.get_state_dict = get_state_dict


def _sharding() -> bool:
    return "torch.distributed.fsdp" in sys.modules
