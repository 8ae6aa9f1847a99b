from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.http.outbound_guard import is_forbidden_address, resolves_to_forbidden


def answering(*found: str) -> Callable[..., Any]:
    """A look-up that finds these addresses."""
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
def test_a_name_is_what_it_stands_for(monkeypatch: pytest.MonkeyPatch, found: list[str], astray: bool) -> None:
    """A name that leads to a forbidden address, also beside others, keeps the service from starting."""
    monkeypatch.setattr(socket, "getaddrinfo", answering(*found))
    assert resolves_to_forbidden("http://name.example:8080/v1") is astray


def test_a_name_that_is_not_found_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer, or with one that does not come in time, the start goes on: connections look again."""

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
    """Public and private addresses, this machine's own too, are where providers are."""
    assert not is_forbidden_address(address)
