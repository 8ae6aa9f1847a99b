from __future__ import annotations

import socket
import ssl

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import DefaultResolver

from app.http.outbound_guard import forbidden_address

KEEPALIVE_SECONDS = 15.0
MAX_CONNECTIONS = 4096


def guarded_session(ssl_context: ssl.SSLContext, proxy: str | None = None) -> aiohttp.ClientSession:
    """Connections that go to no forbidden address, whatever a name stands for at the moment it is looked up.

    Through a proxy, the proxy resolves names; credentials in its URL are sent to the proxy alone.
    """
    connector = aiohttp.TCPConnector(
        ssl=ssl_context, limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, resolver=GuardedResolver()
    )
    return aiohttp.ClientSession(connector=connector, proxy=proxy)


class GuardedResolver(DefaultResolver):  # type: ignore[misc, valid-type]  # which class it is depends on the platform
    """Looks names up as ever, and refuses those that lead where no provider can be."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See aiohttp.

        Raises:
            OSError: the name is not known, or leads to a forbidden address.
        """
        found: list[ResolveResult] = await super().resolve(host, port, family)
        if any(forbidden_address(each["host"]) for each in found):
            raise OSError(f"{host} leads to a link-local or metadata address")
        return found
