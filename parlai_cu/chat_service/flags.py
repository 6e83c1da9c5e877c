"""The flags of a chat service: each may also stand under ``opt:`` in config.yml."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from parlai_cu import secret_values
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Parser
from parlai_cu.secret_values import Secret
from parlai_cu.serving.limits import ServiceLimits
from parlai_cu.serving.settings import ListenSettings

_Described = tuple[tuple[str, str], ...]
_SERVING: _Described = (
    ("address", "interface to listen on; 0.0.0.0 for all"),
    ("max_batch", "turns that the model answers together at most"),
    ("max_wait_ms", "that a turn waits for others known to be on their way; a lone one never does"),
    ("torch_threads", "of the model; more than free cores make it many times slower; 0: torch's"),
    ("world_threads", "for worlds; the next is used when those before are held up"),
    ("log_text", "log what users say"),
)
_SAFETY: _Described = (
    ("allow_origin", "web origins, with commas, let in beside the service's own; * for all"),
    ("admin_token", "opens the operator's page; better in PARLAI_CU_ADMIN_TOKEN"),
    ("tls_cert", "certificate chain, PEM: serves https and wss"),
    ("tls_key", "its key, PEM"),
    ("behind_proxy", "take users' addresses from a header that proxies of yours write"),
    ("proxy_header", "which: X-Forwarded-For, X-Real-Ip or another; better named than left out"),
    ("proxies", "how many proxies there are, each of which adds to that header"),
    ("allow_host", "names, with commas, by which it may be called; addresses always; empty: all"),
)
_LIMITS: _Described = (
    ("max_text", "characters of a message"),
    ("max_frame", "bytes of a frame or body; beyond 16 times as many the connection is closed"),
    ("max_queue", "messages of one user that may wait"),
    ("max_conversations", "conversations at once; without it max_workers of config.yml"),
    ("max_waiting", "turns that may wait for the model"),
    ("max_unsent", "bytes that may wait for a slow reader before they are disconnected"),
    ("connections_per_address", "open connections from one address"),
    ("waiting_per_address", "conversations of one address without a connection, as those by HTTP"),
    ("max_connections", "open connections in all"),
    ("header_seconds", "for a request's headers, and between two requests"),
    ("body_seconds", "for a request's body"),
    ("write_seconds", "for which a reader may take nothing of what waits"),
    ("guesses_at_once", "wrong admin tokens of one address in a burst; then none is compared"),
    ("guesses_per_minute", "the same in the long run"),
    ("turns_per_second", "messages a second from one address, in the long run"),
    ("turns_at_once", "messages from one address in a burst"),
    ("idle_seconds", "silence after which a conversation ends"),
    ("resume_seconds", "for how long a lost conversation can be taken up again"),
    ("ping_seconds", "between pings; who does not answer within one is gone"),
    ("turn_seconds", "that the model may take for a batch; then those turns get an apology"),
    ("drain_seconds", "for turns under way when the service is told to stop"),
)
_DEFAULTS: dict[str, Any] = {
    **dataclasses.asdict(ServiceLimits()),
    "max_conversations": None,
    "max_batch": 32,
    "max_wait_ms": 2.0,
    "world_threads": 4,
    "torch_threads": 1,
    "log_text": False,
    "address": "127.0.0.1",
    "allow_origin": "",
    "allow_host": "",
    "behind_proxy": False,
    "proxy_header": "",
    "proxies": 1,
    "admin_token": None,
    "tls_cert": None,
    "tls_key": None,
}


def add(parser: Parser) -> None:
    """
    Add our flags to a parser that has ParlAI's for websockets.

    :param parser: ParlAI's
    """
    for title, described in (
        ("Serving", _SERVING),
        ("Safety", _SAFETY),
        ("Limits", _LIMITS),
    ):
        group = parser.add_argument_group(title)
        for name, words in described:
            flag = f"--{name.replace('_', '-')}"
            default = _DEFAULTS[name]
            if isinstance(default, bool):
                group.add_argument(flag, action="store_true", default=default, help=words)
            else:
                kind = str if default is None else type(default)
                kind = int if name == "max_conversations" else kind
                group.add_argument(flag, type=kind, default=default, help=words)


def service_parser() -> Any:
    """All flags of ``parlai serve``."""
    from parlai.core.params import ParlaiParser

    from parlai_cu.host import model_pickles

    parser = ParlaiParser(
        add_parlai_args=False,
        add_model_args=False,
        description="Serve a model to many users: websocket, HTTP and a browser page",
    )
    parser.add_parlai_data_path()
    parser.add_websockets_args()  # and ours (host/websocket_service.py)
    model_pickles.add_flag(parser)
    return parser


def value(opt: Mapping[str, Any], name: str) -> Any:
    """
    A flag's value: as given, else the default. Secrets are read by :func:`secret`.

    :param opt: the service's options
    :param name: of the flag, with underscores
    """
    given = opt.get(name)
    return _DEFAULTS.get(name) if given is None else given


def secret(opt: Mapping[str, Any], wanted: Secret) -> str | None:
    """
    A secret: as given, else from the environment, where the list of processes does not show it.

    :param opt: the service's options, with ``config`` as its file was read
    :param wanted: which
    :raises UsageError: when it is set but says nothing
    """
    written = (opt.get("config") or {}).get("world_opt")
    if opt.get(wanted.flag) is None:
        secret_values.refuse_null(wanted, written)
    return secret_values.read(wanted, opt)


def limits(opt: Mapping[str, Any], max_workers: int) -> ServiceLimits:
    """
    The limits that were asked for.

    :param opt: the service's options
    :param max_workers: of config.yml, the conversations at once unless said otherwise
    :raises UsageError: when one is not a number, or below zero
    """
    given: dict[str, Any] = {"max_conversations": max_workers}
    for field in dataclasses.fields(ServiceLimits):
        asked = opt.get(field.name)
        if asked is None:
            continue
        number = isinstance(asked, (int, float)) and not isinstance(asked, bool)
        if not number or asked < 0:
            flag = field.name.replace("_", "-")
            raise UsageError(f"--{flag} {asked!r}: expected a number from 0 up")
        given[field.name] = asked
    return ServiceLimits(**given)


def settings(opt: Mapping[str, Any]) -> ListenSettings:
    """
    How the service listens.

    :param opt: the service's options
    :raises UsageError: when the port or the number of proxies is none, or the admin token says
        nothing
    """
    port = 35496 if opt.get("port") is None else opt["port"]
    if not isinstance(port, int) or not 0 <= port <= 65535:
        # a number above would be taken modulo 65536
        raise UsageError(f"--port {port!r}: expected a number from 0 to 65535")
    proxies = value(opt, "proxies")
    if not isinstance(proxies, int) or isinstance(proxies, bool) or proxies < 1:
        raise UsageError(f"--proxies {proxies!r}: expected a number from 1 up")
    behind = bool(value(opt, "behind_proxy")) or bool(value(opt, "proxy_header"))
    if proxies > 1 and not behind:
        raise UsageError(f"--proxies {proxies}: nothing reads it without --behind-proxy")
    return ListenSettings(
        port=port,
        address=value(opt, "address"),
        origins=_listed(opt, "allow_origin"),
        hosts=_listed(opt, "allow_host"),
        admin_token=secret(opt, secret_values.ADMIN_TOKEN),
        tls_cert=value(opt, "tls_cert"),
        tls_key=value(opt, "tls_key"),
        behind_proxy=behind,
        proxy_header=str(value(opt, "proxy_header")),
        proxies=proxies,
    )


def _listed(opt: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = value(opt, name)
    each = given.split(",") if isinstance(given, str) else [str(one) for one in given]
    return tuple(one.strip() for one in each if one.strip())
