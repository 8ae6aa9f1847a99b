"""Where providers may not be: link-local addresses, behind which clouds hand out their machines' credentials."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from urllib.parse import urlsplit

LOOKUP_SECONDS = 2.0

ENCODED = re.compile(r"^[^\[]*%")
"""A host with an escape in it, which readers of URLs read differently."""

METADATA_HOSTS = {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
METADATA_ADDRESSES = {
    ipaddress.ip_address(each) for each in ("100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
}
"""Alibaba's, Oracle's, Azure's and Amazon's, which are no link-local ones."""

LEADING_TO_IPV4 = [ipaddress.ip_network(each) for each in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
"""Prefixes before an IPv4 address: compatible and translated ones (RFC 4291, 2765), and NAT64 (RFC 6052)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def forbidden_address(address: str) -> bool:
    """Whether an IP address is one that no provider can have; what is no address is not."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    reached = inner_address(parsed)
    return reached.is_link_local or reached.is_unspecified or reached.is_multicast or reached in METADATA_ADDRESSES


def inner_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, if it carries one, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in each for each in LEADING_TO_IPV4) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def numeric_address(host: str) -> str:
    """A host as the address that the system takes it for, where it is a number: decimal, octal, hexadecimal."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host[:1].isdigit() else host
    except OSError:
        return host


def resolves_to_forbidden(base_url: str) -> bool:
    """Whether the name in a URL stands for a forbidden address now; blocks, for two seconds at most.

    A name that is not found by then is no reason not to start: names are looked at again with each connection.
    """
    found: list[str] = []
    looking = threading.Thread(target=look_up, args=(urlsplit(base_url).hostname, found), daemon=True)
    looking.start()
    looking.join(LOOKUP_SECONDS)
    return any(map(forbidden_address, found))


def look_up(host: str, found: list[str]) -> None:
    """Adds the addresses that a name stands for."""
    with contextlib.suppress(OSError, UnicodeError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def refusal_of(base_url: str) -> str | None:
    """What is wrong with a provider's base URL, if anything is as far as can be seen without asking for its address."""
    try:
        parts = urlsplit(base_url)
        host = (parts.hostname or "").rstrip(".").lower()
        parts.port  # noqa: B018  raises what is no port
    except ValueError:
        return "is no URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "has to be http://… or https://…"
    if ENCODED.search(parts.netloc) or not base_url.isprintable() or " " in base_url:
        return "is no URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "has more than scheme, host, port and path"
    if host in METADATA_HOSTS or forbidden_address(numeric_address(host)):
        return "is a link-local or metadata address"
    return None
