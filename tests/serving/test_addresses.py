"""parlai_cu/serving/addresses.py: whose a request is, behind proxies and not."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from parlai_cu.serving import limits
from parlai_cu.serving.addresses import client_address, counted
from parlai_cu.serving.limits import Addresses, ServiceLimits, host_allowed
from parlai_cu.serving.settings import ListenSettings, allowed_hosts

PEER = "10.0.0.1"


def seen(settings: dict[str, Any], *headers: tuple[str, str]) -> str:
    """The address of a request with these headers."""
    given = HTTPHeaders()
    for name, value in headers:
        given.add(name, value)
    return client_address(PEER, given, ListenSettings(**settings))


XFF, REAL = "X-Forwarded-For", "X-Real-Ip"


@pytest.mark.parametrize(
    "settings, headers, expected",
    [
        ({}, [(XFF, "1.1.1.1"), (REAL, "2.2.2.2")], PEER),
        ({"behind_proxy": True}, [(XFF, "6.6.6.6, 1.1.1.1")], "1.1.1.1"),
        ({"behind_proxy": True}, [(XFF, "6.6.6.6"), (XFF, "1.1.1.1")], "1.1.1.1"),
        ({"behind_proxy": True}, [(REAL, "1.1.1.1")], "1.1.1.1"),
        # the client's own header beside the proxy's: neither is believed
        ({"behind_proxy": True}, [(XFF, "1.1.1.1"), (REAL, "6.6.6.6")], PEER),
        ({"behind_proxy": True}, [(XFF, "1.1.1.1"), (REAL, "1.1.1.1")], "1.1.1.1"),
        (
            {"behind_proxy": True, "proxy_header": XFF},
            [(XFF, "1.1.1.1"), (REAL, "6.6.6.6")],
            "1.1.1.1",
        ),
        (
            {"behind_proxy": True, "proxy_header": REAL},
            [(XFF, "6.6.6.6"), (REAL, "1.1.1.1")],
            "1.1.1.1",
        ),
        ({"behind_proxy": True, "proxies": 2}, [(XFF, "6.6.6.6, 1.1.1.1, 10.0.0.2")], "1.1.1.1"),
        ({"behind_proxy": True, "proxies": 2}, [(XFF, "10.0.0.2")], PEER),
        ({"behind_proxy": True, "proxy_header": "Cf-Ip"}, [("Cf-Ip", "1.1.1.1")], "1.1.1.1"),
        ({"behind_proxy": True}, [(XFF, "nonsense")], PEER),
        ({"behind_proxy": True}, [(XFF, "6.6.6.6,")], PEER),
        ({"behind_proxy": True}, [(XFF, "x" * 10_000)], PEER),
        ({"behind_proxy": True}, [(XFF, "1.1.1.1:5555")], "1.1.1.1"),
        ({"behind_proxy": True}, [(XFF, "[2001:db8::1]:80")], "2001:db8::/64"),
        ({"behind_proxy": True}, [], PEER),
    ],
)
def test_who_it_is(settings: dict[str, Any], headers: list[Any], expected: str) -> None:
    """Only what the proxies wrote is believed."""
    assert seen(settings, *headers) == expected


def test_what_counts_as_one() -> None:
    """A user of IPv6 has a /64; an IPv4 is one however it is written."""
    assert counted("2001:db8:1:2:3::4") == counted("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert counted("2001:db8:1:3::4") != counted("2001:db8:1:2::4")
    assert counted("::ffff:1.2.3.4") == counted("1.2.3.4") == "1.2.3.4"
    assert counted("fe80::1%eth0") == "fe80::/64" and counted("") is None


def test_a_table_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has used up its own does not begin anew, however many others come."""
    monkeypatch.setattr(limits, "_REMEMBERED", 10)
    addresses = Addresses(ServiceLimits(turns_at_once=5, turns_per_second=1))
    for _ in range(5):
        assert addresses.take("hog", 0.0)
    taken = [addresses.take(f"of many {n}", 0.0) for n in range(1000)]
    assert not addresses.take("hog", 0.0) and len(addresses._buckets) == 10
    # 9 that were remembered, and what all others share
    assert sum(taken) == 9 + 50
    assert addresses.take("hog", 1.0)
    assert addresses.take("later", 1000.0) and len(addresses._buckets) <= 10


@pytest.mark.parametrize(
    "settings, host, allowed",
    [
        ({}, "127.0.0.1:35496", True),
        ({}, "localhost:35496", True),
        ({}, "[::1]:35496", True),
        ({}, "evil.example", False),
        ({}, "localhost.evil.example", False),
        ({}, "", False),
        ({}, "http://[", False),
        ({"address": "0.0.0.0"}, "chat.example", True),
        ({"behind_proxy": True}, "chat.example", True),
        ({"hosts": ("chat.example",)}, "Chat.Example:443", True),
        ({"hosts": ("chat.example",), "address": "0.0.0.0"}, "evil.example", False),
        ({"origins": ("http://shop.example",)}, "shop.example", True),
    ],
)
def test_names_it_is_called_by(settings: dict[str, Any], host: str, allowed: bool) -> None:
    """Where only this machine reaches it, its own names; else those that were named."""
    assert host_allowed(host, allowed_hosts(ListenSettings(**settings))) is allowed
