"""Documents: their states, lists, contents, events, search and deletion."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from app.db import process_leases
from app.db.checks import conversations
from app.db.process_leases import LEASE_MS
from app.db.transaction import Transaction
from app.domain.ids import new_id
from app.rag.sandbox import client as sandbox_client
from tests.support.documents import pdf
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, document_path
from tests.support.problems import expect_problem, without_request_id
from tests.support.service import Service, serving, settings
from tests.support.sql import run_sql
from tests.support.sse import Event, parse_events
from tests.support.uploads import NOTHING, counts

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = b"""<!doctype html><title>Foxes</title><script>alert(document.cookie)</script>
<h1>Foxes</h1><p>The fox is a clever animal.</p>"""


async def test_document_states(client: ParleyClient) -> None:
    """An uploaded document is queued, then ready, with the same fields throughout."""
    response = await client.post_document(PAGE, "foxes.html")
    queued = response.json()
    assert response.status_code == 202
    assert queued | {"document_id": "", "created_at": ""} == {
        "document_id": "",
        "name": "foxes.html",
        "media_type": "text/html",
        "bytes": len(PAGE),
        "sha256": hashlib.sha256(PAGE).hexdigest(),
        "status": "queued",
        "stage": None,
        "done": 0,
        "total": 0,
        "error": None,
        "page_count": None,
        "textless_pages": [],
        "truncated": False,
        "truncated_detail": None,
        "language": None,
        "seconds_left": None,
        "chunk_count": None,
        "links": False,
        "replaces": None,
        "created_at": "",
    }
    ready = await client.wait_until_read(queued)
    assert ready == queued | {"status": "ready", "language": "en", "chunk_count": 1}


async def test_unreadable_document_fails(service: Service) -> None:
    """A failed document has an error with code and detail, no text, and can be deleted."""
    document = await service.client.ingest(b"%PDF-1.7\nnothing", status="failed")
    error = document["error"]
    assert (error["code"], error["retryable"]) == ("document-corrupt", False)
    assert error["detail"].endswith(".")
    path = document_path(document)
    expect_problem(await service.client.get(f"{path}/text"), 409, "document-not-ready")
    assert (await service.client.get(f"{path}/content")).content == b"%PDF-1.7\nnothing"
    assert (await service.client.delete(path)).status_code == 204
    assert await counts(service.database) == NOTHING


async def test_duplicate_upload_renames_document(service: Service) -> None:
    """The same bytes under another name are the same document, with the newer name; a failed one is read again."""
    first = await service.client.ingest(b"Some text.")
    again = await service.client.post_document(b"Some text.", "other.md")
    renamed = first | {"name": "other.md", "media_type": "text/markdown"}
    assert (again.status_code, again.json()) == (200, renamed)
    assert again.headers["location"] == document_path(first)
    assert await service.client.get_document(first) == renamed
    [found] = (await service.client.post("/documents/search", json={"user_id": "ada", "query": "text"})).json()
    assert found["document_name"] == "other.md"
    failed = await service.client.ingest(b"%PDF-1.7\nnothing", status="failed")
    retried = await service.client.post_document(b"%PDF-1.7\nnothing", failed["name"])
    assert (retried.status_code, retried.json()["document_id"]) == (202, failed["document_id"])
    assert (retried.json()["status"], retried.json()["error"]) == ("queued", None)
    assert await service.client.wait_until_read(retried.json(), "failed") == failed
    await wait_for_documents(service, 2)


async def wait_for_documents(service: Service, documents: int) -> None:
    """Wait until rejected uploads are removed and so many documents are left."""
    async with asyncio.timeout(10):
        while (await counts(service.database))["documents"] != documents:
            pass
    assert await service.database.read(conversations.findings, service.database.kind) == []


async def test_concurrent_duplicates_are_one(service: Service) -> None:
    """Of ten concurrent uploads of the same bytes one creates the document, and the others find it."""
    answers = await asyncio.gather(*(service.client.post_document(b"Some text." * 1000) for _ in range(10)))
    assert sorted(each.status_code for each in answers) == [200] * 9 + [202]
    [document_id] = {each.json()["document_id"] for each in answers}
    await service.client.wait_until_read({"document_id": document_id})
    await wait_for_documents(service, 1)


async def test_users_do_not_share_documents(client: ParleyClient) -> None:
    """The same bytes of two users are two documents, which are deleted separately."""
    ada, bob = [await client.upload(b"Some text.", user_id=each) for each in ("ada", "bob")]
    assert ada["document_id"] != bob["document_id"]
    await client.wait_until_read(bob)
    assert (await client.delete(f"{document_path(ada)}?user_id=ada")).status_code == 204
    assert (await client.wait_until_read(bob))["status"] == "ready"
    assert (await client.get(f"{document_path(bob)}/text")).text == "Some text."


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("GET", "/events"), ("GET", "/text"), ("GET", "/content"), ("DELETE", "")]
)
async def test_foreign_document_not_found(client: ParleyClient, method: str, rest: str) -> None:
    """Another user's document gives the same 404 as an unknown id, and stays unchanged."""
    document = await client.ingest(b"Some text.")
    answers = [
        await client.request(method, f"/documents/{each}{rest}", params={"user_id": "bob"})
        for each in (document["document_id"], UNKNOWN_ID)
    ]
    expect_problem(answers[0], 404, "document-not-found")
    assert without_request_id(answers[0]) == without_request_id(answers[1])
    assert await client.get_document(document) == document


async def test_list_newest_first(client: ParleyClient) -> None:
    """The list has the user's own documents in linked pages, the newest first."""
    made = [await client.upload(b"Text %d." % each) for each in range(5)]
    await client.upload(b"Bob's text.", user_id="bob")
    for each in made:
        await client.wait_until_read(each)
    found = await client.get_pages("/documents?user_id=ada&limit=2")
    assert [len(each) for each in found] == [2, 2, 1]
    assert [each["document_id"] for page in found for each in page] == [each["document_id"] for each in made[::-1]]
    assert (await client.get("/documents?user_id=nobody")).json() == []


@pytest.mark.parametrize(
    "query", ["", "user_id=ada&cursor=made-up", "user_id=ada&limit=0", "user_id=ada&limit=1000000000"]
)
async def test_invalid_list_refused(client: ParleyClient, query: str) -> None:
    """The list is a 422 without a user, with an invalid cursor or with a limit out of bounds."""
    expect_problem(await client.get(f"/documents?{query}"), 422, "validation-error")


async def test_downloads_never_run_in_browsers(client: ParleyClient) -> None:
    """Content is sent as an attachment and text as plain text, both sandboxed."""
    document = await client.ingest(PAGE, 'fö"x.html')
    content = await client.get(f"{document_path(document)}/content")
    assert content.content == PAGE
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"] == (
        "attachment; filename=\"f__x.html\"; filename*=UTF-8''f%C3%B6%22x.html"
    )
    text = await client.get(f"{document_path(document)}/text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "The fox is a clever animal." in text.text
    assert "alert" not in text.text
    for response in (content, text):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_events_begin_with_current_state(client: ParleyClient) -> None:
    """A reader that connects late gets the final event and no others."""
    document = await client.upload(b"Some text.")
    names = [each.name for each in parse_events(await get_event_stream(client, document))]
    assert (set(names[:-1]), names[-1]) == ({"document.progress"}, "document.ready")
    [end] = parse_events(await get_event_stream(client, document))
    assert end == Event("document.ready", "end", {"document": await client.get_document(document)})


async def get_event_stream(client: ParleyClient, document: dict[str, Any]) -> str:
    """Return the body of a document's event stream, read to its end."""
    response = await client.get(f"{document_path(document)}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.text


async def assign_elsewhere(service: Service, document: dict[str, Any]) -> None:
    """Assign a document to a process that does not ingest it."""

    def transaction() -> Transaction[None]:
        yield from run_sql(
            "UPDATE documents SET status = 'processing', stage = 'embedding', done = 1, total = 3, process_id = $2 "
            "WHERE document_id = $1",
            document["document_id"],
            idle,
        )

    idle = new_id()
    await service.database.write(process_leases.heartbeat, idle, LEASE_MS)
    await service.database.write(transaction)


async def test_delete_ends_event_stream(service: Service) -> None:
    """The event stream of a document that is deleted ends properly."""
    document = await service.client.ingest(b"Some text.")
    await assign_elsewhere(service, document)
    async with service.client.stream_events(f"{document_path(document)}/events") as following:
        first = await anext(following)
        assert (first.name, first.data["document"]["stage"], first.data["document"]["total"]) == (
            "document.progress",
            "embedding",
            3,
        )
        await service.client.delete(document_path(document))
        async with asyncio.timeout(5):
            assert [each async for each in following] == []


async def test_drain_closes_event_streams(database_url: str) -> None:
    """A draining server ends event streams with `stream.closing`, and refuses uploads."""
    async with serving(settings(database_url=database_url)) as service:
        document = await service.client.ingest(b"Some text.")
        await assign_elsewhere(service, document)
        async with service.client.stream_events(f"{document_path(document)}/events") as following:
            await anext(following)
            draining = asyncio.create_task(service.services.turns.executor.drain(5))
            async with asyncio.timeout(5):
                assert await anext(following) == Event("stream.closing", 0, {"document_id": document["document_id"]})
        await draining
        expect_problem(await service.client.post_document(b"Another text."), 503, "draining")


async def test_document_ids_belong_to_user(client: ParleyClient) -> None:
    """`document_ids` of another user, or of deleted or unknown documents are a 404; a later deletion does no harm."""
    mine = await client.ingest(b"Some text.")
    other = await client.ingest(b"Some text.", user_id="bob")
    conversation = await client.create_conversation(mode="rag", document_ids=[mine["document_id"]])
    for bad in (other["document_id"], UNKNOWN_ID):
        for body in ({"message": "Hello"}, {}):
            given = {"user_id": "ada", "document_ids": [mine["document_id"], bad]} | body
            expect_problem(await client.post("/conversations", json=given), 404, "document-not-found")
        changed = await client.patch(conversation_path(conversation), json={"document_ids": [bad]})
        expect_problem(changed, 404, "document-not-found")
    assert len((await client.get("/conversations?user_id=ada")).json()) == 1
    await client.delete(document_path(mine))
    changed = await client.patch(conversation_path(conversation), json={"document_ids": [mine["document_id"]]})
    expect_problem(changed, 404, "document-not-found")
    found = (await client.get(conversation_path(conversation))).json()
    assert found["document_ids"] == [mine["document_id"]]
    assert (await client.patch(conversation_path(conversation), json={"document_ids": []})).json()["document_ids"] == []


async def test_missing_extra_is_501(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the documents extra uploads and searches are a 501, and earlier documents can be read."""
    async with serving(settings(database_url=database_url)) as service:
        document = await service.client.ingest(b"Some text.")
    monkeypatch.setattr(sandbox_client, "LIBRARIES", ("no_such_library",))
    async with serving(settings(database_url=database_url)) as service:
        expect_problem(await service.client.post_document(b"Another text."), 501, "not-installed")
        searched = await service.client.post("/documents/search", json={"user_id": "ada", "query": "text"})
        expect_problem(searched, 501, "not-installed")
        assert (await service.client.get("/documents?user_id=ada")).json() == [document]
        assert (await service.client.get(f"{document_path(document)}/text")).text == "Some text."


async def test_search_finds_own_passages(client: ParleyClient) -> None:
    """A search finds passages of the user's documents, exactly as in their text; naming another's document is a 404."""
    mine = await client.ingest(PAGE, "foxes.html")
    other = await client.ingest(PAGE, "foxes.html", user_id="bob")
    request = {"user_id": "ada", "query": 'clever "animals" NEAR :*'}
    [found] = (await client.post("/documents/search", json=request)).json()
    text = (await client.get(f"{document_path(mine)}/text")).text
    assert found["text"] == text[found["start"] : found["end"]]
    assert (found["document_id"], found["document_name"]) == (mine["document_id"], "foxes.html")
    assert found["chunk_id"] == f"{mine['document_id']}:0"
    named = request | {"document_ids": [other["document_id"]]}
    expect_problem(await client.post("/documents/search", json=named), 404, "document-not-found")
    for bad in ({"query": ""}, {"query": " "}, {"query": "x" * 1_001}, {"limit": 0}, {"limit": 101}):
        expect_problem(await client.post("/documents/search", json=request | bad), 422, "validation-error")
    await client.delete(document_path(mine))
    assert (await client.post("/documents/search", json=request)).json() == []


async def test_search_names_pages(client: ParleyClient) -> None:
    """A passage over several pages of a PDF is found with the first and the last of them."""
    await client.ingest(pdf([[(f"The {each} stands here.", 12)] for each in ("oak", "elm", "ash")]), "trees.pdf")
    [found] = (await client.post("/documents/search", json={"user_id": "ada", "query": "elm"})).json()
    assert (found["page"], found["page_end"]) == (1, 3)


async def test_erased_user_has_no_documents(service: Service) -> None:
    """Erasing a user deletes the documents, ready or not, and no other user's."""
    for each in range(3):
        await service.client.upload(b"Text %d. " % each * 100_000)
    kept = await service.client.ingest(b"Some text.", user_id="bob")
    assert (await service.client.delete("/users/ada")).status_code == 204
    assert await counts(service.database) == {
        "documents": 1,
        "document_contents": 1,
        "document_texts": 1,
        "chunks": 1,
    }
    assert await service.client.get_document(kept) == kept
    assert (await service.client.get("/documents?user_id=ada")).json() == []
    assert await service.database.read(conversations.findings, service.database.kind) == []


async def test_deletion_leaves_nothing(service: Service) -> None:
    """A deletion is effective at once and removes all rows; a second one is a 404."""
    document = await service.client.ingest(b"# One\n\nSome text.\n" * 5_000, "a.md")
    path = document_path(document)
    answers = await asyncio.gather(*(service.client.delete(path) for _ in range(3)))
    assert sorted(each.status_code for each in answers) == [204, 404, 404]
    expect_problem(await service.client.get(path), 404, "document-not-found")
    assert await counts(service.database) == NOTHING
    assert (await service.client.post_document(b"# One\n\nSome text.\n" * 5_000)).status_code == 202
