"""Decides which network addresses user requests may reach: public ones, and what the operator allows."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(PermissionError):  # noqa: N818  # named as the fact it reports
    """The address is not allowed for user requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedAddress:
    """One entry of the allow-list: a network or a host name, at one port or (None) at all."""

    network: IPNetwork | None
    name: str | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> AllowedAddress:
        """Read `10.0.0.0/8`, `127.0.0.1:8099`, `[::1]:8099`, `::1`, `orders.internal:80`.

        Raises ValueError for anything else.
        """
        host, port = _split_port(text.strip().lower())
        try:
            return cls(network=ipaddress.ip_network(host), name=None, port=port)
        except ValueError:
            if not host or "/" in host or ":" in host or host.replace(".", "").isdigit():
                raise ValueError(f"{text!r} is no address, network or host name") from None
            return cls(network=None, name=host, port=port)

    def covers(self, address: IPAddress, port: int) -> bool:
        """Whether the entry allows this address at this port."""
        return self.network is not None and address in self.network and self.port in (None, port)


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no address")
        return host, _port(rest[1:]) if rest else None
    if text.count(":") != 1:
        return text, None
    host, _, port = text.partition(":")
    return host, _port(port)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:  # noqa: PLR2004  # TCP's range
        raise ValueError(f"{text!r} is no port")
    return int(text)


class AddressPolicy:
    """Refuses every address that is not publicly routable unless the allow-list covers it.

    The check happens where the socket is made, with the address it will connect to, so neither a name
    that resolves differently the second time nor a redirect gets around it.
    """

    def __init__(self, allowed: Iterable[AllowedAddress] = ()) -> None:
        self._allowed = tuple(allowed)
        self._resolved: dict[tuple[str, int], frozenset[str]] = {}

    def allows(self, host: str, port: int) -> bool:
        """Whether a socket may connect to this numeric address."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        plain = _unmapped(address)
        if _is_public(plain) or any(entry.covers(plain, port) for entry in self._allowed):
            return True
        return any(host in hosts for (_, at), hosts in self._resolved.items() if at == port)

    def note_resolved(self, name: str, port: int, hosts: frozenset[str]) -> None:
        """Remember where an allow-listed name leads now; other names are not remembered."""
        name = name.lower().rstrip(".")
        if any(entry.name == name and entry.port in (None, port) for entry in self._allowed):
            self._resolved[name, port] = hosts

    def open_socket(self, info: AddrInfo) -> socket.socket:
        """Make the socket for a connection; raises `AddressRefused`."""
        family, kind, protocol, _, address = info
        if not self.allows(str(address[0]), int(str(address[1]))):
            raise AddressRefused("the address is not public and not in PLAYLOG_HTTP_ALLOW")
        return socket.socket(family, kind, protocol)


class NotingResolver(AbstractResolver):
    """Resolves names and tells the policy where allow-listed ones lead."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        self._policy.note_resolved(host, port, frozenset(str(result["host"]) for result in found))
        return found

    async def close(self) -> None:
        """Release the inner resolver."""
        await self._inner.close()


def _unmapped(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_V6:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
