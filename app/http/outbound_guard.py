"""Guard against requests to link-local addresses, at which clouds hand out their machines' credentials."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import ResolveResult

RESOLVE_SECONDS = 2.0
KEEPALIVE_SECONDS = 15.0
MAX_CONNECTIONS = 4096

ENCODED = re.compile(r"^[^\[]*%")
"""A host with a percent escape, which URL parsers read differently."""

METADATA_HOSTS = {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
METADATA_ADDRESSES = {
    ipaddress.ip_address(each) for each in ("100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
}
"""Metadata addresses of Alibaba, Oracle, Azure and Amazon that are not link-local."""

IPV4_PREFIXES = [ipaddress.ip_network(each) for each in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
"""IPv6 prefixes before an IPv4 address: compatible and translated (RFC 4291, 2765), and NAT64 (RFC 6052)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def guarded_session(ssl_context: ssl.SSLContext, proxy: str | None = None) -> aiohttp.ClientSession:
    """Return an HTTP session that connects to no forbidden address, checked at each name resolution.

    Through a proxy, the proxy resolves names; credentials in its URL are sent to the proxy alone.
    """
    import aiohttp
    from aiohttp.resolver import DefaultResolver

    class GuardedResolver(DefaultResolver):  # type: ignore[misc, valid-type]  # its class depends on the platform
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            found: list[ResolveResult] = await super().resolve(host, port, family)
            if any(is_forbidden_address(each["host"]) for each in found):
                raise OSError(f"{host} resolves to a link-local or metadata address")
            return found

    connector = aiohttp.TCPConnector(
        ssl=ssl_context, limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, resolver=GuardedResolver()
    )
    return aiohttp.ClientSession(connector=connector, proxy=proxy)


def is_forbidden_address(address: str) -> bool:
    """Return whether an IP address is one that no provider can have; False for a text that is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    reached = inner_address(parsed)
    return reached.is_link_local or reached.is_unspecified or reached.is_multicast or reached in METADATA_ADDRESSES


def inner_address(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address; an address without one is returned as it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in each for each in IPV4_PREFIXES) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def numeric_address(host: str) -> str:
    """Return the dotted address for a numeric host (decimal, octal, hexadecimal), as the system reads it.

    Another host is returned unchanged.
    """
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host[:1].isdigit() else host
    except OSError:
        return host


def resolves_to_forbidden(base_url: str, seconds: float = RESOLVE_SECONDS) -> bool:
    """Return whether a URL's host resolves to a forbidden address now; blocks for so many seconds at most.

    False when the name does not resolve in time: each connection checks again.
    """
    found: list[str] = []
    thread = threading.Thread(target=resolve_into, args=(urlsplit(base_url).hostname, found), daemon=True)
    thread.start()
    thread.join(seconds)
    return any(map(is_forbidden_address, found))


def resolve_into(host: str, found: list[str]) -> None:
    """Append the addresses of a host; none when it does not resolve."""
    with contextlib.suppress(OSError, UnicodeError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def base_url_problem(base_url: str) -> str | None:
    """Return the problem of a provider's base URL, as far as it shows without resolving its host; None for none."""
    try:
        parts = urlsplit(base_url)
        host = (parts.hostname or "").rstrip(".").lower()
        parts.port  # noqa: B018  raises for an invalid port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "must begin with http:// or https://"
    if ENCODED.search(parts.netloc) or not base_url.isprintable() or " " in base_url:
        return "is not a valid URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "must have only scheme, host, port and path"
    if host in METADATA_HOSTS or is_forbidden_address(numeric_address(host)):
        return "must not be a link-local or metadata address"
    return None
