"""
How ParlAI comes to know us without a flag, a variable or a wrapper.

``parlai_cu.pth``, installed beside the package, leaves a stub in ``sys.meta_path`` at
interpreter start (a tenth of a millisecond; nothing is imported). The stub waits for
``import parlai``, then calls :func:`activate`, which puts the real import hook in its place:
it

* resolves our agents in ParlAI's registry, lazily;
* imports of the commands only the one that was asked for, and adds ours
  (:mod:`parlai_cu.host.command_line`);
* puts off what ParlAI imports and hardly ever uses (:mod:`parlai_cu.host.late_imports`);
* answers ``parlai.tasks.X`` and ``parlai.zoo.X`` with our packages of that name;
* runs the repairs in :mod:`parlai_cu.compat`.

Whatever fails here is told in one line and left off: ParlAI itself must run on.

Tests live in tests/test_activation.py.
"""

import contextlib
import importlib
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from parlai_cu import compat, host, plugin

# modules after whose import something of ours happens, and what (a function of this module)
_WIRING = {
    "parlai": "_use_short_errors",
    "parlai.core.loader": "_register_agents",
}


def activate() -> "_Finder":
    """
    Arm the import hook. Calling it again does nothing.

    Modules that were imported before us get their repairs and registrations at once.

    :return: the import hook (a meta path finder)
    """
    for finder in sys.meta_path:
        if isinstance(finder, _Finder):
            return finder
    finder = _Finder()
    # the stub that the .pth file left has done its work, or was overtaken by `import parlai_cu`
    others = [f for f in sys.meta_path if getattr(f, "__name__", "") != "ParlaiCuStub"]
    sys.meta_path[:] = [finder, *others]
    for name in sorted(finder.watched):
        module = sys.modules.get(name)
        if module is not None:
            _after_import(module, name)
    return finder


def warn_off(what: str, error: BaseException) -> None:
    """
    Tell in one line that a part of the plugin is off, and why.

    :param what: the part, as a user knows it
    :param error: what went wrong
    """
    line = " ".join(f"{type(error).__name__}: {error}".split())
    sys.stderr.write(f"parlai_cu: {what} is off ({line}). ParlAI runs without it.\n")


class _Finder:
    """Watches imports; answers for aliases, wraps the loaders of watched modules."""

    def __init__(self) -> None:
        self.aliases = {f"parlai.tasks.{name}": real for name, real in plugin.TASKS.items()}
        self.aliases.update({f"parlai.zoo.{name}": real for name, real in plugin.ZOO.items()})
        self.watched = {*_WIRING, *plugin.LATE_IMPORTS}
        for modules in (*plugin.REPAIRS.values(), *plugin.EXTENSIONS.values()):
            self.watched.update(modules)
        self._asking: set[tuple[int, str]] = set()  # thread and name

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Import protocol: a spec for ``name``, or None to leave it to the other finders."""
        if name in self.watched:
            return self._hooked_spec(name, path, target)
        if name.startswith(("parlai.tasks.", "parlai.zoo.")):
            return self._alias_spec(name)
        return None

    def _hooked_spec(self, name: str, path: object, target: object) -> ModuleSpec | None:
        asking = (threading.get_ident(), name)
        if asking in self._asking:  # by a finder that asks all others, as tools of coverage do
            return None
        self._asking.add(asking)
        try:
            spec = self._spec_of_others(name, path, target)
        finally:
            self._asking.discard(asking)
        # a namespace package has no loader, and runs no code that could be repaired
        if spec is not None and spec.loader is not None:
            hooked: Any = _HookedLoader(spec.loader, name)
            spec.loader = hooked
        return spec

    def _spec_of_others(self, name: str, path: object, target: object) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is not self and find_spec is not None:
                spec: ModuleSpec | None = find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _alias_spec(self, name: str) -> ModuleSpec | None:
        for alias, real in self.aliases.items():
            if name == alias or name.startswith(alias + "."):
                real_name = real + name[len(alias) :]
                try:
                    module = importlib.import_module(real_name)
                except ModuleNotFoundError as error:
                    if error.name == real_name:
                        return None  # e.g. a task without worlds.py: ParlAI asks and goes on
                    raise
                loader: Any = _AliasLoader(module)
                return ModuleSpec(name, loader, is_package=hasattr(module, "__path__"))
        return None


class _HookedLoader:
    """Runs repairs before and after the real loader executes the module."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # get_code, get_source, get_resource_reader...: whatever the real loader can do
        return getattr(self._loader, attribute)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        # from here on it is the real one's: pkg_resources knows loaders by their classes
        module.__loader__ = module.__spec__.loader = self._loader
        with contextlib.ExitStack() as around:
            _enter(around, self._name)
            try:
                self._loader.exec_module(module)
            except Exception as error:
                instead = _failed_import(self._name, error)
                if instead is None:
                    raise
                raise instead from error
        _after_import(module, self._name)


class _AliasLoader:
    """Hands out a module of ours under a ParlAI name: one object, two names."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = getattr(module, "__spec__", None)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._module

    def exec_module(self, module: Any) -> None:
        # the import system has just put the alias' spec on the module: give back its own
        module.__spec__ = self._spec
        module.__loader__ = getattr(self._spec, "loader", None)


def _repairs_of(name: str) -> list[str]:
    return [repair for repair, modules in plugin.REPAIRS.items() if name in modules]


@contextlib.contextmanager
def _or_off(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        warn_off(what, error)


def _enter(around: contextlib.ExitStack, name: str) -> None:
    """Enter what is to be around the import of a module."""
    if name in plugin.LATE_IMPORTS:
        from parlai_cu.host import late_imports

        around.enter_context(late_imports.show(plugin.LATE_IMPORTS[name]))
    if name in plugin.AROUND_IMPORTS:
        extension, _, context = plugin.AROUND_IMPORTS[name].partition(":")
        if extension in plugin.EXTENSIONS:
            ours = importlib.import_module(f"parlai_cu.host.{extension}")
            around.enter_context(getattr(ours, context)())
    for repair in _repairs_of(name):
        with _or_off(f"the repair {repair}"):
            around.enter_context(compat.around(repair))


def _failed_import(name: str, error: Exception) -> Exception | None:
    instead = None
    for repair in _repairs_of(name):
        with _or_off(f"the repair {repair}"):
            instead = instead or compat.failed(repair, name, error)
    return instead


def _after_import(module: ModuleType, name: str) -> None:
    for repair in _repairs_of(name):
        with _or_off(f"the repair {repair}"):
            compat.after(repair, module)
    for extension, modules in plugin.EXTENSIONS.items():
        if name in modules:
            with _or_off(f"the extension {extension}"):
                host.extend(extension, module)
    if name in _WIRING:
        wiring = _WIRING[name]
        with _or_off(wiring.strip("_").replace("_", " ")):
            globals()[wiring](module)


def _use_short_errors(parlai: ModuleType) -> None:
    """Our own errors reach the terminal as one line, no letter and no read-only place ends it."""
    from parlai_cu import terminal_encoding, user_cache
    from parlai_cu.errors import install_short_excepthook, one_line_interrupts

    install_short_excepthook()
    terminal_encoding.prepare()
    user_cache.prepare()
    # Ctrl-C while a command is still being imported; a library's callers see it whole
    command = os.path.basename(sys.argv[0]) if sys.argv else ""
    if command in ("parlai", "parlai.exe") or _module_run().partition(".")[0] == "parlai":
        one_line_interrupts()


def _module_run() -> str:
    """What ``python -m`` runs; nothing where it is something else."""
    words = list(itertools.dropwhile(lambda w: w.startswith("-") and w != "-m", sys.orig_argv[1:]))
    return words[1] if words[:1] == ["-m"] and len(words) > 1 else ""


def _register_agents(loader: Any) -> None:
    """Put our agents in ParlAI's registry, each imported when it is first asked for."""
    registry = _LazyRegistry(plugin.AGENTS)
    registry.update(loader.AGENT_REGISTRY)
    loader.AGENT_REGISTRY = registry


class _LazyRegistry(dict[str, type]):
    """
    ParlAI's ``{name: class}``, with names that are only imported on first use.

    ParlAI asks ``name in registry`` and then ``registry[name]``; nothing else.
    """

    def __init__(self, targets: dict[str, str]) -> None:
        super().__init__()
        self._targets = dict(targets)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._targets

    def __missing__(self, name: str) -> type:
        module_name, class_name = self._targets[name].split(":")
        self[name] = getattr(importlib.import_module(module_name), class_name)
        return self[name]
