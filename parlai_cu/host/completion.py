"""
What a shell completes of a ``parlai`` line: commands, flags and their values, without torch.

::

    parlai --install-completion          # for the shell that $SHELL names
    parlai --install-completion zsh

argcomplete asks through the environment, as ParlAI has it; here the parser that it looks at is made
of the one command on the line, and stock commands are not imported for it.
"""

import argparse
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from parlai_cu import plugin
from parlai_cu.errors import UsageError
from parlai_cu.host import stock_commands

SHELLS = ("bash", "zsh", "fish")
_ASKED, _LINE = "_ARGCOMPLETE", "COMP_LINE"
Completer = Callable[..., Iterable[str]]


def asked() -> bool:
    """Whether a shell wants to know how the line may go on."""
    return _ASKED in os.environ


def complete(registry: Callable[[list[str]], dict[str, Any] | None]) -> None:
    """
    Answer the shell, and exit.

    :param registry: the commands that a line needs, by its words
    """
    import argcomplete

    words = _words(os.environ.get(_LINE, ""))[1:]
    argcomplete.autocomplete(_parser(registry, words), always_complete_options=False)


def install(shell: str = "") -> str:
    """
    Put the completion where the shell looks for it.

    :param shell: bash, zsh or fish; what ``$SHELL`` names where empty
    :return: what to tell the user
    :raises UsageError: for another shell
    """
    from argcomplete.shell_integration import shellcode

    from parlai_cu import files

    shell = shell or os.path.basename(os.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(
            f"--install-completion {shell or '(no $SHELL is set)'}: expected one of "
            f"{', '.join(SHELLS)}"
        )
    home = os.path.expanduser("~")
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    path = {
        "bash": os.path.join(data, "bash-completion", "completions", "parlai"),
        "zsh": os.path.join(data, "zsh", "site-functions", "_parlai"),
        "fish": os.path.join(config, "fish", "completions", "parlai.fish"),
    }[shell]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write_text(path, shellcode(["parlai"], shell=shell))
    more = {
        "bash": "it needs the package bash-completion",
        "zsh": f"put this before compinit in ~/.zshrc: fpath+=({os.path.dirname(path)})",
        "fish": "nothing else is needed",
    }[shell]
    return f"wrote {path}; {more}. It is there in the next shell"


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def _parser(
    registry: Callable[[list[str]], dict[str, Any] | None], words: list[str]
) -> argparse.ArgumentParser:
    """A parser of the command on the line; of all names where there is none yet."""
    parser = argparse.ArgumentParser(prog="parlai", add_help=False)
    for flag in ("--help", "--helpall", "--version", "--install-completion"):
        parser.add_argument(flag, action="store_true")
    commands = parser.add_subparsers()
    stock = stock_commands.listed()
    asked_for = words[0] if words else ""
    for name, command in stock.items():
        if asked_for in (name, *command.aliases):
            made = commands.add_parser(asked_for, add_help=False)
            _add_flags(made, {**_agent_flags(words, command.flags), **command.flags}, words)
            return parser
    commands_there = registry(words[:1]) or {}
    if asked_for in commands_there and len(commands_there) == 1:
        klass = commands_there[asked_for].klass
        made = commands.add_parser(asked_for, add_help=False)
        _add_flags(made, stock_commands.flags_of(klass.setup_args()), words)
        actions = getattr(sys.modules[klass.__module__], "ACTIONS", ())
        if actions:
            _add_words(made, actions, words)
        return parser
    for name in {**stock, **commands_there}:
        commands.add_parser(name, add_help=False)
    return parser


def _add_flags(parser: argparse.ArgumentParser, flags: Mapping[str, Any], words: list[str]) -> None:
    for names, takes in flags.items():
        if not takes:
            parser.add_argument(*names.split(), action="store_true")
            continue
        action: Any = parser.add_argument(*names.split())
        if isinstance(takes, list):
            action.choices = takes
        elif completer := _COMPLETERS.get(action.dest):
            action.completer = completer(words)


def _agent_flags(words: list[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the agent on the line, where the command takes one."""
    names = {name for names in known for name in names.split()}
    agent = _given(words, "-m") or _given(words, "--model")
    if "--model" not in names or not agent:
        return {}
    flags = stock_commands.agent_flags().get(agent.removeprefix("cu:"), {})
    return {flag: takes for flag, takes in flags.items() if not names & set(flag.split())}


def _add_words(parser: argparse.ArgumentParser, actions: Iterable[str], words: list[str]) -> None:
    """A command's actions, then versions; each by itself, as flags may stand between them."""
    action: Any = parser.add_argument("action")
    action.completer = lambda **_: actions
    for name in ("one", "other"):
        version: Any = parser.add_argument(name)
        version.completer = _versions(words)


def _given(words: list[str], flag: str) -> str:
    """The value of a flag on the line."""
    for word, following in zip(words, [*words[1:], ""]):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def _store(words: list[str]) -> Any:
    from parlai_cu.errors import ParlaiCuError
    from parlai_cu.versions.store import VersionStore

    folder = _given(words, "--versions")
    try:
        return VersionStore(os.path.expanduser(folder)) if folder else None
    except (ParlaiCuError, OSError):
        return None


def _versions(words: list[str]) -> Completer:
    def completer(**_: Any) -> list[str]:
        store = _store(words)
        return [*store.channels(), *(v.id for v in store.list())] if store else []

    return completer


def _channels(words: list[str]) -> Completer:
    def completer(**_: Any) -> list[str]:
        store = _store(words)
        return list(store.channels()) if store else []

    return completer


def _tasks(words: list[str]) -> Completer:
    def completer(prefix: str = "", **_: Any) -> list[str]:
        import parlai.tasks

        names = {entry.name for entry in pkgutil.iter_modules(parlai.tasks.__path__)}
        return [*sorted(names | set(plugin.TASKS)), *_files(prefix)]

    return completer


def _agents(words: list[str]) -> Completer:
    def completer(**_: Any) -> list[str]:
        return [*stock_commands.agent_names(), *(n for n in plugin.AGENTS if ":" in n)]

    return completer


def _files(prefix: str) -> Iterable[str]:
    from argcomplete.completers import FilesCompleter

    return FilesCompleter()(prefix)


def _names(table: Iterable[str]) -> Callable[[list[str]], Completer]:
    return lambda words: lambda **_: sorted(table)


_COMPLETERS: dict[str, Callable[[list[str]], Completer]] = {
    **dict.fromkeys(
        ("task", "evaltask", "retain_task", "replay_task", "update_task", "multitask"), _tasks
    ),
    **dict.fromkeys(("model", "base_agent", "student_agent"), _agents),
    "channel": _channels,
    **dict.fromkeys(("pin", "parent"), _versions),
    "penalty": _names(plugin.PENALTIES),
    "distill_loss": _names(plugin.DIVERGENCES),
    "kb": _names([f"{scheme}:" for scheme in plugin.KNOWLEDGE_BASES]),
    "kb_gate": _names(plugin.GATES),
    "kb_rank": _names(plugin.RANKERS),
    "kb_integrate": _names(plugin.INTEGRATORS),
}
