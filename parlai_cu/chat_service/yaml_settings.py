"""
Settings that stand in config.yml, held against the flags that they mean.

What a flag would refuse on the command line is refused here, before "Ready": a name that nothing
reads, a number where a text is meant (YAML reads ``0123`` as 83), a text where a number is.
"""

import argparse
import copy
import difflib
from collections.abc import Mapping
from typing import Any

from parlai.core.loader import load_agent_module
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser, get_model_name

from parlai_cu import secret_values
from parlai_cu.agents import model_files, speaking
from parlai_cu.agents.updating_agent import model_path
from parlai_cu.errors import UsageError, hint, nearest
from parlai_cu.parlai_types import Parser

# which model it is; everything else is a setting of it
_WHICH = ("model", "model_file", "datapath")
_OVERRIDE = ("override", "overrides")
# a name this like that of a flag is a misspelt one, whoever might read it
_MISSPELT = 0.82
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
_SECRETS = (secret_values.PASSWORD.flag, secret_values.ADMIN_TOKEN.flag)


def model_options(name: str, given: object, datapath: str | None = None) -> dict[str, Any]:
    """
    The options of a model that talks to people, as ``create_agent`` takes them.

    Whatever is said of it holds, beside ``override:`` as well as in it.

    :param name: of the model in config.yml
    :param given: what stands there
    :param datapath: where it says none
    :raises UsageError: when a name is of no flag, or a value not of its kind
    """
    where = f"config.yml: models: {name}"
    if not isinstance(given, Mapping) or not (given.get("model") or given.get("model_file")):
        raise UsageError(f"{where}: expected model: AGENT or model_file: PATH, found {given!r}")
    settings = Opt({k: copy.deepcopy(v) for k, v in given.items() if k not in _OVERRIDE})
    if datapath:
        settings.setdefault("datapath", datapath)
    parser = _parser(settings)
    said = {k: v for k, v in settings.items() if k not in _WHICH}
    for key in _OVERRIDE:
        more = given.get(key) or {}
        # ParlAI's own example configurations write a list of one
        more = more[0] if isinstance(more, list) and len(more) == 1 else more
        if not isinstance(more, Mapping):
            raise UsageError(f"{where}: {key}: expected settings, found {more!r}")
        said.update(copy.deepcopy(dict(more)))
    said = _checked(parser, said, settings, where)
    override = speaking.overrides(said)
    return Opt({**settings, **override, "override": override})


def check(given: Mapping[str, Any], parser: Parser, where: str) -> None:
    """
    Refuse settings that are not what a flag takes, or nearly a flag's name.

    :param given: settings; others than the flags' may be for a world
    :param parser: has the flags
    :param where: they stand, for messages
    :raises UsageError: naming the setting
    """
    actions = {action.dest: action for action in parser._actions}
    for name, value in given.items():
        if name in actions:
            convert(parser, actions[name], value, f"{where}: {name}")
        elif difflib.get_close_matches(name, actions, n=1, cutoff=_MISSPELT):
            raise UsageError(f"{where}: {name}: there is no such setting{_near(name, actions)}")


def convert(parser: Parser, action: Any, value: object, where: str) -> Any:
    """
    A value out of a YAML file as the flag would have it.

    :param parser: that has the flag
    :param action: the flag
    :param value: of the file
    :param where: it stands, for messages
    :raises UsageError: when it is of another kind
    """
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and action.nargs in ("*", "+"):
        return [convert(parser, argparse.Action([], "", type=action.type), v, where) for v in value]
    kind = {"bool": bool, None: str}.get(action.type, action.type)
    if isinstance(action.const, bool) and action.nargs == 0:
        kind = bool
    if isinstance(value, str) and kind is not str:
        # 1e-5 is a text to YAML
        value = _read(parser, action, kind, value, where)
    elif kind in _KINDS and not _is(value, kind):
        shown = "what was found" if where.endswith(_SECRETS) else repr(value)
        found = f"{shown} is {_KINDS.get(type(value), type(value).__name__)} to YAML"
        quotes = ': put it in quotes (unquoted, 0123 is 83, and "no" is false)'
        raise UsageError(
            f"{where}: {found}, expected {_KINDS[kind]}{quotes if kind is str else ''}"
        )
    if action.choices is not None and value not in action.choices:
        choices = ", ".join(str(each) for each in action.choices)
        raise UsageError(f"{where}: {value!r}; expected one of {choices}")
    return value


def _read(parser: Parser, action: object, kind: Any, text: str, where: str) -> Any:
    # ParlAI's parser has "bool" by its name
    kind_of_flag: Any = "bool" if kind is bool else kind
    try:
        return parser._get_value(argparse.Action([], "", type=kind_of_flag), text)
    except argparse.ArgumentError:
        expected = _KINDS.get(kind, getattr(kind, "__name__", "another value"))
        raise UsageError(f"{where}: found the text {text!r}, expected {expected}") from None


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _parser(settings: Opt) -> Any:
    """All flags that the model has."""
    parser = ParlaiParser(True, True)
    agent = get_model_name(settings)
    if agent:
        parser.add_model_subargs(agent, settings)
    parser.parse_known_args([], nohelp=True)  # flags that others bring
    return parser


def _checked(parser: Parser, said: dict[str, Any], settings: Opt, where: str) -> dict[str, Any]:
    actions = {action.dest: action for action in parser._actions}
    saved = model_files.find_opt(model_path(settings, "model_file")) or {}
    agent = get_model_name(settings)
    known_agent = agent is None or load_agent_module(agent).__module__.startswith(
        ("parlai.", "parlai_cu.")
    )
    found = {}
    for name, value in said.items():
        if name in actions:
            value = convert(parser, actions[name], value, f"{where}: {name}")
        elif name not in saved and name not in speaking.overrides():
            close = difflib.get_close_matches(name, actions, n=1, cutoff=_MISSPELT)
            # an agent of somebody else may read what it has no flag for
            if known_agent or close:
                raise UsageError(
                    f"{where}: {name}: {agent} has no such setting{_near(name, actions)}"
                )
        found[name] = value
    return found


def _near(name: str, actions: Any) -> str:
    return hint(nearest(name, actions))
