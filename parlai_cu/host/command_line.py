"""
``parlai COMMAND`` imports that command and nothing else.

Seen with ParlAI 1.7.2: to learn the name of one command ParlAI imports all, and with them torch,
scikit-learn, SciPy, pandas and every transformer agent: ``parlai --help`` takes nine seconds.
Here ``parlai --help`` and a misspelt name are answered from a list
(:mod:`parlai_cu.host.stock_commands`), and the parser is made of the one command that was asked
for. ParlAI's own way is taken where it is not the ParlAI that the list is of.
"""

import functools
import importlib
import sys
from typing import Any, NamedTuple
from unittest import mock

from parlai.core import loader, script

from parlai_cu import plugin
from parlai_cu.activation import warn_off
from parlai_cu.errors import hint, nearest, one_line_interrupts
from parlai_cu.host import Stock, completion, instead_of, stock_commands

Registry = dict[str, Any]

# ParlAI answers these itself
_HELPS = ("help", "h", "helpall")


class _Listed(NamedTuple):
    """Stands in ParlAI's registry for a command that is only listed."""

    klass: Any
    hidden: bool
    aliases: tuple[str, ...]


@instead_of("parlai.core.script:setup_script_registry")
def _setup_script_registry(stock: Stock) -> None:
    stock()
    for module in plugin.SCRIPTS:
        _import(module)


@instead_of("parlai.core.script:superscript_main")
def _superscript_main(stock: Stock, args: list[str] | None = None) -> Any:
    words = list(sys.argv[1:] if args is None else args)
    if args is None:
        one_line_interrupts()
    if completion.asked():
        completion.complete(functools.partial(_registry, quiet=True))
    if words[:1] == ["--install-completion"]:
        print(completion.install(*words[1:2]))
        return None
    if len(words) == 2 and words[0] in ("help", "h") and not words[1].startswith("-"):
        words = [words[1], "--help"]
    registry = _registry(words)
    if registry is None:
        return stock(words)
    with (
        mock.patch.object(script, "SCRIPT_REGISTRY", registry),
        mock.patch.object(script, "setup_script_registry", lambda: None),
    ):
        return stock(words)


def _import(module: str) -> bool:
    try:
        importlib.import_module(module)
    except Exception as error:
        warn_off(f"the command in {module}", error)
        return False
    return True


def _registry(words: list[str], quiet: bool = False) -> Registry | None:
    """The commands that the line needs; None where ParlAI is to look for them itself."""
    stock = stock_commands.listed()
    # after `--` a command may stand anywhere
    if not stock or "--" in words[:1]:
        return None
    asked = words[0] if words else ""
    # not the script module's: a command may call another
    known = loader.SCRIPT_REGISTRY
    command = _of_name(known, asked)
    if command is None and (module := _module_of(asked)) is not None and _import(module):
        command = _of_name(known, asked)
    if command is not None:
        return {command: known[command]}
    listed = {
        name: _Listed(_only_described(each.description), each.hidden, each.aliases)
        for name, each in stock.items()
    }
    own = [module for module in plugin.SCRIPTS if _import(module)]
    held = {name: registration for name, registration in known.items() if name not in listed}
    if not quiet:
        _say_what_was_meant(own, asked, [*listed, *held])
    return {**listed, **held}


def _module_of(asked: str) -> str | None:
    """The module of the command that a name is of: ours first, as its name is the file's."""
    for module in plugin.SCRIPTS:
        if module.rpartition(".")[2] == asked:
            return module
    for name, command in stock_commands.listed().items():
        if asked == name or asked in command.aliases:
            return f"parlai.scripts.{command.module}"
    return None


def _of_name(registry: Registry, asked: str) -> str | None:
    for name, registration in registry.items():
        if asked == name or asked in registration.aliases:
            return name
    return None


def _only_described(description: str | None) -> Any:
    """A command that can be listed, and cannot be run."""

    class Described(script.ParlaiScript):
        @classmethod
        def setup_args(cls) -> Any:
            return script.ParlaiParser(False, False, description=description)

    return Described


def _say_what_was_meant(modules: list[str], asked: str, commands: list[str]) -> None:
    """
    Answer ``parlai review`` with the command that has such an action, others with the nearest.

    The flags after it are nobody's: no command's parser is asked about them.
    """
    if not asked or asked.startswith("-") or asked in _HELPS:
        return
    action = asked.replace("-", "_")
    homes = [
        f"parlai {module.rpartition('.')[2]} {action}"
        for module in modules
        if action in getattr(sys.modules[module], "ACTIONS", ())
    ]
    if homes:
        sys.stderr.write(
            f"Parse Error: parlai {asked}: there is no such command; "
            f"you may mean: {' or '.join(homes)}\n"
        )
        sys.exit(2)
    close = hint(nearest(asked, commands))
    sys.stderr.write(
        f"Parse Error: argument COMMAND: invalid choice: {asked!r}{close}\n"
        "All that there is: parlai --help\n"
    )
    sys.exit(2)
