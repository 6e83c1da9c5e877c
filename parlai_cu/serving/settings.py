"""How a service listens; apart from the shell, so that flags can be read without tornado."""

from dataclasses import dataclass
from urllib.parse import urlsplit


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
    :param behind_proxy: take the user's address from a header that proxies write
    :param proxy_header: which; empty for X-Forwarded-For or X-Real-Ip, whichever is there
    :param proxies: how many there are, each of which adds to the header
    :param hosts: names by which it may be called, beside addresses; see :func:`allowed_hosts`
    """

    port: int = 35496
    address: str = "127.0.0.1"
    origins: tuple[str, ...] = ()
    admin_token: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False
    proxy_header: str = ""
    proxies: int = 1
    hosts: tuple[str, ...] = ()


# only this machine's programs reach it, and pages of any site that its browsers show
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def allowed_hosts(settings: ListenSettings) -> frozenset[str]:
    """
    Names by which the service may be called, in small letters; empty for all.

    Where only this machine reaches it, those are its own unless others are named: else a page of
    any site could, by a name that leads here (DNS rebinding).
    """
    own = settings.hosts
    if not own and settings.address in _LOOPBACK and not settings.behind_proxy:
        own = ("localhost",)
    named = [urlsplit(origin).hostname or "" for origin in settings.origins if origin != "*"]
    return frozenset(name.lower().rstrip(".") for name in (*own, *named) if own and name)
