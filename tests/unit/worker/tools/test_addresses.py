from __future__ import annotations

import socket

import pytest

from worker.tools.addresses import AddressPolicy, AddressRefused, AllowedAddress

REFUSED = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2130706433",
    "0x7f000001",
    "localhost",
    "",
]


@pytest.mark.parametrize("host", REFUSED)
def test_an_address_that_is_not_public_is_refused(host: str) -> None:
    assert not AddressPolicy().allows(host, 80)


@pytest.mark.parametrize("host", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_a_public_address_is_allowed(host: str) -> None:
    assert AddressPolicy().allows(host, 80)


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("127.0.0.1:8099", "127.0.0.1", 8099, True),
        ("127.0.0.1:8099", "::ffff:127.0.0.1", 8099, True),
        ("127.0.0.1:8099", "127.0.0.1", 8098, False),
        ("127.0.0.1:8099", "127.0.0.2", 8099, False),
        ("10.0.0.0/8", "10.200.3.4", 1, True),
        ("10.0.0.0/8", "192.168.0.1", 1, False),
        ("10.0.0.0/8:443", "10.200.3.4", 80, False),
        ("[::1]:8099", "::1", 8099, True),
        ("::1", "::1", 5, True),
        ("[fd00::/8]", "fd12::1", 5, True),
    ],
)
def test_the_allow_list_opens_a_network_at_a_port(entry: str, host: str, port: int, *, allowed: bool) -> None:
    assert AddressPolicy([AllowedAddress.parse(entry)]).allows(host, port) is allowed


def test_a_name_on_the_allow_list_opens_where_it_leads_now() -> None:
    policy = AddressPolicy([AllowedAddress.parse("Orders.internal:80")])
    policy.note_resolved("evil.example", 80, frozenset({"10.0.0.9"}))
    assert not policy.allows("10.0.0.9", 80)
    policy.note_resolved("orders.internal", 80, frozenset({"10.0.0.5"}))
    assert policy.allows("10.0.0.5", 80)
    assert not policy.allows("10.0.0.5", 81)
    policy.note_resolved("orders.internal", 80, frozenset({"10.0.0.6"}))
    assert not policy.allows("10.0.0.5", 80)


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.0/33", "1.2.3", "a:b", "host:0", "host:70000", "10.0.0.1/8", "[::1"]
)
def test_a_wrong_allow_list_entry_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match=r"port|address"):
        AllowedAddress.parse(entry)


def test_no_socket_is_made_for_a_refused_address() -> None:
    with pytest.raises(AddressRefused):
        AddressPolicy().open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
