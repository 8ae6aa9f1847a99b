"""Problem documents (RFC 9457), the body of every error answer."""

from __future__ import annotations

from typing import Any

import httpx2

from app.api.openapi import Problem


def expect_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem document, having checked its status, its code and the members that all have."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    Problem.model_validate(document)
    assert (response.status_code, document["code"]) == (status, code), document
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (status in {429, 503})
    assert int(response.headers.get("retry-after", 1)) >= 1
    return document


def without_request_id(response: httpx2.Response) -> dict[str, Any]:
    """Return a problem document without its request id, to compare it with another."""
    return {name: value for name, value in response.json().items() if name != "request_id"}
