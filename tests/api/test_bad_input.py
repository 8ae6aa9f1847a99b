"""Bodies that are refused: each a clear problem, and nothing stored."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.api.talk import UNKNOWN_ID, make, problem_of, row_counts
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
    """Looks whether a refused request has left anything behind."""
    before = await row_counts(shared_service)
    yield
    assert await row_counts(shared_service) == before


async def sent(service: Service, path: str, body: Any) -> Any:
    """The answer to a body that may be anything JSON can say, halves of surrogate pairs as escapes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.client.request(ROUTES[path][0], path, content=content, headers=JSON)


def pointers(problem: dict[str, Any]) -> list[str]:
    """Where a refusal says that something is wrong."""
    return [each["pointer"] for each in problem["errors"]]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param(path, field, id=f"{path.replace(UNKNOWN_ID, 'id')}-{field}")
        for path, fields in WRONG.items()
        for field in fields
    ],
)
async def test_a_wrong_value_is_refused(shared_service: Service, path: str, field: str) -> None:
    """Every field refuses values of another type and beyond its limits, and says which field it was."""
    for value in WRONG[path][field]:
        response = await sent(shared_service, path, ROUTES[path][1] | {field: value})
        problem = problem_of(response, 422, "validation-error")
        assert all(re.match(rf"#/{field}(/|$)", pointer) for pointer in pointers(problem)), value


@pytest.mark.parametrize(("path", "field"), FIELDS)
@pytest.mark.parametrize("text", UNSTORABLE)
async def test_unstorable_text_is_refused(shared_service: Service, path: str, field: str, text: str) -> None:
    """NUL and lone surrogates are refused in every text field."""
    response = await sent(shared_service, path, ROUTES[path][1] | {field: text})
    assert pointers(problem_of(response, 422, "validation-error")) == [f"#/{field}"]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize("path", [CONVERSATIONS, CONVERSATION])
async def test_unstorable_metadata_is_refused(shared_service: Service, path: str, text: str) -> None:
    """NUL and lone surrogates are refused in metadata, as keys and as values."""
    for metadata in ({"key": text}, {text: "value"}):
        response = await sent(shared_service, path, ROUTES[path][1] | {"metadata": metadata})
        assert pointers(problem_of(response, 422, "validation-error"))[0].startswith("#/metadata/")


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
async def test_an_unknown_field_is_refused_by_name(shared_service: Service, path: str, name: str, pointer: str) -> None:
    """A field that is not known is refused, with a JSON Pointer to it, whatever its name."""
    response = await sent(shared_service, path, ROUTES[path][1] | {name: 1})
    assert pointers(problem_of(response, 422, "validation-error")) == [pointer]


@pytest.mark.parametrize("path", [MESSAGES, CONVERSATIONS])
async def test_fields_that_are_the_services_are_refused(shared_service: Service, path: str) -> None:
    """A caller cannot say what role, number, state, time or id a message has."""
    own = dict.fromkeys(("role", "sequence_number", "status", "created_at", "message_id"), "x")
    problem = problem_of(await sent(shared_service, path, ROUTES[path][1] | own), 422, "validation-error")
    assert set(pointers(problem)) == {f"#/{name}" for name in own}


@pytest.mark.parametrize(("path", "field"), [(CONVERSATIONS, "message"), (MESSAGES, "message"), (MESSAGE, "content")])
async def test_a_message_has_32000_characters_at_most(shared_service: Service, path: str, field: str) -> None:
    """A message of 32,001 characters has a refusal of its own, whatever a character takes in bytes."""
    for character in ("a", "é", "😀"):
        response = await sent(shared_service, path, ROUTES[path][1] | {field: character * 32_001})
        assert pointers(problem_of(response, 422, "message-too-long")) == [f"#/{field}"]


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
async def test_what_is_no_json_is_refused(shared_service: Service, path: str, body: bytes) -> None:
    """Broken, missing, wrongly encoded and endlessly nested JSON are refused with 422."""
    problem_of(await sent(shared_service, path, body), 422, "validation-error")


@EVERY_ROUTE
@pytest.mark.parametrize("body", [b"null", b"[]", b"[{}]", b"1", b'"text"', b"true", b"1e999", b"NaN", b"-Infinity"])
async def test_a_body_that_is_no_object_is_refused(shared_service: Service, path: str, body: bytes) -> None:
    """JSON that is anything but an object is refused."""
    problem_of(await sent(shared_service, path, body), 422, "validation-error")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"1" + b"0" * 400])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "user_id", "message", "stream", "metadata"])
async def test_numbers_beyond_all_bounds_are_refused(shared_service: Service, field: str, number: bytes) -> None:
    """What JSON cannot say and what no number type holds is refused in every field."""
    body = b'{"message": "Hello", "user_id": "eve", "%b": %b}' % (field.encode(), number)
    problem = problem_of(await sent(shared_service, CONVERSATIONS, body), 422, "validation-error")
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
async def test_another_content_type_is_refused(shared_service: Service, path: str, content_type: str) -> None:
    """A body that does not call itself JSON, or calls itself nothing, is a 415."""
    method, body = ROUTES[path]
    headers = {"Content-Type": content_type} if content_type else {}
    content = json.dumps(body).encode()
    response = await shared_service.client.request(method, path, content=content, headers=headers)
    problem_of(response, 415, "unsupported-media-type")


@EVERY_ROUTE
async def test_a_large_body_is_refused(shared_service: Service, path: str) -> None:
    """A body of more than 512 KB is a 413, before anybody looks whether it is JSON."""
    for body in (b"[" * 600_000, b" " * (512 * 1024 + 1)):
        problem_of(await sent(shared_service, path, body), 413, "payload-too-large")


@EVERY_ROUTE
async def test_a_large_body_of_unknown_length_is_refused(shared_service: Service, path: str) -> None:
    """A chunked body is a 413 as soon as more than 512 KB of it have come."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"[" * 60_000

    response = await shared_service.client.request(ROUTES[path][0], path, content=chunks(), headers=JSON)
    problem_of(response, 413, "payload-too-large")


async def test_a_number_without_a_fraction_is_an_integer(service: Service) -> None:
    """As in JSON Schema, 1.0 is the integer 1 where a body asks for one."""
    made = await make(service, user_id=1.0, max_tokens=10.0)
    assert (made["user_id"], made["max_tokens"]) == ("1", 10)
    searched = await service.client.post("/documents/search", json={"user_id": 1, "query": "a", "limit": 2.0})
    assert searched.status_code == 200
    await service.client.delete("/users/1")


@pytest.mark.parametrize("limit", ["8", True, 8.5, 0, 101, None])
async def test_the_limit_of_a_search_is_an_integer(service: Service, limit: object) -> None:
    """In a body a number is JSON's own."""
    response = await service.client.post("/documents/search", json={"user_id": "eve", "query": "a", "limit": limit})
    assert pointers(problem_of(response, 422, "validation-error")) == ["#/limit"]
