"""
ParlAI's own commands, as ``stock_commands.json`` lists them: what ``parlai --help`` and the
completion of a shell say of a command without importing it.

ParlAI 1.7.2 is the last; where another one is installed, or commands were added to it, the list is
not used. After a flag of ours was added to ParlAI's commands::

    python -m parlai_cu.host.stock_commands
"""

import functools
import importlib.util
import json
import os
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from parlai_cu.parlai_types import Parser

PATH = os.path.splitext(__file__)[0] + ".json"
# packages of those who run ParlAI, with commands of their own
_USERS_OWN = ("parlai_internal", "parlai_fb")
# in parlai/scripts, without being a command
_NO_COMMANDS = {
    "compare_opts",
    "distributed_eval",
    "distributed_tod_world_script",
    "distributed_train",
}


@dataclass(frozen=True)
class StockCommand:
    """
    A command of ParlAI's.

    :param module: in parlai.scripts, without that
    :param aliases: its other names
    :param hidden: only ``parlai helpall`` lists it
    :param description: its line there
    :param flags: ``--flag -f`` -> values that it takes: a list where there are few, true for any,
        false for none
    """

    module: str
    aliases: tuple[str, ...]
    hidden: bool
    description: str | None
    flags: Mapping[str, Any]


@functools.cache
def listed() -> dict[str, StockCommand]:
    """Name -> command, in the order in which ParlAI lists them; nothing where that may differ."""
    import parlai
    import parlai.scripts

    with open(PATH, encoding="utf-8") as f:
        held = json.load(f)
    commands = {
        name: StockCommand(**{**values, "aliases": tuple(values["aliases"])})
        for name, values in held["commands"].items()
    }
    modules = {entry.name for entry in pkgutil.iter_modules(parlai.scripts.__path__)}
    same = (
        parlai.__version__ == held["parlai"]
        and modules - _NO_COMMANDS == {command.module for command in commands.values()}
        and not any(importlib.util.find_spec(package) for package in _USERS_OWN)
    )
    return commands if same else {}


def read_from_parlai() -> dict[str, StockCommand]:
    """The same, of the ParlAI that is installed: imports all of it."""
    from parlai.core import script

    script.setup_script_registry()
    return {
        name: _command(registration)
        for name, registration in script.SCRIPT_REGISTRY.items()
        if registration.klass.__module__.startswith("parlai.scripts.")
    }


def _command(registration: Any) -> StockCommand:
    parser = registration.klass.setup_args()
    return StockCommand(
        module=registration.klass.__module__.rpartition(".")[2],
        aliases=tuple(registration.aliases),
        hidden=registration.hidden,
        description=parser.description if parser is not None else None,
        flags=flags_of(parser) if parser is not None else {},
    )


def flags_of(parser: Parser) -> dict[str, Any]:
    """
    What a shell can complete of a parser.

    :param parser: of a command
    """
    flags: dict[str, Any] = {}
    for action in parser._actions:
        takes: Any = action.nargs != 0
        if action.choices is not None:
            takes = sorted(str(choice) for choice in action.choices)
        # the long name comes first: ParlAI writes the short ones with a dash too many, and takes
        # them with one
        names = [*action.option_strings[:1], *(name[1:] for name in action.option_strings[1:])]
        if names:
            flags[" ".join(name for name in names if name != "-")] = takes
    return flags


def agent_flags() -> dict[str, dict[str, Any]]:
    """Agent -> the flags that it adds to a command's; nothing where the list is not used."""
    if not listed():
        return {}
    with open(PATH, encoding="utf-8") as f:
        return dict(json.load(f)["agents"])


def agent_flags_from_parlai() -> dict[str, dict[str, Any]]:
    """The same, of the ParlAI that is installed: imports every agent that can be imported."""
    from parlai.core.loader import load_agent_module
    from parlai.core.opt import Opt
    from parlai.core.params import ParlaiParser

    flags_by_agent = {}
    for name in agent_names():
        parser = ParlaiParser(add_parlai_args=False, add_model_args=False)
        try:
            load_agent_module(name).add_cmdline_args(parser, Opt())
        except Exception:  # it wants a library that is not here, or a model's options
            continue
        flags_by_agent[name] = {
            flag: takes for flag, takes in flags_of(parser).items() if flag != "--help --h"
        }
    return flags_by_agent


def agent_names() -> list[str]:
    """What can stand after ``-m``: ParlAI's agents and ours."""
    import parlai.agents

    from parlai_cu import plugin

    names = {entry.name for entry in pkgutil.iter_modules(parlai.agents.__path__)}
    kinds = {f"transformer/{kind}" for kind in ("generator", "ranker", "classifier")}
    return sorted((names | kinds | {n for n in plugin.AGENTS if ":" not in n}) - {"transformer"})


def write() -> None:
    """Write the list anew."""
    import parlai

    def lines(held: Mapping[str, Any]) -> str:
        return ",\n".join(f"  {json.dumps(n)}: {json.dumps(values)}" for n, values in held.items())

    commands = {name: asdict(command) for name, command in read_from_parlai().items()}
    agents = agent_flags_from_parlai()
    with open(PATH, "w", encoding="utf-8") as f:
        f.write(f'{{"parlai": "{parlai.__version__}", "commands": {{\n{lines(commands)}\n}}, ')
        f.write(f'"agents": {{\n{lines(agents)}\n}}}}\n')


if __name__ == "__main__":
    write()
