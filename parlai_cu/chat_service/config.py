"""A chat_service configuration as ParlAI reads it, with errors that say what to put right."""

import difflib
import os
import sys
from collections.abc import Mapping
from typing import Any

from parlai_cu.errors import UsageError, near_file
from parlai_cu.parlai_types import Opt

# what ParlAI and we read of it; of a task
_TOP = {"world_module", "overworld", "max_workers", "task_name", "tasks", "opt", "additional_args"}
_ADDITIONAL = {"load_model", "page_id"}
_OF_TASK = {"onboard_world", "task_world", "timeout", "agents_required", "backup_task"}
# a name this like another is a misspelt one
_MISSPELT = 0.75


def read(opt: Opt, path: str) -> Any:
    """
    The options of a service: what was given on the command line wins over ``opt:`` of the file.

    :param opt: as parsed; changed in place
    :param path: of config.yml
    :raises UsageError: when the file is missing or not a chat_service configuration
    """
    import parlai.chat_service.utils.config as config_utils
    import yaml  # type: ignore[import-untyped]

    if not os.path.isfile(path):
        raise UsageError(f"--config-path {path}: there is no such file{near_file(path)}")
    try:
        config = config_utils.parse_configuration_file(path)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise UsageError(f"--config-path {path}: it is not YAML: {told}") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"--config-path {path}: {error}; expected world_module, overworld, max_workers, "
            "task_name and tasks, as ParlAI's chat_service has them"
        ) from None
    with open(path, encoding="utf-8") as f:
        _check_names(yaml.safe_load(f), path)
    given: Mapping[str, Any] = opt.get("override") or {}
    opt.update(config["world_opt"] or {})
    opt.update(given)
    opt["config"], opt["service"] = config, "websocket"
    return opt


def _check_names(written: Any, path: str) -> None:
    """
    Refuse what would be ignored where it stands; what is merely unknown is told.

    :param written: all of the file
    :param path: of it
    :raises UsageError: when a name is misspelt, or belongs under ``opt:``
    """
    from parlai_cu.chat_service.flags import service_parser

    flags = {action.dest for action in service_parser()._actions} | {"models", "chat"}
    for name in set(written) - _TOP:
        if name in flags:
            raise UsageError(
                f"--config-path {path}: {name}: nothing reads it at the top; put it under opt:"
            )
        _refuse_misspelt(str(name), _TOP, path, "")
    for task, settings in (written.get("tasks") or {}).items():
        for name in set(settings) - _OF_TASK:
            _refuse_misspelt(str(name), _OF_TASK, path, f"tasks: {task}: ")
    for name in ("opt", "additional_args"):
        if not isinstance(written.get(name) or {}, Mapping):
            found = repr(written[name])
            raise UsageError(f"--config-path {path}: {name}: expected settings, found {found}")
    for name in set(written.get("additional_args") or {}) - _ADDITIONAL:
        _refuse_misspelt(str(name), _ADDITIONAL, path, "additional_args: ")
    world = str(written.get("world_module"))
    if world.startswith("parlai.") and "chat" in (written.get("opt") or {}):
        raise UsageError(
            f"--config-path {path}: opt: chat: {world} does not read it; expected world_module: "
            "parlai_cu.chat_service.worlds"
        )
    if world.startswith("parlai_cu."):
        # a world of somebody else's may read what it likes
        for name in set(written.get("opt") or {}) - flags:
            _refuse_misspelt(str(name), flags, path, "opt: ")


def _refuse_misspelt(name: str, known: set[str], path: str, where: str) -> None:
    close = difflib.get_close_matches(name, known, n=1, cutoff=_MISSPELT)
    if close:
        raise UsageError(
            f"--config-path {path}: {where}{name}: there is no such setting; nearest: {close[0]}"
        )
    sys.stderr.write(f"parlai_cu: {path}: {where}{name}: nothing reads it\n")
