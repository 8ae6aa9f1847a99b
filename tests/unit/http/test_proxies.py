from __future__ import annotations

import pytest

from app.http.proxies import proxy_for

PROXY = "http://proxy.example:3128"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all variables that name a proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variables", "base_url", "url"),
    [
        ({}, "https://a.example/v1", None),
        ({"HTTPS_PROXY": PROXY}, "https://a.example/v1", PROXY),
        ({"https_proxy": PROXY}, "https://a.example/v1", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http://a.example/v1", None),
        ({"HTTP_PROXY": PROXY}, "https://a.example/v1", None),
        ({"ALL_PROXY": PROXY}, "https://a.example/v1", PROXY),
        ({"ALL_PROXY": "http://other", "HTTPS_PROXY": PROXY}, "https://a.example/v1", PROXY),
        ({"HTTPS_PROXY": " proxy.example:3128 "}, "https://a.example/v1", PROXY),
        ({"HTTPS_PROXY": ""}, "https://a.example/v1", None),
    ],
)
def test_scheme_chooses_the_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], base_url: str, url: str | None
) -> None:
    """HTTP_PROXY and HTTPS_PROXY apply to their schemes, ALL_PROXY to both, in either case, with or without http://."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(base_url)
    assert (proxy and proxy.url) == url


@pytest.mark.parametrize(
    ("named", "host", "exempt"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("A.Example", "a.example", True),
        (".example", "a.example", True),
        ("example", "a.example", True),
        ("a.example", "b.a.example", True),
        ("a.example", "ba.example", False),
        ("b.example, a.example", "a.example", True),
        ("a.example:8080", "a.example:8080", True),
        ("a.example:8080", "a.example:9090", False),
        ("localhost", "localhost:11434", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("::1", "[::1]:8080", True),
        ("fd00::/8", "[fd12::1]", True),
        (" , ", "a.example", False),
        ("", "a.example", False),
    ],
)
def test_no_proxy_exempts(monkeypatch: pytest.MonkeyPatch, named: str, host: str, exempt: bool) -> None:
    """NO_PROXY exempts hosts, domains, ports, addresses and networks, or everything."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", named)
    assert (proxy_for(f"http://{host}/v1") is None) == exempt


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("socks5://u:secret@proxy:1080", "SOCKS"),
        ("socks5h://proxy", "SOCKS"),
        ("socks4://proxy", "SOCKS"),
        ("ftp://u:secret@proxy", "must be http://host:port"),
        ("http://", "must be http://host:port"),
        ("http://u:secret@proxy:port", "is not a valid URL"),
        ("http://[u:secret@proxy", "is not a valid URL"),
        ("http://u:secret@pro xy:3128", "is not a valid URL"),
    ],
)
def test_unusable_proxy_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    """A proxy that is not an HTTP proxy is refused by the name of its variable, without its credentials."""
    monkeypatch.setenv("ALL_PROXY", url)
    proxy = proxy_for("https://a.example/v1")
    assert proxy is not None
    assert proxy.refusal is not None
    assert proxy.refusal.startswith("ALL_PROXY ")
    assert says in proxy.refusal
    assert "secret" not in proxy.refusal
