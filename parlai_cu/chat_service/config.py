"""A chat_service configuration as ParlAI reads it, with errors that say what to put right."""

import os
from collections.abc import Mapping
from typing import Any

from parlai_cu.errors import UsageError, near_file


def read(opt: Any, path: str) -> Any:
    """
    The options of a service: what was given on the command line wins over ``opt:`` of the file.

    :param opt: as parsed; changed in place
    :param path: of config.yml
    :raises UsageError: when the file is missing or not a chat_service configuration
    """
    import parlai.chat_service.utils.config as config_utils
    import yaml

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
    given: Mapping[str, Any] = opt.get("override") or {}
    opt.update(config["world_opt"] or {})
    opt.update(given)
    opt["config"], opt["service"] = config, "websocket"
    return opt
