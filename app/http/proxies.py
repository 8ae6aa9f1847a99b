"""Proxies between this process and its providers: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from app.http.outbound_guard import numeric_address

SCHEMES = {"http", "https"}


class Proxy(NamedTuple):
    """A proxy for an address; its URL may hold a password, so it is never logged."""

    variable: str
    """Environment variable that names it."""
    url: str

    @property
    def refusal(self) -> str | None:
        """Reason why it cannot be used; None when it can."""
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018  raises for an invalid port
        except ValueError:
            return f"{self.variable} is not a valid URL"
        if not self.url.isprintable() or " " in self.url:
            return f"{self.variable} is not a valid URL"
        if parts.scheme.lower().startswith("socks"):
            return f"{self.variable} is a SOCKS proxy, which is not supported: set an HTTP proxy, or use NO_PROXY"
        if parts.scheme.lower() not in SCHEMES or not parts.hostname:
            return f"{self.variable} must be http://host:port"
        return None


def proxy_for(base_url: str) -> Proxy | None:
    """Return the proxy that the environment names for an address; None for a direct connection."""
    parts = urlsplit(base_url)
    proxies = getproxies_environment()
    host = parts.hostname or ""
    if is_exempt(host, parts.port, proxies.get("no", "")):
        return None
    for name in (parts.scheme, "all"):
        if url := proxies.get(name, "").strip():
            return Proxy(f"{name.upper()}_PROXY", url if "://" in url else f"http://{url}")
    return None


def is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    """Return whether NO_PROXY names a host: itself, its domain or network, with or without a port, or `*`."""
    names = [each.strip().lower().lstrip(".") for each in no_proxy.split(",")]
    address = numeric_address(host)
    return any(
        name == "*"
        or matches(name, host)
        or (port is not None and matches(name, f"{host}:{port}"))
        or is_within(address, name)
        for name in names
        if name
    )


def matches(name: str, host: str) -> bool:
    """Return whether a host has this name or is a subdomain of it."""
    return host == name or host.endswith(f".{name}")


def is_within(address: str, name: str) -> bool:
    """Return whether an address equals another or is in a network such as 10.0.0.0/8."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return False
