"""
Flags that a command takes and that nothing in it reads: refused, as what they ask for would not be.

Of a command with actions, those of another action; of an agent, those that count only together
with a flag that was not given.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Parser


class Dependent(NamedTuple):
    """
    Flags that do not always count.

    :param names: of their options
    :param counts: whether they do, given all options
    :param why: where they do not: ``without --penalty NAME``
    """

    names: tuple[str, ...]
    counts: Callable[[Mapping[str, Any]], Any]
    why: str


def add_flag_of(
    parser: Parser, actions: Collection[str], *names: str, help: str, **settings: Any
) -> None:
    """
    Add a flag that only some actions of a command read; its help begins with them.

    :param parser: of the command
    :param actions: those that do
    :param names: how it is spelled
    :param help: what it is
    :param settings: as of ``add_argument``
    """
    added = parser.add_argument(*names, help=f"{', '.join(actions)}: {help}", **settings)
    added.of_actions = tuple(actions)


def refuse_other_actions(script: Any, command: str, action: str) -> None:
    """
    Refuse what was given for another action than the one that runs.

    :param script: the command's, with its parser
    :param command: its name
    :param action: the one that runs
    :raises UsageError: naming flag and action
    """
    given = script.opt.get("override") or {}
    for flag in script.parser._actions:
        readers = getattr(flag, "of_actions", (action,))
        if action not in readers and given.get(flag.dest, flag.default) != flag.default:
            shown = max(flag.option_strings, key=len)
            shown += "" if flag.nargs == 0 else f" {given[flag.dest]}"
            raise UsageError(
                f"parlai {command} {action}: nothing reads {shown}; it is a flag of "
                f"{', '.join(readers)}"
            )


def refuse_unread(
    opt: Mapping[str, Any],
    dependents: Sequence[Dependent],
    add_flags: Callable[[Any], Any] | None = None,
) -> None:
    """
    Refuse flags that were given and do not count; a flag's default asks for nothing.

    :param opt: the options, with what was given in ``override``
    :param dependents: which count when
    :param add_flags: adds them to a parser, where they have defaults
    :raises UsageError: naming the flag, its value and why
    """
    parser = None
    if add_flags is not None:
        from parlai.core.params import ParlaiParser

        parser = ParlaiParser(add_parlai_args=False)
        add_flags(parser)
    given = opt.get("override") or {}
    for names, counts, why in dependents:
        for name in names:
            default = parser.get_default(name) if parser is not None else None
            if given.get(name, default) not in (None, "", default) and not counts(opt):
                flag = f"--{name.replace('_', '-')} {given[name]}"
                raise UsageError(f"{flag}: nothing reads it {why.format(flag=flag)}")


def is_set(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Whether an option says something."""
    return lambda opt: opt.get(name)


def never(opt: Mapping[str, Any]) -> bool:
    """Of flags that do not count at all where they are given."""
    return False
