"""CORS_ORIGINS: cross-origin requests by the rules of WHATWG Fetch."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from app.errors import DatabaseUnavailable
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, messages_path
from tests.support.problems import expect_problem
from tests.support.service import Service, serving, settings
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://app.example"
EXPOSED = "Link, Location, X-Request-ID, Retry-After, Idempotency-Replayed, Preference-Applied"


@contextlib.asynccontextmanager
async def serve_origins(template: SqliteTemplate, *origins: str) -> AsyncIterator[Service]:
    """Start the service with these origins."""
    with template.copy() as url:
        async with serving(settings(database_url=url, cors_origins=list(origins))) as started:
            yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(sqlite_template: SqliteTemplate) -> AsyncIterator[Service]:
    """The service for pages of two origins."""
    async with serve_origins(sqlite_template, "http://localhost:3000", ORIGIN) as started:
        yield started


async def preflight(client: ParleyClient, path: str, origin: str = ORIGIN, **requested: str) -> httpx2.Response:
    """Send a preflight, and return the answer."""
    given = {"Access-Control-Request-Method": "POST"} | {
        f"Access-Control-Request-{name.title()}": value for name, value in requested.items()
    }
    return await client.options(path, headers={"Origin": origin, "X-Request-ID": "mine"} | given)


def header_members(response: httpx2.Response, name: str) -> set[str]:
    """Return the members of a header that is a list."""
    return {each.strip() for each in response.headers[name].split(",")}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/conversations", "/users/ada", f"/conversations/{UNKNOWN_ID}/messages", "/nothing"])
async def test_preflight_allowed(client: ParleyClient, method: str, path: str) -> None:
    """A page of a configured origin may use all methods and the documented headers."""
    headers = "content-type, idempotency-key,last-event-id,prefer,x-request-id,authorization,accept"
    response = await preflight(client, path, method=method, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert method in header_members(response, "access-control-allow-methods")
    allowed = {each.lower() for each in header_members(response, "access-control-allow-headers")}
    assert {each.strip() for each in headers.split(",")} <= allowed
    assert int(response.headers["access-control-max-age"]) > 0
    assert "Origin" in header_members(response, "vary")
    assert response.headers["x-request-id"] == "mine"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("origin", "requested"),
    [
        ("https://evil.example", {}),
        ("http://app.example", {}),
        ("https://app.example:8443", {}),
        ("https://app.example.evil.example", {}),
        ("null", {}),
        (ORIGIN, {"method": "TRACE"}),
        (ORIGIN, {"headers": "content-type, x-surprise"}),
    ],
)
async def test_preflight_refused(client: ParleyClient, origin: str, requested: dict[str, str]) -> None:
    """A preflight with another origin, method or header is refused with a problem."""
    response = await preflight(client, "/conversations", origin, **requested)
    expect_problem(response, 400, "bad-request")
    assert "access-control-allow-origin" not in response.headers
    assert "Origin" in header_members(response, "vary")


async def test_page_reads_every_answer(service: Service) -> None:
    """A page can read answers, streams and refusals, with the exposed headers."""
    client = service.client
    origin = {"Origin": ORIGIN}
    made = (await client.post("/conversations", json={"user_id": "ada", "message": "Hello"}, headers=origin)).json()
    large = b"[" * 600_000
    json_type = origin | {"Content-Type": "application/json"}
    stream = await client.post(messages_path(made), json={"message": "Hello", "stream": True}, headers=origin)
    assert parse_events(stream.text)[-1].name == "message.completed"
    reply = made["messages"][1]["message_id"]
    for status, answer in (
        (200, stream),
        (200, await client.get(conversation_path(made), headers=origin)),
        (204, await client.get(f"{messages_path(made)}/{reply}/events", headers=origin | {"Last-Event-ID": "5-end"})),
        (404, await client.get("/nothing", headers=origin)),
        (405, await client.request("TRACE", "/users", headers=origin)),
        (405, await client.options("/users", headers=origin)),
        (413, await client.post("/users", content=large, headers=json_type)),
        (415, await client.post("/users", content=b"{}", headers=origin)),
        (422, await client.get("/livez?a=1&a=2", headers=origin)),
        (422, await client.post("/users", json=[], headers=origin)),
    ):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-expose-headers"] == EXPOSED
        assert "Origin" in header_members(answer, "vary")


async def test_page_reads_server_errors(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unexpected errors and an unavailable service are readable too."""

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(service.services.users, "get", fail)
    monkeypatch.setattr(service.services.health, "check", unavailable)
    for status, path in ((500, "/users/ada"), (503, "/readyz")):
        answer = await service.client.get(path, headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)


async def unavailable() -> None:
    """Fail like a check without a database."""
    raise DatabaseUnavailable


async def test_other_origins_read_nothing(client: ParleyClient) -> None:
    """An answer to another origin, or to none, has no permission, but `Vary: Origin` for caches."""
    for headers in ({"Origin": "https://evil.example"}, {}):
        answer = await client.get("/livez", headers=headers)
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in header_members(answer, "vary")


async def test_wildcard_allows_any_origin(sqlite_template: SqliteTemplate) -> None:
    """With `*` every origin may send requests, without credentials."""
    async with serve_origins(sqlite_template, "*") as service:
        for answer in (
            await preflight(service.client, "/conversations", "https://anyone.example"),
            await service.client.get("/nothing", headers={"Origin": "null"}),
        ):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers


async def test_no_cors_by_default(sqlite_template: SqliteTemplate) -> None:
    """Without CORS_ORIGINS a preflight is a 405, and no answer has CORS headers."""
    async with serve_origins(sqlite_template) as service:
        conversation = await service.client.create_conversation()
        expect_problem(await preflight(service.client, "/conversations"), 405, "method-not-allowed")
        answer = await service.client.post_message(conversation, "Hello")
        answers = [answer, await service.client.get("/nothing", headers={"Origin": ORIGIN})]
        assert not [
            name for each in answers for name in each.headers if name.startswith("access-control") or name == "vary"
        ]
