from __future__ import annotations

import contextlib
import errno
import socket

BACKLOG = 2048
"""Connections that may wait to be accepted."""
NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a port at every address of a host, without listening yet; port 0 takes a free one.

    `::` is every address, of IPv4 too.

    Raises:
        OSError: the port is taken, or the host is not this machine's.
    """
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                made = undo.enter_context(bound(socket.socket(family, kind, protocol), (address[0], chosen), host))
            except OSError as error:
                if error.errno not in NO_SUCH_ADDRESS:
                    raise
                refusal = error  # as `localhost` has an address of IPv6 where there is no IPv6
            else:
                sockets.append(made)
        if not sockets and refusal is not None:
            raise refusal
        undo.pop_all()
    return sockets


def bound(made: socket.socket, address: tuple[str | int, int], host: str) -> socket.socket:
    """Bind a socket, or close it."""
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
