from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.http.outbound_guard import is_forbidden_address, resolves_to_forbidden


def answering(*found: str) -> Callable[..., Any]:
    """Return a name resolution that finds these addresses."""
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


@pytest.mark.parametrize(
    ("found", "astray"),
    [
        (["169.254.169.254"], True),
        (["203.0.113.7", "fe80::1%2"], True),
        (["::ffff:169.254.1.2"], True),
        (["203.0.113.7", "10.0.0.1", "127.0.0.1", "::1"], False),
        ([], False),
    ],
)
def test_name_with_a_forbidden_address(monkeypatch: pytest.MonkeyPatch, found: list[str], astray: bool) -> None:
    """A name that resolves to a forbidden address, also among others, is found."""
    monkeypatch.setattr(socket, "getaddrinfo", answering(*found))
    assert resolves_to_forbidden("http://name.example:8080/v1") is astray


def test_unresolved_name_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve, or not in time, does not stop the start; connections check it again."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert not resolves_to_forbidden("http://name.example/v1")
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (never.wait(), [])[1])
    assert not resolves_to_forbidden("http://name.example/v1", seconds=0.01)
    never.set()


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.5", "127.0.0.1", "::1", "2001:db8::1", "name.example", ""])
def test_other_addresses_are_allowed(address: str) -> None:
    """Public, private and loopback addresses are allowed."""
    assert not is_forbidden_address(address)
