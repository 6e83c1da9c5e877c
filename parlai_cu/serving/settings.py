"""How a service listens; apart from the shell, so that flags can be read without tornado."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListenSettings:
    """
    How a service listens.

    :param port: 0 for any that is free
    :param address: the interface; empty for all
    :param origins: web origins let in beside the service's own; ``*`` for all
    :param admin_token: opens the operator page; None leaves it off
    :param tls_cert: certificate chain, PEM
    :param tls_key: its key, PEM
    :param behind_proxy: take the user's address from X-Forwarded-For and X-Real-Ip
    """

    port: int = 35496
    address: str = "127.0.0.1"
    origins: tuple[str, ...] = ()
    admin_token: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False
