"""Paths, query parameters and headers that are refused with a problem, and store nothing."""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, message_path
from tests.support.problems import expect_problem
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONVERSATION = f"/conversations/{UNKNOWN_ID}"
MESSAGE = f"{CONVERSATION}/messages/{UNKNOWN_ID}"
MESSAGES = f"{CONVERSATION}/messages"
DOCUMENT = f"/documents/{UNKNOWN_ID}"
ROUTES: dict[tuple[str, str], Any] = {
    ("GET", "/"): None,
    ("GET", "/health"): None,
    ("GET", "/livez"): None,
    ("GET", "/readyz"): None,
    ("POST", "/conversations"): {"user_id": "eve", "message": "Hello"},
    ("GET", "/conversations"): None,
    ("GET", CONVERSATION): None,
    ("PATCH", CONVERSATION): {"title": "New"},
    ("POST", MESSAGES): {"message": "Hello"},
    ("GET", MESSAGES): None,
    ("GET", MESSAGE): None,
    ("PUT", MESSAGE): {"content": "Hello"},
    ("DELETE", MESSAGE): None,
    ("DELETE", CONVERSATION): None,
    ("GET", "/documents"): None,
    ("POST", "/documents/search"): {"user_id": "eve", "query": "foxes"},
    ("GET", DOCUMENT): None,
    ("GET", f"{DOCUMENT}/text"): None,
    ("GET", f"{DOCUMENT}/content"): None,
    ("GET", f"{DOCUMENT}/events"): None,
    ("DELETE", DOCUMENT): None,
    ("POST", "/users"): {"user_id": "eve"},
    ("GET", "/users/eve"): None,
    ("PATCH", "/users/eve"): {"name": "Eve"},
    ("DELETE", "/users/eve"): None,
}
EVERY_ROUTE = pytest.mark.parametrize(
    "route", [pytest.param(route, id=" ".join(route).replace(UNKNOWN_ID, "id")) for route in ROUTES]
)
WITH_IDS = [route for route in ROUTES if UNKNOWN_ID in route[1]]
BAD_IDS = ["1", "nonsense", UNKNOWN_ID[:-1], f"{UNKNOWN_ID}0", "'; DROP TABLE users; --", "%00", "%F0%9F%98%80", "null"]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_stored(shared_service: Service) -> AsyncIterator[None]:
    """Check that a refused request has stored nothing."""
    before = await row_counts(shared_service)
    yield
    assert await row_counts(shared_service) == before


async def send(client: ParleyClient, route: tuple[str, str], path: str = "", **options: Any) -> httpx2.Response:
    """Send a valid request of a route, to another path if one is given."""
    return await client.request(route[0], path or route[1], json=ROUTES[route], **options)


@pytest.mark.parametrize("bad", BAD_IDS)
async def test_path_id_not_a_uuid_refused(shared_client: ParleyClient, bad: str) -> None:
    """A path id that is not a UUID is a 422 with a pointer to it, on every route."""
    for route in WITH_IDS:
        response = await send(shared_client, route, route[1].replace(UNKNOWN_ID, bad))
        problem = expect_problem(response, 422, "validation-error")
        assert problem["errors"][0]["pointer"] in {"path/conversation_id", "path/message_id", "path/document_id"}


async def test_uppercase_uuid_accepted(shared_client: ParleyClient) -> None:
    """A UUID in upper-case letters names the same conversation."""
    conversation = await shared_client.create_conversation()
    response = await shared_client.get(
        conversation_path(conversation).upper().replace("/CONVERSATIONS", "/conversations")
    )
    assert response.json()["conversation_id"] == conversation["conversation_id"]
    await shared_client.delete("/users/ada")


async def test_list_requires_user(shared_client: ParleyClient) -> None:
    """The list of conversations without `user_id` is a 422 that names the parameter."""
    problem = expect_problem(await shared_client.get("/conversations"), 422, "validation-error")
    assert [each["pointer"] for each in problem["errors"]] == ["?user_id"]


@EVERY_ROUTE
async def test_unknown_parameter_refused(shared_client: ParleyClient, route: tuple[str, str]) -> None:
    """A query parameter that a route does not have is a 422 that names it."""
    response = await send(shared_client, route, params={"user_id": "eve", "nonsense": "1"})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "?nonsense"


@EVERY_ROUTE
async def test_bad_user_id_in_query_refused(shared_client: ParleyClient, route: tuple[str, str]) -> None:
    """A `user_id` in the query follows the rules of the body's, on every route."""
    for user_id in ("", " ", "u" * 201, "a\x00b"):
        response = await send(shared_client, route, params={"user_id": user_id})
        assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "?user_id"


@pytest.mark.parametrize("user_id", ["%20", "%00", "a%00b", "u" * 201])
async def test_bad_user_id_in_path_refused(shared_client: ParleyClient, user_id: str) -> None:
    """A user's id in a path follows the same rules."""
    for method in ("GET", "PATCH", "DELETE"):
        response = await send(shared_client, (method, "/users/eve"), f"/users/{user_id}")
        assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "path/user_id"


@pytest.mark.parametrize("path", ["/conversations", "/users"])
async def test_body_and_query_name_one_user(shared_client: ParleyClient, path: str) -> None:
    """A `user_id` in the query that differs from the body's is refused."""
    body = {"user_id": "eve"}
    response = await shared_client.post(path, json=body, params={"user_id": "ada"})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"


@pytest.mark.parametrize("path", ["/conversations", MESSAGES])
@pytest.mark.parametrize(
    "limit", ["0", "-1", "101", "1000000000", "1" * 30, "1" * 5000, "", "ten", "1.5", "1e1", "NaN"]
)
async def test_limit_between_1_and_100(shared_client: ParleyClient, path: str, limit: str) -> None:
    """A `limit` that is not a number from 1 to 100 is refused."""
    response = await shared_client.get(path, params={"user_id": "eve", "limit": limit})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "?limit"


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("value", ["-1", "1" * 30, str(2**31), "", "ten", "1.5", "'"])
async def test_bound_is_a_sequence_number(shared_client: ParleyClient, name: str, value: str) -> None:
    """`after` and `before` are whole numbers from 0 on."""
    response = await shared_client.get(MESSAGES, params={name: value})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == f"?{name}"


@pytest.mark.parametrize(("path", "name"), [("/conversations", "mode"), (MESSAGES, "order")], ids=["mode", "order"])
@pytest.mark.parametrize("value", ["", "OPEN", "ASC", "asc;--", "nonsense"])
async def test_enum_parameter_refused(shared_client: ParleyClient, path: str, name: str, value: str) -> None:
    """`mode` and `order` accept the documented words only."""
    response = await shared_client.get(path, params={"user_id": "eve", name: value})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == f"?{name}"


def encode_cursor(place: bytes, checksum: bool = True) -> str:
    """Encode a cursor of other bytes than a page gives."""
    data = place + zlib.crc32(place).to_bytes(4) if checksum else place
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "a" * 100,
        "a" * 101,
        "AAAA=",
        "é",
        "\x00",
        "' OR 1=1 --",
        encode_cursor(b""),
        encode_cursor(b"\x00" * 23),
        encode_cursor(b"\x00" * 28, checksum=False),
        encode_cursor(b"\xff" * 28, checksum=False),
        encode_cursor(b"\x00" * 24) + "=",
        encode_cursor(b"\x00" * 24)[:-1] + "B",
    ],
)
async def test_invalid_cursor_refused(shared_client: ParleyClient, cursor: str) -> None:
    """A cursor that no page has returned is a 422 that names it."""
    response = await shared_client.get("/conversations", params={"user_id": "eve", "cursor": cursor})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "?cursor"


@pytest.mark.parametrize("place", [b"\x00" * 24, b"\x7f" + b"\xff" * 23, b"\x80" + b"\x00" * 23])
async def test_forged_cursor_is_a_position(shared_client: ParleyClient, place: bytes) -> None:
    """A cursor with a valid checksum gives a page and never an error, at any position."""
    response = await shared_client.get("/conversations", params={"user_id": "eve", "cursor": encode_cursor(place)})
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/conversation", "/conversations//messages", f"{CONVERSATION}/message", f"{MESSAGE}/x", "/docs"],
)
async def test_unknown_path_is_404(shared_client: ParleyClient, path: str) -> None:
    """An unknown path is a 404 problem, whatever the method and the body."""
    for route in (("GET", MESSAGE), ("POST", MESSAGES), ("DELETE", MESSAGE)):
        expect_problem(await send(shared_client, route, path), 404, "not-found")


@EVERY_ROUTE
async def test_unsupported_method_is_405(shared_client: ParleyClient, route: tuple[str, str]) -> None:
    """A method that a path does not have is a 405 with `Allow`."""
    response = await shared_client.request("TRACE", route[1])
    expect_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/conversations", CONVERSATION])
@pytest.mark.parametrize("given", ["abc-123", "0199f000-0000-7000-8000-000000000000", "!~" * 64])
async def test_request_id_echoed(shared_client: ParleyClient, path: str, given: str) -> None:
    """The caller's `X-Request-ID` is returned with every answer."""
    response = await shared_client.get(path, headers={"X-Request-ID": given})
    assert response.headers.get_list("x-request-id") == [given]
    assert response.is_success or response.json()["request_id"] == given


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"caf\xc3\xa9", b"tab\there"])
async def test_invalid_request_id_replaced(shared_client: ParleyClient, given: bytes) -> None:
    """A missing, long or unprintable `X-Request-ID` is replaced by a new one."""
    for headers in ([(b"X-Request-ID", given)], []):
        response = await shared_client.get("/nothing", headers=headers)
        request_id = expect_problem(response, 404, "not-found")["request_id"]
        assert uuid.UUID(request_id).version == 7


async def test_trailing_slash_accepted(shared_client: ParleyClient) -> None:
    """Every path answers with a trailing slash as without it, never by a redirect."""
    conversation = await shared_client.create_conversation(user_id="eve", message="Hello")
    message = message_path(conversation["messages"][0])
    for route in ROUTES:
        document = await shared_client.ingest(b"Foxes.", user_id="eve")
        path = route[1].replace(MESSAGE, message).replace(CONVERSATION, conversation_path(conversation))
        path = path.replace(UNKNOWN_ID, document["document_id"])
        response = await send(shared_client, route, f"{path}/", params={"user_id": "eve"})
        assert response.is_success, response.text


async def test_stream_with_trailing_slash(shared_client: ParleyClient) -> None:
    """A stream is answered on a path with a trailing slash too."""
    body = {"user_id": "eve", "message": "Hello", "stream": True}
    response = await shared_client.post("/conversations/", json=body)
    assert parse_events(response.text)[-1].name == "message.completed"
    await shared_client.delete("/users/eve")
