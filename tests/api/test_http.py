"""What holds for every operation: its methods, HEAD, its query."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from app.domain.documents import Document
from app.main import create_app
from tests.api.talk import UNKNOWN_ID, make, messages_of, path_of, problem_of, row_counts, say, until_ended
from tests.support.databases import SqliteTemplate
from tests.support.provider import FakeProvider
from tests.support.service import Service, settings
from tests.support.uploads import read, uploaded
from tests.support.wire import connection, read_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = {path: {*map(str.upper, methods)} for path, methods in create_app(settings()).openapi()["paths"].items()}
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in sorted(methods)]
EVERY_OPERATION = pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
EVERY_PATH = pytest.mark.parametrize("path", [*PATHS, "/openapi.json"])


@pytest.fixture(scope="module")
def shared_database_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One database: what is looked at here is before any."""
    with sqlite_template.copy() as url:
        yield url


def with_ids(path: str) -> str:
    """A path with ids in its braces that were never given."""
    return path.replace("{user_id}", "nobody").format(
        conversation_id=UNKNOWN_ID, message_id=UNKNOWN_ID, document_id=UNKNOWN_ID
    )


async def sent(service: Service, method: str, path: str, query: str = "") -> httpx2.Response:
    """The answer to a request that may have a body, and has an empty one then."""
    body: dict[str, Any] = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
    return await service.client.request(method, f"{with_ids(path)}{query}", **body)


@EVERY_PATH
async def test_a_405_names_all_methods_of_the_path(shared_service: Service, path: str) -> None:
    """Every method that a path does not have is a 405, with all that it has in `Allow`."""
    has = PATHS.get(path, {"GET"}) | ({"HEAD"} if "GET" in PATHS.get(path, {"GET"}) else set())
    for method in METHODS:
        response = await sent(shared_service, method, path)
        assert (response.status_code == 405) == (method not in has), method
        if response.status_code == 405:
            assert response.headers["allow"] == ", ".join(sorted(has))
            if method != "HEAD":
                problem_of(response, 405, "method-not-allowed")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
async def test_a_path_that_is_written_out_is_no_id(shared_service: Service, method: str) -> None:
    """`/documents/search` is a path of its own, and never the document of that name."""
    for path in ("/documents/search", "/documents/search/", "/documents/search?user_id=ada"):
        response = await shared_service.client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


@EVERY_OPERATION
async def test_a_repeated_query_parameter_is_refused(shared_service: Service, method: str, path: str) -> None:
    """A parameter that is there twice, known or not, alike or not, escaped or not, is a 422 that names it."""
    before = await row_counts(shared_service)
    for query, name in (
        ("user_id=ada&user_id=ada", "user_id"),
        ("limit=1&user_id=ada&limit=2", "limit"),
        ("nonsense=&nonsense", "nonsense"),
        ("user%5Fid=ada&user_id=eve", "user_id"),
        ("a%20b=1&a+b=2", "a b"),
    ):
        problem = problem_of(await sent(shared_service, method, path, f"?{query}"), 422, "validation-error")
        assert problem["errors"] == [{"pointer": f"?{name}", "detail": "The parameter is repeated; send it once."}]
    assert await row_counts(shared_service) == before


@EVERY_OPERATION
async def test_an_empty_user_id_is_refused(shared_service: Service, method: str, path: str) -> None:
    """`user_id` without a value is not as if it were not there; one that no path can name is none either."""
    for query in ("?user_id=", "?user_id", "?user_id=.", "?user_id=%2E%2E"):
        problem = problem_of(await sent(shared_service, method, path, query), 422, "validation-error")
        assert "?user_id" in {each["pointer"] for each in problem["errors"]}


@pytest.mark.parametrize("path", [path for path, methods in PATHS.items() if "GET" in methods and "events" not in path])
async def test_head_is_get_without_its_body(service: Service, path: str) -> None:
    """HEAD answers with the status and the headers of GET, its length too, and nothing else."""
    made = await make(service, message="Hello")
    document = await read(service.client, await uploaded(service.client, b"Some text."))
    ids = {"user_id": "ada", "conversation_id": made["conversation_id"], "document_id": document["document_id"]}
    target = f"{path.format(message_id=made['messages'][1]['message_id'], **ids)}?user_id=ada"
    for each in (target, f"{target}&limit=1", f"{target}&nonsense=1"):
        got, head = [await service.client.request(method, each) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert without_request_id(head) == without_request_id(got)
        assert head.headers["content-length"] == str(len(got.content))
        assert head.headers["x-request-id"]


def without_request_id(response: httpx2.Response) -> dict[str, str]:
    """The headers that two answers to one request have in common."""
    return {name: value for name, value in response.headers.items() if name not in {"x-request-id", "date"}}


async def test_head_of_a_stream_is_its_headers(openai_service: Service, provider: FakeProvider) -> None:
    """HEAD of the events of a turn that goes on ends at once, as of one that has ended; the turn is not touched."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    made = await make(openai_service)
    location = (await say(openai_service, made, "Hello", background=True)).headers["location"]
    await provider.wait_calls(1)
    live = await openai_service.client.head(f"{location}/events")
    gate.set()
    await until_ended(openai_service, made)
    ended = await openai_service.client.head(f"{location}/events")
    for each in (live, ended):
        assert (each.status_code, each.content) == (200, b"")
        assert each.headers["content-type"].startswith("text/event-stream")
        assert each.headers["cache-control"] == "no-cache, no-transform"
        assert "content-length" not in each.headers
    done = await openai_service.client.head(f"{location}/events", headers={"Last-Event-ID": "10-end"})
    assert done.status_code == 204
    document = await read(openai_service.client, await uploaded(openai_service.client, b"Some text."))
    states = await openai_service.client.head(f"/documents/{document['document_id']}/events")
    assert (states.status_code, states.content) == (200, b"")
    assert (await openai_service.client.head(f"/documents/{UNKNOWN_ID}/events")).status_code == 404


async def test_head_of_a_document_reads_none_of_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEAD of a document's bytes says how many there are without fetching one, and the connection goes on."""
    document = await read(service.client, await uploaded(service.client, b"Some text. " * 10_000))
    fetched, content = [], service.services.documents.content

    async def watched(document: Document) -> AsyncIterator[bytes]:
        async for part in content(document):
            fetched.append(len(part))
            yield part

    monkeypatch.setattr(service.services.documents, "content", watched)
    path = f"/documents/{document['document_id']}/content"
    async with connection(service.url) as (reader, writer):
        writer.write(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        head, livez = await read_answer(reader, body=False), await read_answer(reader)
    assert head is not None and livez is not None
    assert (head.status, head.headers["content-length"], fetched) == (200, "110000", [])
    assert livez.json()["status"] == "ok"
    await service.client.get(path)
    assert sum(fetched) == 110_000


@pytest.mark.parametrize("dots", [".", "..", "%2E", "%2e%2E", "./", "%2E/"])
async def test_dots_are_no_user_in_a_path(shared_service: Service, dots: str) -> None:
    """A path that names a user of one or two dots is refused, where it comes through a client as it is."""
    for method in (b"GET", b"DELETE"):
        async with connection(shared_service.url) as (reader, writer):
            writer.write(b"%b /users/%b HTTP/1.1\r\nHost: x\r\n\r\n" % (method, dots.encode()))
            answer = await read_answer(reader)
        assert answer is not None and answer.status == 422
        assert answer.json()["errors"][0]["pointer"] == "path/user_id"


@pytest.mark.parametrize("user_id", [".", ".."])
async def test_dots_are_no_user_in_a_body(service: Service, user_id: str) -> None:
    """No body makes or names a user of one or two dots; three, or dots amid a name, are one."""
    for path, more in (
        ("/users", {}),
        ("/conversations", {"message": "Hello"}),
        ("/documents/search", {"query": "foxes"}),
    ):
        response = await service.client.post(path, json={"user_id": user_id} | more)
        assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"
    response = await service.client.post(
        "/documents", files={"file": ("a.txt", b"Some text.")}, data={"user_id": user_id}
    )
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "#/user_id"
    assert set((await row_counts(service)).values()) == {0}
    for fine in ("...", f"a{user_id}b", f"{user_id}a"):
        location = (await service.client.post("/users", json={"user_id": fine})).headers["location"]
        assert (await service.client.get(location)).json()["user_id"] == fine


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029"])
async def test_line_breaks_of_unicode_are_escaped(service: Service, character: str) -> None:
    """What clients may take for the end of a line is escaped in all JSON: answers, events and problems."""
    text, escape = f"one{character}two\\{character}", f"\\u{ord(character):04x}"
    made = await make(service, message=text, metadata={character: character})
    answers = [
        await service.client.get(path_of(made)),
        await service.client.get(messages_of(made)),
        await say(service, made, text, stream=True),
        await service.client.get("/livez", params={character: "1"}),
        await service.client.get("/livez", params=[(character, "1"), (character, "2")]),
        await service.client.post("/users", json={"user_id": text}),
        await service.client.post("/users", json={character: 1}),
    ]
    for each in answers:
        assert character not in each.text
        assert escape in each.text
    assert answers[0].json()["messages"][0]["content"] == text
    deltas = [line for line in answers[2].text.splitlines() if line.startswith('data: {"delta"')]
    assert "".join(json.loads(line.removeprefix("data: "))["delta"] for line in deltas) == text
