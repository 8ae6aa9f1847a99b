"""Request bodies that are refused with a problem, and store nothing."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.parley_client import UNKNOWN_ID, ParleyClient
from tests.support.problems import expect_problem
from tests.support.rows import row_counts
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}

CONVERSATIONS = "/conversations"
CONVERSATION = f"/conversations/{UNKNOWN_ID}"
MESSAGES = f"{CONVERSATION}/messages"
MESSAGE = f"{MESSAGES}/{UNKNOWN_ID}"
ROUTES = {
    CONVERSATIONS: ("POST", {"user_id": "eve", "message": "Hello"}),
    CONVERSATION: ("PATCH", {}),
    MESSAGES: ("POST", {"message": "Hello"}),
    MESSAGE: ("PUT", {"content": "Hello"}),
    "/users": ("POST", {"user_id": "eve"}),
    "/users/eve": ("PATCH", {"name": "Eve"}),
}
FIELDS = [(path, name) for path in (CONVERSATIONS, MESSAGES) for name in ("provider", "model")] + [
    (CONVERSATIONS, "user_id"),
    (CONVERSATIONS, "message"),
    (CONVERSATIONS, "title"),
    (CONVERSATIONS, "system_prompt"),
    (CONVERSATION, "title"),
    (CONVERSATION, "system_prompt"),
    (CONVERSATION, "provider"),
    (CONVERSATION, "model"),
    (MESSAGES, "message"),
    (MESSAGE, "content"),
    ("/users", "user_id"),
    ("/users", "name"),
    ("/users/eve", "name"),
]
EVERY_ROUTE = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.replace(UNKNOWN_ID, "id")) for path in ROUTES]
)
UNSTORABLE = ["a\x00b", "a\ud800b", "\udc00", "\ud83d"]

NO_TEXT = [0, 1.5, True, ["a"], {"a": "b"}]
NO_INTEGER = ["1", 1.5, True, [], {}, 0, -1, 10**30, 2**31]
NO_NUMBER = ["1", True, [], {}, -0.1, 2.1, 10**30]
NO_FLAG = ["true", 1, 0, [], {}, None]
NO_OBJECT = ["a", 1, True, [], None]
NO_IDS = ["a", 1, {}, [1], ["a"], [None], [UNKNOWN_ID] * 101]
TOO_MUCH_METADATA = [
    {str(n): "" for n in range(17)},
    {"": "a"},
    {"k" * 65: "a"},
    {"k": "v" * 513},
    {"k": 1},
    {"k": None},
    {"k": {"a": "b"}},
]
SAMPLING: dict[str, list[Any]] = {
    "provider": [*NO_TEXT, ""],
    "model": [*NO_TEXT, "", "m" * 101],
    "temperature": NO_NUMBER,
    "max_tokens": NO_INTEGER,
}
SETTINGS = SAMPLING | {
    "title": [*NO_TEXT, "", " \n", "t" * 201],
    "mode": [*NO_TEXT, "", "OPEN", "closed"],
    "system_prompt": [*NO_TEXT, "s" * 16_001],
    "document_ids": NO_IDS,
    "metadata": [*NO_OBJECT, *TOO_MUCH_METADATA],
}
BLANK = ["", " ", "\n\t \u2003", None]
NO_USER = [1.5, True, False, ["a"], {"a": "b"}, "", " ", "u" * 201, 10**200]
WRONG: dict[str, dict[str, list[Any]]] = {
    CONVERSATIONS: SETTINGS | {"message": [*NO_TEXT, *BLANK[:-1]], "stream": NO_FLAG, "user_id": [*NO_USER, None]},
    CONVERSATION: SETTINGS | {"mode": [*SETTINGS["mode"], None]},
    MESSAGES: SAMPLING | {"message": [*NO_TEXT, *BLANK], "stream": NO_FLAG},
    MESSAGE: {"content": [*NO_TEXT, *BLANK]},
    "/users": {"user_id": NO_USER, "name": [*NO_TEXT, "n" * 201]},
    "/users/eve": {"name": [*NO_TEXT, "n" * 201]},
}


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_stored(shared_service: Service) -> AsyncIterator[None]:
    """Check that a refused request has stored nothing."""
    before = await row_counts(shared_service)
    yield
    assert await row_counts(shared_service) == before


async def send(client: ParleyClient, path: str, body: Any) -> Any:
    """Send a body, as bytes or as JSON with escaped surrogates, and return the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.request(ROUTES[path][0], path, content=content, headers=JSON)


def pointers(problem: dict[str, Any]) -> list[str]:
    """Return the pointers of a problem's errors."""
    return [each["pointer"] for each in problem["errors"]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param(path, field, id=f"{path.replace(UNKNOWN_ID, 'id')}-{field}")
        for path, fields in WRONG.items()
        for field in fields
    ],
)
async def test_wrong_value_refused(shared_client: ParleyClient, path: str, field: str) -> None:
    """Every field refuses values of another type and beyond its limits, with a pointer to the field."""
    for value in WRONG[path][field]:
        response = await send(shared_client, path, ROUTES[path][1] | {field: value})
        problem = expect_problem(response, 422, "validation-error")
        assert all(re.match(rf"#/{field}(/|$)", pointer) for pointer in pointers(problem)), value


@pytest.mark.parametrize(("path", "field"), FIELDS)
@pytest.mark.parametrize("text", UNSTORABLE)
async def test_unstorable_text_refused(shared_client: ParleyClient, path: str, field: str, text: str) -> None:
    """NUL and lone surrogates are refused in every text field."""
    response = await send(shared_client, path, ROUTES[path][1] | {field: text})
    assert pointers(expect_problem(response, 422, "validation-error")) == [f"#/{field}"]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize("path", [CONVERSATIONS, CONVERSATION])
async def test_unstorable_metadata_refused(shared_client: ParleyClient, path: str, text: str) -> None:
    """NUL and lone surrogates are refused in metadata, as keys and as values."""
    for metadata in ({"key": text}, {text: "value"}):
        response = await send(shared_client, path, ROUTES[path][1] | {"metadata": metadata})
        assert pointers(expect_problem(response, 422, "validation-error"))[0].startswith("#/metadata/")


@EVERY_ROUTE
@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("unheard_of", "#/unheard_of"),
        ("a/b~c", "#/a~1b~0c"),
        ("", "#/"),
        ("\ud800", "#"),
        ("x" * 300, "#/" + "x" * 100),
    ],
)
async def test_unknown_field_refused(shared_client: ParleyClient, path: str, name: str, pointer: str) -> None:
    """An unknown field is refused with a JSON Pointer to it, whatever its name."""
    response = await send(shared_client, path, ROUTES[path][1] | {name: 1})
    assert pointers(expect_problem(response, 422, "validation-error")) == [pointer]


@pytest.mark.parametrize("path", [MESSAGES, CONVERSATIONS])
async def test_service_owned_fields_refused(shared_client: ParleyClient, path: str) -> None:
    """A caller cannot set a message's role, sequence number, status, time or id."""
    own = dict.fromkeys(("role", "sequence_number", "status", "created_at", "message_id"), "x")
    problem = expect_problem(await send(shared_client, path, ROUTES[path][1] | own), 422, "validation-error")
    assert set(pointers(problem)) == {f"#/{name}" for name in own}


@pytest.mark.parametrize(("path", "field"), [(CONVERSATIONS, "message"), (MESSAGES, "message"), (MESSAGE, "content")])
async def test_message_limit_in_characters(shared_client: ParleyClient, path: str, field: str) -> None:
    """A message of 32,001 characters is `message-too-long`, however many bytes a character has."""
    for character in ("a", "é", "😀"):
        response = await send(shared_client, path, ROUTES[path][1] | {field: character * 32_001})
        assert pointers(expect_problem(response, 422, "message-too-long")) == [f"#/{field}"]


@EVERY_ROUTE
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"nonsense",
        b'{"message": "a",}',
        b"{'a': 1}",
        b"\xff\xfe\xfd",
        b'{"message": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 5_000,
        b'{"user_id": ' + b"1" * 5_000 + b"}",
    ],
    ids=lambda body: f"{body[:12]!r}x{len(body)}",
)
async def test_invalid_json_refused(shared_client: ParleyClient, path: str, body: bytes) -> None:
    """Broken, missing, wrongly encoded and deeply nested JSON is a 422."""
    expect_problem(await send(shared_client, path, body), 422, "validation-error")


@EVERY_ROUTE
@pytest.mark.parametrize("body", [b"null", b"[]", b"[{}]", b"1", b'"text"', b"true", b"1e999", b"NaN", b"-Infinity"])
async def test_json_without_object_refused(shared_client: ParleyClient, path: str, body: bytes) -> None:
    """JSON that is not an object is a 422."""
    expect_problem(await send(shared_client, path, body), 422, "validation-error")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"1" + b"0" * 400])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "user_id", "message", "stream", "metadata"])
async def test_unbounded_number_refused(shared_client: ParleyClient, field: str, number: bytes) -> None:
    """NaN, infinities and numbers that no type can hold are refused in every field."""
    body = b'{"message": "Hello", "user_id": "eve", "%b": %b}' % (field.encode(), number)
    problem = expect_problem(await send(shared_client, CONVERSATIONS, body), 422, "validation-error")
    assert pointers(problem) == [f"#/{field}"]


@EVERY_ROUTE
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
        "json",
    ],
)
async def test_other_content_type_refused(shared_client: ParleyClient, path: str, content_type: str) -> None:
    """A body whose content type is not JSON, or is missing, is a 415."""
    method, body = ROUTES[path]
    headers = {"Content-Type": content_type} if content_type else {}
    content = json.dumps(body).encode()
    response = await shared_client.request(method, path, content=content, headers=headers)
    expect_problem(response, 415, "unsupported-media-type")


@EVERY_ROUTE
async def test_large_body_refused(shared_client: ParleyClient, path: str) -> None:
    """A body of more than 512 KB is a 413, before its JSON is parsed."""
    for body in (b"[" * 600_000, b" " * (512 * 1024 + 1)):
        expect_problem(await send(shared_client, path, body), 413, "payload-too-large")


@EVERY_ROUTE
async def test_large_chunked_body_refused(shared_client: ParleyClient, path: str) -> None:
    """A chunked body is a 413 as soon as more than 512 KB have arrived."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"[" * 60_000

    response = await shared_client.request(ROUTES[path][0], path, content=chunks(), headers=JSON)
    expect_problem(response, 413, "payload-too-large")


async def test_whole_float_is_an_integer(client: ParleyClient) -> None:
    """As in JSON Schema, 1.0 is the integer 1 where a body takes one."""
    conversation = await client.create_conversation(user_id=1.0, max_tokens=10.0)
    assert (conversation["user_id"], conversation["max_tokens"]) == ("1", 10)
    searched = await client.post("/documents/search", json={"user_id": 1, "query": "a", "limit": 2.0})
    assert searched.status_code == 200
    await client.delete("/users/1")


@pytest.mark.parametrize("limit", ["8", True, 8.5, 0, 101, None])
async def test_search_limit_is_an_integer(client: ParleyClient, limit: object) -> None:
    """The `limit` of a search is an integer from 1 to 100."""
    response = await client.post("/documents/search", json={"user_id": "eve", "query": "a", "limit": limit})
    assert pointers(expect_problem(response, 422, "validation-error")) == ["#/limit"]
