"""The flags of a chat service: each may also stand under ``opt:`` in config.yml."""

import dataclasses
import os
from typing import Any, Dict, Mapping, Tuple

from parlai_cu.errors import UsageError
from parlai_cu.serving.limits import Limits
from parlai_cu.serving.settings import Settings

# secrets are better not seen in the list of processes
_FROM_ENVIRONMENT = {
    "password": "PARLAI_CU_PASSWORD",
    "admin_token": "PARLAI_CU_ADMIN_TOKEN",
}
_LIMITS: Tuple[Tuple[str, str], ...] = (
    ("max_text", "characters of a message"),
    ("max_frame", "bytes of a frame or body; beyond 16 times as many the connection is closed"),
    ("max_queue", "messages of one user that may wait"),
    ("max_conversations", "conversations at once (default: max_workers of config.yml)"),
    ("max_waiting", "turns that may wait for the model"),
    ("max_unsent", "bytes that may wait for a slow reader before he is disconnected"),
    ("connections_per_address", "open connections from one address"),
    ("turns_per_second", "messages a second from one address, in the long run"),
    ("turns_at_once", "messages from one address in a burst"),
    ("idle_seconds", "silence after which a conversation ends"),
    ("resume_seconds", "for how long a lost conversation can be taken up again"),
    ("ping_seconds", "between pings; who does not answer within one is gone"),
    ("drain_seconds", "for turns under way when the service is told to stop"),
)
_DEFAULTS: Dict[str, Any] = {
    "max_batch": 32,
    "max_wait_ms": 2.0,
    "world_threads": 4,
    "torch_threads": 1,
    "log_text": False,
    "address": "127.0.0.1",
    "allow_origin": "",
    "behind_proxy": False,
    "admin_token": None,
    "tls_cert": None,
    "tls_key": None,
}


def add(parser: Any) -> None:
    """
    Add our flags to a parser that has ParlAI's for websockets.

    :param parser: ParlAI's
    """
    group = parser.add_argument_group("Serving")
    default = _DEFAULTS
    group.add_argument(
        "--address", default=None, help="interface (default: 127.0.0.1; 0.0.0.0: all)"
    )
    group.add_argument(
        "--max-batch",
        type=int,
        default=None,
        help=f"turns that the model answers together at most (default: {default['max_batch']})",
    )
    group.add_argument(
        "--max-wait-ms",
        type=float,
        default=None,
        help="that a turn waits for others known to be on their way (default: "
        f"{default['max_wait_ms']}; a lone turn never waits)",
    )
    group.add_argument(
        "--world-threads",
        type=int,
        default=None,
        help="threads for worlds, used as others are held up "
        f"(default: {default['world_threads']})",
    )
    group.add_argument(
        "--torch-threads",
        type=int,
        default=None,
        help=f"of the model, 0 leaves torch's own (default: {default['torch_threads']}: "
        "more than there are free cores make it many times slower)",
    )
    group.add_argument(
        "--log-text", action="store_true", default=None, help="log what users say (default: never)"
    )
    _add_safety(parser.add_argument_group("Safety"))
    limits = parser.add_argument_group("Limits")
    for name, words in _LIMITS:
        standard = getattr(Limits, name)
        limits.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(standard),
            default=None,
            help=words if "default" in words else f"{words} (default: {standard:,g})",
        )


def _add_safety(group: Any) -> None:
    group.add_argument(
        "--allow-origin",
        default=None,
        help="web origins, with commas, that may connect beside the service's own; * for all",
    )
    group.add_argument(
        "--admin-token",
        default=None,
        help="opens the operator page; better in PARLAI_CU_ADMIN_TOKEN (default: the page is off)",
    )
    group.add_argument("--tls-cert", default=None, help="certificate chain, PEM: serves https, wss")
    group.add_argument("--tls-key", default=None, help="its key, PEM")
    group.add_argument(
        "--behind-proxy",
        action="store_true",
        default=None,
        help="take users' addresses from X-Real-Ip / X-Forwarded-For; only behind a proxy of yours",
    )


def value(opt: Mapping[str, Any], name: str) -> Any:
    """
    A flag's value: as given, else from the environment (secrets), else the default.

    :param opt: the service's options
    :param name: of the flag, with underscores
    """
    given = opt.get(name)
    if given is None and name in _FROM_ENVIRONMENT:
        given = os.environ.get(_FROM_ENVIRONMENT[name])
    return _DEFAULTS.get(name) if given is None else given


def limits(opt: Mapping[str, Any], max_workers: int) -> Limits:
    """
    The limits that were asked for.

    :param opt: the service's options
    :param max_workers: of config.yml, the conversations at once unless said otherwise
    :raises UsageError: when one is not a number, or below zero
    """
    given: Dict[str, Any] = {"max_conversations": max_workers}
    for field in dataclasses.fields(Limits):
        asked = opt.get(field.name)
        if asked is None:
            continue
        number = isinstance(asked, (int, float)) and not isinstance(asked, bool)
        if not number or asked < 0:
            flag = field.name.replace("_", "-")
            raise UsageError(f"--{flag} {asked!r}: expected a number from 0 up")
        given[field.name] = asked
    return Limits(**given)


def settings(opt: Mapping[str, Any]) -> Settings:
    """
    How the service listens.

    :param opt: the service's options
    """
    origins = value(opt, "allow_origin")
    listed = origins.split(",") if isinstance(origins, str) else list(origins)
    port = opt.get("port")
    return Settings(
        port=35496 if port is None else int(port),
        address=value(opt, "address"),
        origins=tuple(each.strip() for each in listed if each.strip()),
        admin_token=value(opt, "admin_token"),
        tls_cert=value(opt, "tls_cert"),
        tls_key=value(opt, "tls_key"),
        behind_proxy=bool(value(opt, "behind_proxy")),
    )
