from __future__ import annotations

import httpx
import httpx2
import pytest

from app.http.sdk_client import tls_context


def test_certificates_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients share a TLS context, except those of another library or with other certificates."""
    shared = tls_context(httpx2)
    assert tls_context(httpx2) is shared
    assert tls_context(httpx) is not shared
    monkeypatch.setenv("SSL_CERT_DIR", "certificates")
    assert tls_context(httpx2) is not shared
