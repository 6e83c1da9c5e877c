"""
Flags of ours that the base has too, and means something else by.

On the command line a flag of ours keeps its spelling (and has a second, ``--cu-penalty``); the
base's is ``--base-penalty``. A base reads its own value under its own name, in memory and in the
``.opt``, where ours are ``cu_penalty``.
"""

import argparse
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import parlai.utils.logging as logging
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

OURS, THEIRS = "cu_", "base_"
# the option that lists the names that both have
SHARED = "shared_flags"
# what each parser was told of already
_TOLD: set[str] = set()


def add_beside(parser: ParlaiParser, add_base: Callable[[], Any], agent: str) -> set[str]:
    """
    Add a base's flags beside ours.

    :param parser: has ours
    :param add_base: adds the base's
    :param agent: the base's name, for the line that tells both spellings
    :return: the names that both have
    """
    ours = {action.dest: action for action in parser._actions if _is_ours(action)}
    spelled = {dest: list(action.option_strings) for dest, action in ours.items()}
    add_base()
    shared = set()
    for action in list(parser._actions):
        own = ours.get(action.dest)
        if own is None or own is action:
            continue
        shared.add(action.dest)
        _respell(parser, own, spelled[action.dest], action)
        name = own.dest.replace("_", "-")
        line = (
            f"--{name} is a flag of {agent} too: here it is ours (as --cu-{name} is), and "
            f"{agent}'s is --base-{name}"
        )
        if line not in _TOLD:
            _TOLD.add(line)
            logging.warning(line)
    if shared:
        # beside a model of its own a run may find the base's value under the plain name
        kept = {f"{OURS}{name}": ours[name].default for name in shared}
        parser.set_defaults(**kept, **{SHARED: sorted(shared)})
    return shared


@contextlib.contextmanager
def ours(parser: ParlaiParser) -> Iterator[None]:
    """Within, the flags that a ``parser`` gets are ours."""
    before = {id(action) for action in parser._actions}
    yield
    for action in parser._actions:
        if id(action) not in before:
            action.of_parlai_cu = True


def defaults(values: Mapping[str, Any], shared: Iterable[str]) -> dict[str, Any]:
    """
    What a parser gets as defaults of a base's flags.

    :param values: by the base's own names
    :param shared: names that both have
    """
    names = set(shared)
    return {f"{THEIRS}{k}" if k in names else k: v for k, v in values.items()}


def as_we_read(opt: Opt) -> None:
    """Put our values under the plain names (changes ``opt``)."""
    given = opt.get("override") or {}
    for name in opt.get(SHARED) or ():
        if f"{OURS}{name}" in opt:
            opt[name] = given.get(name, opt[f"{OURS}{name}"])


def as_the_base_reads(opt: Opt) -> None:
    """Put the base's values under the plain names, and ours under others (changes ``opt``)."""
    for name in opt.get(SHARED) or ():
        opt[f"{OURS}{name}"] = opt[name]
        opt[name] = opt[f"{THEIRS}{name}"]


def of_ours(opt: Opt) -> Opt:
    """The options ``opt`` of an agent as we read them; the same object where none is shared."""
    if not opt.get(SHARED):
        return opt
    copied = Opt(opt)
    for name in opt[SHARED]:
        copied[name] = opt[f"{OURS}{name}"]
    return copied


def without_ours(opt: Mapping[str, Any], ours: Collection[str]) -> dict[str, Any]:
    """
    The options of a plain model of the base.

    :param opt: of an agent of ours
    :param ours: names of our flags; the base's of the same name stay
    """
    shared = opt.get(SHARED) or ()
    gone = {SHARED, *(f"{prefix}{name}" for name in shared for prefix in (OURS, THEIRS))}
    return {k: v for k, v in opt.items() if k not in gone and (k not in ours or k in shared)}


def _is_ours(action: argparse.Action) -> bool:
    return bool(getattr(action, "of_parlai_cu", False))


def _respell(
    parser: ParlaiParser, own: argparse.Action, spelled: list[str], theirs: argparse.Action
) -> None:
    """Give the plain spelling back to our flag, and another to the base's."""
    name = own.dest
    for action in (own, theirs):
        for string in list(action.option_strings):
            parser._option_string_actions.pop(string, None)
    theirs.dest = f"{THEIRS}{name}"
    theirs.option_strings = [f"--base-{name.replace('_', '-')}"]
    own.option_strings = [*spelled, f"--cu-{name.replace('_', '-')}"]
    for action in list(parser._actions):  # of an earlier pass over the command line
        if action.dest in (name, theirs.dest) and action not in (own, theirs):
            parser._actions.remove(action)
            for group in parser._action_groups:
                if action in group._group_actions:
                    group._group_actions.remove(action)
    if own not in parser._actions:
        parser._actions.append(own)
        own.container._group_actions.append(own)  # type: ignore[attr-defined]
    for action in (own, theirs):
        for string in action.option_strings:
            parser._option_string_actions[string] = action
