"""
Whose a request is: the address that limits count by.

Behind proxies it stands in a header, which a client may have sent as well. Only what the nearest
proxies wrote is believed: of ``X-Forwarded-For`` the entry as many from the right as there are
proxies. An IPv6 user has a network of 2^64 addresses, so all of it counts as one.
"""

import ipaddress
from collections.abc import Sequence

from tornado.httputil import HTTPHeaders

from parlai_cu.serving.settings import ListenSettings

_LIST, _SINGLE = "X-Forwarded-For", "X-Real-Ip"
# of a user of IPv6
_PREFIX = 64
_LONGEST = 100  # characters of an entry


def counted(address: str) -> str | None:
    """
    The address that limits count by: of IPv6 its /64, of an IPv4 in IPv6's clothes the IPv4.

    :param address: as text, perhaps with a port or in brackets; None is returned for anything else
    """
    text = address.strip()[:_LONGEST]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _PREFIX), strict=False))


def client_address(peer: str, headers: HTTPHeaders, settings: ListenSettings) -> str:
    """
    The address of a request's user.

    :param peer: who has connected
    :param headers: of the request
    :param settings: whether it is behind proxies, how many, and which header they write
    """
    own = counted(peer) or peer
    if not settings.behind_proxy:
        return own
    if settings.proxy_header:
        values = _entries(headers.get_list(settings.proxy_header))
        return _nth(values, settings.proxies) or own
    forwarded = _nth(_entries(headers.get_list(_LIST)), settings.proxies)
    real = _nth(_entries(headers.get_list(_SINGLE)), 1)
    if forwarded and real and forwarded != real:
        # one of them is the client's own, and nobody has said which
        return own
    return forwarded or real or own


def _entries(values: Sequence[str]) -> list[str]:
    return [entry for value in values for entry in value.split(",")]


def _nth(entries: Sequence[str], number: int) -> str | None:
    """The entry so many from the right: what the proxy farthest from us has written."""
    return counted(entries[-number]) if len(entries) >= number else None
