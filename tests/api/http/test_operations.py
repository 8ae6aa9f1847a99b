"""Rules of every operation: methods, HEAD, query parameters and line breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from app.domain.documents import Document
from app.main import create_app
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, document_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.rows import row_counts
from tests.support.service import Service, settings
from tests.support.wire import connection, read_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = {path: {*map(str.upper, methods)} for path, methods in create_app(settings()).openapi()["paths"].items()}
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in sorted(methods)]
EVERY_OPERATION = pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
EVERY_PATH = pytest.mark.parametrize("path", [*PATHS, "/openapi.json"])


@pytest.fixture(scope="module")
def shared_database_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database, as these rules are the same on both."""
    with sqlite_template.copy() as url:
        yield url


def fill_ids(path: str) -> str:
    """Replace the parameters of a path by unknown ids."""
    return path.replace("{user_id}", "nobody").format(
        conversation_id=UNKNOWN_ID, message_id=UNKNOWN_ID, document_id=UNKNOWN_ID
    )


async def send(client: ParleyClient, method: str, path: str, query: str = "") -> httpx2.Response:
    """Send a request, with an empty JSON object where a body is possible."""
    body: dict[str, Any] = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
    return await client.request(method, f"{fill_ids(path)}{query}", **body)


@EVERY_PATH
async def test_405_lists_allowed_methods(shared_client: ParleyClient, path: str) -> None:
    """A method that a path does not have is a 405 with all of the path's methods in `Allow`."""
    has = PATHS.get(path, {"GET"}) | ({"HEAD"} if "GET" in PATHS.get(path, {"GET"}) else set())
    for method in METHODS:
        response = await send(shared_client, method, path)
        assert (response.status_code == 405) == (method not in has), method
        if response.status_code == 405:
            assert response.headers["allow"] == ", ".join(sorted(has))
            if method != "HEAD":
                expect_problem(response, 405, "method-not-allowed")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
async def test_literal_path_is_not_an_id(shared_client: ParleyClient, method: str) -> None:
    """`/documents/search` is a path of its own and never the document with that id."""
    for path in ("/documents/search", "/documents/search/", "/documents/search?user_id=ada"):
        response = await shared_client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


@EVERY_OPERATION
async def test_repeated_parameter_refused(shared_service: Service, method: str, path: str) -> None:
    """A repeated query parameter is a 422 that names it, known or not, escaped or not."""
    before = await row_counts(shared_service)
    for query, name in (
        ("user_id=ada&user_id=ada", "user_id"),
        ("limit=1&user_id=ada&limit=2", "limit"),
        ("nonsense=&nonsense", "nonsense"),
        ("user%5Fid=ada&user_id=eve", "user_id"),
        ("a%20b=1&a+b=2", "a b"),
    ):
        problem = expect_problem(await send(shared_service.client, method, path, f"?{query}"), 422, "validation-error")
        assert problem["errors"] == [{"pointer": f"?{name}", "detail": "The parameter is repeated; send it once."}]
    assert await row_counts(shared_service) == before


@EVERY_OPERATION
async def test_empty_user_id_refused(shared_client: ParleyClient, method: str, path: str) -> None:
    """An empty `user_id` in the query, or one that no path can contain, is refused."""
    for query in ("?user_id=", "?user_id", "?user_id=.", "?user_id=%2E%2E"):
        problem = expect_problem(await send(shared_client, method, path, query), 422, "validation-error")
        assert "?user_id" in {each["pointer"] for each in problem["errors"]}


@pytest.mark.parametrize("path", [path for path, methods in PATHS.items() if "GET" in methods and "events" not in path])
async def test_head_equals_get_without_body(client: ParleyClient, path: str) -> None:
    """HEAD returns the status and headers of GET, its length too, without the body."""
    conversation = await client.create_conversation(message="Hello")
    document = await client.ingest(b"Some text.")
    ids = {"user_id": "ada", "conversation_id": conversation["conversation_id"], "document_id": document["document_id"]}
    target = f"{path.format(message_id=conversation['messages'][1]['message_id'], **ids)}?user_id=ada"
    for each in (target, f"{target}&limit=1", f"{target}&nonsense=1"):
        got, head = [await client.request(method, each) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert without_request_id(head) == without_request_id(got)
        assert head.headers["content-length"] == str(len(got.content))
        assert head.headers["x-request-id"]


def without_request_id(response: httpx2.Response) -> dict[str, str]:
    """Return the headers that are equal in two answers to one request."""
    return {name: value for name, value in response.headers.items() if name not in {"x-request-id", "date"}}


async def test_head_of_stream(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """HEAD of an event stream returns its headers at once, and does not affect the turn."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation = await openai_client.create_conversation()
    location = (await openai_client.post_message(conversation, "Hello", background=True)).headers["location"]
    await provider.wait_calls(1)
    live = await openai_client.head(f"{location}/events")
    gate.set()
    await openai_client.wait_until_ended(conversation)
    ended = await openai_client.head(f"{location}/events")
    for each in (live, ended):
        assert (each.status_code, each.content) == (200, b"")
        assert each.headers["content-type"].startswith("text/event-stream")
        assert each.headers["cache-control"] == "no-cache, no-transform"
        assert "content-length" not in each.headers
    done = await openai_client.head(f"{location}/events", headers={"Last-Event-ID": "10-end"})
    assert done.status_code == 204
    document = await openai_client.ingest(b"Some text.")
    states = await openai_client.head(f"{document_path(document)}/events")
    assert (states.status_code, states.content) == (200, b"")
    assert (await openai_client.head(f"/documents/{UNKNOWN_ID}/events")).status_code == 404


async def test_head_of_document_reads_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEAD of a document's content returns its length without a read of it, and keeps the connection."""
    document = await service.client.ingest(b"Some text. " * 10_000)
    fetched, content = [], service.services.documents.content

    async def watched(document: Document) -> AsyncIterator[bytes]:
        async for part in content(document):
            fetched.append(len(part))
            yield part

    monkeypatch.setattr(service.services.documents, "content", watched)
    path = f"{document_path(document)}/content"
    async with connection(service.url) as (reader, writer):
        writer.write(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        head, livez = await read_answer(reader, body=False), await read_answer(reader)
    assert head is not None and livez is not None
    assert (head.status, head.headers["content-length"], fetched) == (200, "110000", [])
    assert livez.json()["status"] == "ok"
    await service.client.get(path)
    assert sum(fetched) == 110_000


@pytest.mark.parametrize("dots", [".", "..", "%2E", "%2e%2E", "./", "%2E/"])
async def test_dot_user_id_in_path_refused(shared_service: Service, dots: str) -> None:
    """A path with a user id of one or two dots is refused, where a client sends it unchanged."""
    for method in (b"GET", b"DELETE"):
        async with connection(shared_service.url) as (reader, writer):
            writer.write(b"%b /users/%b HTTP/1.1\r\nHost: x\r\n\r\n" % (method, dots.encode()))
            answer = await read_answer(reader)
        assert answer is not None and answer.status == 422
        assert answer.json()["errors"][0]["pointer"] == "path/user_id"


@pytest.mark.parametrize("user_id", [".", ".."])
async def test_dot_user_id_in_body_refused(service: Service, user_id: str) -> None:
    """A user id of one or two dots is refused in bodies; three dots, or dots in a name, are accepted."""
    for path, more in (
        ("/users", {}),
        ("/conversations", {"message": "Hello"}),
        ("/documents/search", {"query": "foxes"}),
    ):
        response = await service.client.post(path, json={"user_id": user_id} | more)
        assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"
    response = await service.client.post(
        "/documents", files={"file": ("a.txt", b"Some text.")}, data={"user_id": user_id}
    )
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"
    assert set((await row_counts(service)).values()) == {0}
    for fine in ("...", f"a{user_id}b", f"{user_id}a"):
        location = (await service.client.post("/users", json={"user_id": fine})).headers["location"]
        assert (await service.client.get(location)).json()["user_id"] == fine


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029"])
async def test_unicode_line_breaks_escaped(client: ParleyClient, character: str) -> None:
    """Unicode line breaks, which clients may take for line ends, are escaped in all JSON."""
    text, escape = f"one{character}two\\{character}", f"\\u{ord(character):04x}"
    conversation = await client.create_conversation(message=text, metadata={character: character})
    answers = [
        await client.get(conversation_path(conversation)),
        await client.get(messages_path(conversation)),
        await client.post_message(conversation, text, stream=True),
        await client.get("/livez", params={character: "1"}),
        await client.get("/livez", params=[(character, "1"), (character, "2")]),
        await client.post("/users", json={"user_id": text}),
        await client.post("/users", json={character: 1}),
    ]
    for each in answers:
        assert character not in each.text
        assert escape in each.text
    assert answers[0].json()["messages"][0]["content"] == text
    deltas = [line for line in answers[2].text.splitlines() if line.startswith('data: {"delta"')]
    assert "".join(json.loads(line.removeprefix("data: "))["delta"] for line in deltas) == text
