"""A check that every response to a test's client is in the OpenAPI document."""

from __future__ import annotations

import contextlib
import functools
import re
from typing import Any

import httpx2

from app.api.app import build_app

PROBLEM = "application/problem+json"


class Documented:
    """The documented responses of all operations; `check` is a response hook of httpx2."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._headers = document["components"]["headers"]
        # What is written out comes before a parameter.
        paths = sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
        self._paths = [(pattern_of(path), methods) for path, methods in paths]

    async def check(self, response: httpx2.Response) -> None:
        """Check a response that has not been read yet.

        Raises:
            AssertionError: its operation has no such status, media type, header or code of a problem.
        """
        responses = self._responses(response.request)
        if responses is None:
            return
        request = f"{response.request.method} {response.request.url}"
        status = str(response.status_code)
        assert status in responses, f"{request} answered {status}"
        documented = responses[status]
        media_type = response.headers.get("content-type", "").partition(";")[0]
        assert media_type in documented.get("content", {"": {}}), f"{request} answered {status} with {media_type}"
        for name, header in documented["headers"].items():
            described = self._headers[header["$ref"].rpartition("/")[2]] if "$ref" in header else header
            required = described.get("required", False)
            assert name in response.headers or not required, f"{request} answered {status} without {name}"
        if media_type == PROBLEM and response.request.method != "HEAD":
            await response.aread()
            codes = documented["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]
            assert response.json()["code"] in codes, f"{request} answered {status} {response.json()['code']}"

    def _responses(self, request: httpx2.Request) -> dict[str, Any] | None:
        """Return the responses of a request's operation; None for an unknown path or method."""
        method = "get" if request.method == "HEAD" else request.method.lower()
        path = request.url.path.rstrip("/") or "/"
        for pattern, methods in self._paths:
            if pattern.fullmatch(path):
                operation = methods.get(method)
                return None if operation is None else operation["responses"]
        return None


def pattern_of(path: str) -> re.Pattern[str]:
    """Return a pattern for the paths of a template; only user ids may have slashes."""
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{user_id}", "(?s:.+)")))


@functools.cache
def documented() -> Documented:
    """Return the service's documented responses, built once."""
    return Documented(build_app(contextlib.nullcontext).openapi())


def checked_client(base_url: str = "") -> httpx2.AsyncClient:
    """Return a client that checks every response; it loads no certificates, which takes as long as several tests."""
    checks = {"response": [documented().check]}
    return httpx2.AsyncClient(base_url=base_url, timeout=30, verify=False, event_hooks=checks)
