"""Paths, queries and headers that are refused: each a clear problem, and nothing stored."""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.api.talk import UNKNOWN_ID, events_of, make, messages_of, path_of, problem_of, row_counts
from tests.support.service import Service
from tests.support.uploads import read, uploaded

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
    """Looks whether a refused request has left anything behind."""
    before = await row_counts(shared_service)
    yield
    assert await row_counts(shared_service) == before


async def sent(service: Service, route: tuple[str, str], path: str = "", **options: Any) -> httpx2.Response:
    """The answer to a request of a route with a good body, at another path if one is given."""
    return await service.client.request(route[0], path or route[1], json=ROUTES[route], **options)


@pytest.mark.parametrize("bad", BAD_IDS)
async def test_what_is_no_uuid_is_refused(shared_service: Service, bad: str) -> None:
    """An id in a path that is no UUID is a 422 that says where, on every route."""
    for route in WITH_IDS:
        response = await sent(shared_service, route, route[1].replace(UNKNOWN_ID, bad))
        problem = problem_of(response, 422, "validation-error")
        assert problem["errors"][0]["pointer"] in {"path/conversation_id", "path/message_id", "path/document_id"}


async def test_a_uuid_may_be_written_in_capitals(shared_service: Service) -> None:
    """Another spelling of an id is the same id."""
    made = await make(shared_service)
    response = await shared_service.client.get(path_of(made).upper().replace("/CONVERSATIONS", "/conversations"))
    assert response.json()["conversation_id"] == made["conversation_id"]
    await shared_service.client.delete("/users/ada")


async def test_a_list_needs_its_user(shared_service: Service) -> None:
    """The list of conversations without `user_id` is a 422 that names it."""
    problem = problem_of(await shared_service.client.get("/conversations"), 422, "validation-error")
    assert [each["pointer"] for each in problem["errors"]] == ["?user_id"]


@EVERY_ROUTE
async def test_unknown_query_parameters_are_refused(shared_service: Service, route: tuple[str, str]) -> None:
    """A query parameter that a route does not know is a 422 that names it."""
    response = await sent(shared_service, route, params={"user_id": "eve", "nonsense": "1"})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "?nonsense"


@EVERY_ROUTE
async def test_a_bad_user_id_in_the_query_is_refused(shared_service: Service, route: tuple[str, str]) -> None:
    """The query parameter `user_id`, which every path takes, is refused by the rules of the body's."""
    for user_id in ("", " ", "u" * 201, "a\x00b"):
        response = await sent(shared_service, route, params={"user_id": user_id})
        assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "?user_id"


@pytest.mark.parametrize("user_id", ["%20", "%00", "a%00b", "u" * 201])
async def test_a_bad_user_id_in_the_path_is_refused(shared_service: Service, user_id: str) -> None:
    """A user's id in a path follows the same rules."""
    for method in ("GET", "PATCH", "DELETE"):
        response = await sent(shared_service, (method, "/users/eve"), f"/users/{user_id}")
        assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "path/user_id"


@pytest.mark.parametrize("path", ["/conversations", "/users"])
async def test_a_body_and_its_query_name_one_user(shared_service: Service, path: str) -> None:
    """A `user_id` in the query that is not the body's is refused."""
    body = {"user_id": "eve"}
    response = await shared_service.client.post(path, json=body, params={"user_id": "ada"})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"


@pytest.mark.parametrize("path", ["/conversations", MESSAGES])
@pytest.mark.parametrize(
    "limit", ["0", "-1", "101", "1000000000", "1" * 30, "1" * 5000, "", "ten", "1.5", "1e1", "NaN"]
)
async def test_a_limit_is_between_1_and_100(shared_service: Service, path: str, limit: str) -> None:
    """A limit that is no number from 1 to 100 is refused."""
    response = await shared_service.client.get(path, params={"user_id": "eve", "limit": limit})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "?limit"


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("value", ["-1", "1" * 30, str(2**31), "", "ten", "1.5", "'"])
async def test_a_bound_is_a_sequence_number(shared_service: Service, name: str, value: str) -> None:
    """`after` and `before` are whole numbers from 0 on."""
    response = await shared_service.client.get(MESSAGES, params={name: value})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == f"?{name}"


@pytest.mark.parametrize(("path", "name"), [("/conversations", "mode"), (MESSAGES, "order")], ids=["mode", "order"])
@pytest.mark.parametrize("value", ["", "OPEN", "ASC", "asc;--", "nonsense"])
async def test_a_choice_is_one_of_its_words(shared_service: Service, path: str, name: str, value: str) -> None:
    """`mode` and `order` take the words of the contract and no others."""
    response = await shared_service.client.get(path, params={"user_id": "eve", name: value})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == f"?{name}"


def made_up(place: bytes, checksum: bool = True) -> str:
    """A cursor that holds other bytes than ours do."""
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
        made_up(b""),
        made_up(b"\x00" * 23),
        made_up(b"\x00" * 28, checksum=False),
        made_up(b"\xff" * 28, checksum=False),
        made_up(b"\x00" * 24) + "=",
        made_up(b"\x00" * 24)[:-1] + "B",
    ],
)
async def test_a_cursor_that_is_not_ours_is_refused(shared_service: Service, cursor: str) -> None:
    """A cursor that no page has given is a 422 that names it."""
    response = await shared_service.client.get("/conversations", params={"user_id": "eve", "cursor": cursor})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "?cursor"


@pytest.mark.parametrize("place", [b"\x00" * 24, b"\x7f" + b"\xff" * 23, b"\x80" + b"\x00" * 23])
async def test_a_well_made_cursor_is_only_a_place(shared_service: Service, place: bytes) -> None:
    """A cursor with a right check sum, at whatever place, gives a page and never an error."""
    response = await shared_service.client.get("/conversations", params={"user_id": "eve", "cursor": made_up(place)})
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/conversation", "/conversations//messages", f"{CONVERSATION}/message", f"{MESSAGE}/x", "/docs"],
)
async def test_an_unknown_path_is_a_404(shared_service: Service, path: str) -> None:
    """A path that leads nowhere is a problem too, whatever the method and the body."""
    for route in (("GET", MESSAGE), ("POST", MESSAGES), ("DELETE", MESSAGE)):
        problem_of(await sent(shared_service, route, path), 404, "not-found")


@EVERY_ROUTE
async def test_another_method_is_a_405(shared_service: Service, route: tuple[str, str]) -> None:
    """A method that a path does not have is a 405 with `Allow`."""
    response = await shared_service.client.request("TRACE", route[1])
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/conversations", CONVERSATION])
@pytest.mark.parametrize("given", ["abc-123", "0199f000-0000-7000-8000-000000000000", "!~" * 64])
async def test_a_request_id_is_echoed(shared_service: Service, path: str, given: str) -> None:
    """The caller's `X-Request-ID` comes back on every answer."""
    response = await shared_service.client.get(path, headers={"X-Request-ID": given})
    assert response.headers.get_list("x-request-id") == [given]
    assert response.is_success or response.json()["request_id"] == given


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"caf\xc3\xa9", b"tab\there"])
async def test_a_silly_request_id_is_replaced(shared_service: Service, given: bytes) -> None:
    """A missing, long or unprintable `X-Request-ID` is replaced by one of ours."""
    for headers in ([(b"X-Request-ID", given)], []):
        response = await shared_service.client.get("/nothing", headers=headers)
        request_id = problem_of(response, 404, "not-found")["request_id"]
        assert uuid.UUID(request_id).version == 7


async def test_paths_answer_with_a_trailing_slash(shared_service: Service) -> None:
    """Every path answers with a slash at its end as without, and never by a redirect."""
    made = await make(shared_service, user_id="eve", message="Hello")
    message = f"{messages_of(made)}/{made['messages'][0]['message_id']}"
    for route in ROUTES:
        document = await read(shared_service.client, await uploaded(shared_service.client, b"Foxes.", user_id="eve"))
        path = route[1].replace(MESSAGE, message).replace(CONVERSATION, path_of(made))
        path = path.replace(UNKNOWN_ID, document["document_id"])
        response = await sent(shared_service, route, f"{path}/", params={"user_id": "eve"})
        assert response.is_success, response.text


async def test_a_stream_answers_with_a_trailing_slash(shared_service: Service) -> None:
    """A stream is found with a slash too."""
    body = {"user_id": "eve", "message": "Hello", "stream": True}
    response = await shared_service.client.post("/conversations/", json=body)
    assert events_of(response.text)[-1].name == "message.completed"
    await shared_service.client.delete("/users/eve")
