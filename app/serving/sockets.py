from __future__ import annotations

import contextlib
import errno
import socket

BACKLOG = 2048
"""Connections that may wait to be accepted."""
NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a port at every address of a host, without listening yet; port 0 selects a free one.

    `::` includes all IPv4 addresses.

    Raises:
        OSError: the port is in use, or the host is not an address of this machine.
    """
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sock = undo.enter_context(
                    bind_socket(socket.socket(family, kind, protocol), (address[0], chosen), host)
                )
            except OSError as error:
                if error.errno not in NO_SUCH_ADDRESS:
                    raise
                refusal = error  # `localhost` may resolve to an IPv6 address on a machine without IPv6
            else:
                sockets.append(sock)
        if not sockets and refusal is not None:
            raise refusal
        undo.pop_all()
    return sockets


def bind_socket(sock: socket.socket, address: tuple[str | int, int], host: str) -> socket.socket:
    """Bind a socket; close it if that fails."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
