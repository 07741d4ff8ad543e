"""Which hosts and addresses a fetch may reach: decided after resolution, connected as decided.

Trust: fetch jail. Input: host names of untrusted redirects and indexes; addresses of untrusted DNS.
A name is resolved once, every address of it is checked, and the connection goes to a checked
address, so that a second answer of the same name server changes nothing (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from httpcore2 import ConnectError, ConnectTimeout, NetworkStream, SyncBackend

from corral.admission.fetch.pace import Pace, PacedStream
from corral.core.errors import CorralError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::ffff:0:0:0/96", "100::/64", "2001::/32", "64:ff9b:1::/48", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""Loopback, private, link-local, carrier-grade NAT, benchmark, multicast, reserved, Teredo, and
168.63.129.16: a public address at which machines of Azure find their host. What clouds call
metadata is in these: 169.254.169.254, 100.100.100.200, 192.0.0.192, fd00:ec2::254."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_private(address: Address) -> bool:
    """Return whether a fetch must not reach `address`, also by an IPv4 address inside IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return True
        embedded = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return is_private(embedded)
    return any(address.version == net.version and address in net for net in _PRIVATE)


def system_addresses(host: str, port: int) -> list[str]:
    """Return what the machine's resolver says of a name, in its order.

    Raises:
        OSError, UnicodeError: it does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Destinations:
    """The hosts that one fetch may reach.

    Attributes:
        hosts: `name`, `*.suffix` (any depth below it), or `name:port`.
        private_hosts: `host:port` that may resolve to a private address.
        resolve: (host, port) → addresses; may raise as `system_addresses`.
    """

    hosts: tuple[str, ...]
    private_hosts: tuple[str, ...]
    resolve: Callable[[str, int], list[str]] = system_addresses

    def check_url(self, url: str) -> SplitResult:
        """Return the parts of `url` if its scheme, host and port are allowed.

        Raises:
            CorralError: codes `redirect_refused`, `host_not_allowed`.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError as error:
            raise CorralError("redirect_refused", "the address is not a URL") from error
        if parts.scheme != "https" or parts.username is not None or not parts.hostname:
            raise CorralError(
                "redirect_refused", "the download leads to an address that is not plain https"
            )
        if not self._allows(parts.hostname, port):
            shown = f"{parts.hostname}:{port}" if port != 443 else parts.hostname
            shown = shown if shown.isascii() and shown.isprintable() else "an unusual name"
            raise CorralError(
                "host_not_allowed",
                f"the download leads to {shown[:255]}, which is not an allowed host",
                remedy="if you trust that host, add it to fetch.hosts in corral.toml",
            )
        return parts

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve `host` and return its addresses, all of them checked.

        Raises:
            CorralError: codes `network_error`, `private_address`.
        """
        try:
            addresses = self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise CorralError("network_error", "the host name cannot be resolved") from error
        exempt = f"{host}:{port}" in self.private_hosts
        if not exempt and any(is_private(ipaddress.ip_address(a)) for a in addresses):
            raise CorralError(
                "private_address",
                "the host resolves to an address of a private network",
                remedy="if it is your own server, add host:port to fetch.private_hosts",
            )
        return addresses

    def _allows(self, host: str, port: int) -> bool:
        host = host.rstrip(".").lower()
        named = f"{host}:{port}"
        if named in self.hosts or named in self.private_hosts:
            return True
        if port != 443:
            return False
        return any(
            host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))
            for pattern in self.hosts
        )


class PinnedBackend(SyncBackend):
    """Connects only to addresses that `Destinations` has checked at this very connect."""

    def __init__(self, destinations: Destinations, pace: Pace | None = None) -> None:
        self._destinations = destinations
        self._pace = pace or Pace()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> NetworkStream:
        """Resolve, check, and connect to the first address that answers."""
        failure: Exception = ConnectError("no address")
        for address in self._destinations.addresses(host, port):
            try:
                return PacedStream(super().connect_tcp(address, port, timeout), self._pace)
            except (ConnectError, ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> NetworkStream:
        """Refuse: a fetch has no business with local sockets."""
        raise ConnectError("refused")
