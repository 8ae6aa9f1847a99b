from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from app.db import process_leases
from app.db.checks import conversations
from app.db.process_leases import LEASE_MS
from app.db.transaction import Statement, Transaction
from app.domain.ids import new_id
from app.rag.sandbox import client
from tests.api.talk import (
    UNKNOWN_ID,
    Event,
    events_of,
    live_events,
    make,
    pages,
    path_of,
    problem_of,
    without_request_id,
)
from tests.support.service import Service, serving, settings
from tests.support.uploads import NOTHING, counts, document_of, read, upload, uploaded

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = b"""<!doctype html><title>Foxes</title><script>alert(document.cookie)</script>
<h1>Foxes</h1><p>The fox is a clever animal.</p>"""


async def test_a_document_goes_through_its_states(service: Service) -> None:
    """What was uploaded is queued, then ready, and says all along what it is."""
    response = await upload(service.client, PAGE, "foxes.html")
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
        "chunk_count": None,
        "created_at": "",
    }
    ready = await read(service.client, queued)
    assert ready == queued | {"status": "ready", "chunk_count": 1}


async def test_what_cannot_be_read_says_why(service: Service) -> None:
    """A document that failed has a code and a sentence, no text, and can be deleted."""
    document = await read(service.client, await uploaded(service.client, b"%PDF-1.7\nnothing"), "failed")
    error = document["error"]
    assert (error["code"], error["retryable"]) == ("document-corrupt", False)
    assert error["detail"].endswith(".")
    path = f"/documents/{document['document_id']}"
    problem_of(await service.client.get(f"{path}/text"), 409, "document-not-ready")
    assert (await service.client.get(f"{path}/content")).content == b"%PDF-1.7\nnothing"
    assert (await service.client.delete(path)).status_code == 204
    assert await counts(service.database) == NOTHING


async def test_the_same_bytes_are_one_document(service: Service) -> None:
    """Once more uploaded, under whatever name, it is the document that is there; one that failed is tried again."""
    first = await read(service.client, await uploaded(service.client, b"Some text."))
    again = await upload(service.client, b"Some text.", "other.txt")
    assert (again.status_code, again.json()) == (200, first)
    assert again.headers["location"] == f"/documents/{first['document_id']}"
    failed = await read(service.client, await uploaded(service.client, b"%PDF-1.7\nnothing"), "failed")
    retried = await upload(service.client, b"%PDF-1.7\nnothing")
    assert (retried.status_code, retried.json()["document_id"]) == (202, failed["document_id"])
    assert (retried.json()["status"], retried.json()["error"]) == ("queued", None)
    assert await read(service.client, retried.json(), "failed") == failed
    await only_what_is_there(service, 2)


async def only_what_is_there(service: Service, documents: int) -> None:
    """Waits until what arrived in vain is removed: so many documents are left."""
    async with asyncio.timeout(10):
        while (await counts(service.database))["documents"] != documents:
            pass
    assert await service.database.read(conversations.findings, service.database.kind) == []


async def test_the_same_bytes_at_once_are_one_document(service: Service) -> None:
    """Of ten uploads at the same moment one makes the document, the others find it."""
    answers = await asyncio.gather(*(upload(service.client, b"Some text." * 1000) for _ in range(10)))
    assert sorted(each.status_code for each in answers) == [200] * 9 + [202]
    [document_id] = {each.json()["document_id"] for each in answers}
    await read(service.client, {"document_id": document_id})
    await only_what_is_there(service, 1)


async def test_two_users_have_the_same_bytes_apart(service: Service) -> None:
    """What one of them has and deletes is none of the other's."""
    ada, bob = [await uploaded(service.client, b"Some text.", user_id=each) for each in ("ada", "bob")]
    assert ada["document_id"] != bob["document_id"]
    await read(service.client, bob)
    assert (await service.client.delete(f"/documents/{ada['document_id']}?user_id=ada")).status_code == 204
    assert (await read(service.client, bob))["status"] == "ready"
    assert (await service.client.get(f"/documents/{bob['document_id']}/text")).text == "Some text."


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("GET", "/events"), ("GET", "/text"), ("GET", "/content"), ("DELETE", "")]
)
async def test_another_user_s_document_is_not_there(service: Service, method: str, rest: str) -> None:
    """Who is not its owner is told what is told of an id that never was."""
    document = await read(service.client, await uploaded(service.client, b"Some text."))
    answers = [
        await service.client.request(method, f"/documents/{each}{rest}", params={"user_id": "bob"})
        for each in (document["document_id"], UNKNOWN_ID)
    ]
    problem_of(answers[0], 404, "document-not-found")
    assert without_request_id(answers[0]) == without_request_id(answers[1])
    assert await document_of(service.client, document) == document


async def test_documents_are_listed_newest_first(service: Service) -> None:
    """The list is the user's own, in pages that follow from each other."""
    made = [await uploaded(service.client, b"Text %d." % each) for each in range(5)]
    await uploaded(service.client, b"Bob's text.", user_id="bob")
    for each in made:
        await read(service.client, each)
    found = await pages(service, "/documents?user_id=ada&limit=2")
    assert [len(each) for each in found] == [2, 2, 1]
    assert [each["document_id"] for page in found for each in page] == [each["document_id"] for each in made[::-1]]
    assert (await service.client.get("/documents?user_id=nobody")).json() == []


@pytest.mark.parametrize(
    "query", ["", "user_id=ada&cursor=made-up", "user_id=ada&limit=0", "user_id=ada&limit=1000000000"]
)
async def test_a_list_that_makes_no_sense_is_refused(service: Service, query: str) -> None:
    """422 without a user, with a cursor that is not ours, with a limit out of bounds."""
    problem_of(await service.client.get(f"/documents?{query}"), 422, "validation-error")


async def test_what_was_uploaded_is_never_shown_by_a_browser(service: Service) -> None:
    """Bytes come as an attachment of no kind that is run, text as plain text, both for no other use."""
    document = await read(service.client, await uploaded(service.client, PAGE, 'fö"x.html'))
    content = await service.client.get(f"/documents/{document['document_id']}/content")
    assert content.content == PAGE
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"] == (
        "attachment; filename=\"f__x.html\"; filename*=UTF-8''f%C3%B6%22x.html"
    )
    text = await service.client.get(f"/documents/{document['document_id']}/text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "The fox is a clever animal." in text.text
    assert "alert" not in text.text
    for response in (content, text):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_events_begin_with_the_present_state(service: Service) -> None:
    """Who comes late is told how it ended, and no more."""
    document = await uploaded(service.client, b"Some text.")
    names = [each.name for each in events_of(await events(service, document))]
    assert (set(names[:-1]), names[-1]) == ({"document.progress"}, "document.ready")
    [end] = events_of(await events(service, document))
    assert end == Event("document.ready", "end", {"document": await document_of(service.client, document)})


async def events(service: Service, document: dict[str, Any]) -> str:
    """The stream of a document, read to its end."""
    response = await service.client.get(f"/documents/{document['document_id']}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.text


async def kept_waiting(service: Service, document: dict[str, Any]) -> None:
    """Takes a document out of everybody's hands: a process that does nothing reads it."""

    def transaction() -> Transaction[None]:
        yield Statement(
            "UPDATE documents SET status = 'processing', stage = 'embedding', done = 1, total = 3, process_id = $2 "
            "WHERE document_id = $1",
            (document["document_id"], idle),
        )

    idle = new_id()
    await service.database.write(process_leases.heartbeat, idle, LEASE_MS)
    await service.database.write(transaction)


async def test_a_stream_ends_with_its_document(service: Service) -> None:
    """Who follows a document that is deleted sees the stream end, whole."""
    document = await read(service.client, await uploaded(service.client, b"Some text."))
    await kept_waiting(service, document)
    async with service.client.http.stream("GET", f"/documents/{document['document_id']}/events") as response:
        following = live_events(response)
        first = await anext(following)
        assert (first.name, first.data["document"]["stage"], first.data["document"]["total"]) == (
            "document.progress",
            "embedding",
            3,
        )
        await service.client.delete(f"/documents/{document['document_id']}")
        async with asyncio.timeout(5):
            assert [each async for each in following] == []


async def test_a_draining_server_sends_followers_elsewhere(database_url: str) -> None:
    """A stream of a server that goes away ends with stream.closing, and an upload is refused."""
    async with serving(settings(database_url=database_url)) as service:
        document = await read(service.client, await uploaded(service.client, b"Some text."))
        await kept_waiting(service, document)
        async with service.client.http.stream("GET", f"/documents/{document['document_id']}/events") as response:
            following = live_events(response)
            await anext(following)
            draining = asyncio.create_task(service.services.turns.executor.drain(5))
            async with asyncio.timeout(5):
                assert await anext(following) == Event("stream.closing", 0, {"document_id": document["document_id"]})
        await draining
        problem_of(await upload(service.client, b"Another text."), 503, "draining")


async def test_a_conversation_names_documents_of_its_user(service: Service) -> None:
    """`document_ids` of another user, of a deleted document or of none are a 404; deleting one later does no harm."""
    mine = await read(service.client, await uploaded(service.client, b"Some text."))
    other = await read(service.client, await uploaded(service.client, b"Some text.", user_id="bob"))
    conversation = await make(service, mode="rag", document_ids=[mine["document_id"]])
    for bad in (other["document_id"], UNKNOWN_ID):
        for body in ({"message": "Hello"}, {}):
            given = {"user_id": "ada", "document_ids": [mine["document_id"], bad]} | body
            problem_of(await service.client.post("/conversations", json=given), 404, "document-not-found")
        changed = await service.client.patch(path_of(conversation), json={"document_ids": [bad]})
        problem_of(changed, 404, "document-not-found")
    assert len((await service.client.get("/conversations?user_id=ada")).json()) == 1
    await service.client.delete(f"/documents/{mine['document_id']}")
    changed = await service.client.patch(path_of(conversation), json={"document_ids": [mine["document_id"]]})
    problem_of(changed, 404, "document-not-found")
    found = (await service.client.get(path_of(conversation))).json()
    assert found["document_ids"] == [mine["document_id"]]
    assert (await service.client.patch(path_of(conversation), json={"document_ids": []})).json()["document_ids"] == []


async def test_an_installation_without_the_extra_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """501 for an upload and a search where nothing is there to read with; what was read elsewhere is shown."""
    async with serving(settings(database_url=database_url)) as service:
        document = await read(service.client, await uploaded(service.client, b"Some text."))
    monkeypatch.setattr(client, "LIBRARIES", ("no_such_library",))
    async with serving(settings(database_url=database_url)) as service:
        problem_of(await upload(service.client, b"Another text."), 501, "not-installed")
        searched = await service.client.post("/documents/search", json={"user_id": "ada", "query": "text"})
        problem_of(searched, 501, "not-installed")
        assert (await service.client.get("/documents?user_id=ada")).json() == [document]
        assert (await service.client.get(f"/documents/{document['document_id']}/text")).text == "Some text."


async def test_a_search_finds_the_user_s_own(service: Service) -> None:
    """What is found is the user's, exactly as its document's text has it; to name another's document is a 404."""
    mine = await read(service.client, await uploaded(service.client, PAGE, "foxes.html"))
    other = await read(service.client, await uploaded(service.client, PAGE, "foxes.html", user_id="bob"))
    asked = {"user_id": "ada", "query": 'clever "animals" NEAR :*'}
    [found] = (await service.client.post("/documents/search", json=asked)).json()
    text = (await service.client.get(f"/documents/{mine['document_id']}/text")).text
    assert found["text"] == text[found["start"] : found["end"]]
    assert (found["document_id"], found["document_name"]) == (mine["document_id"], "foxes.html")
    assert found["chunk_id"] == f"{mine['document_id']}:0"
    named = asked | {"document_ids": [other["document_id"]]}
    problem_of(await service.client.post("/documents/search", json=named), 404, "document-not-found")
    for bad in ({"query": ""}, {"query": " "}, {"query": "x" * 1_001}, {"limit": 0}, {"limit": 101}):
        problem_of(await service.client.post("/documents/search", json=asked | bad), 422, "validation-error")
    await service.client.delete(f"/documents/{mine['document_id']}")
    assert (await service.client.post("/documents/search", json=asked)).json() == []


async def test_an_erased_user_leaves_no_document(service: Service) -> None:
    """Erasure takes documents along, read or not, and leaves others' alone."""
    for each in range(3):
        await uploaded(service.client, b"Text %d. " % each * 100_000)
    kept = await read(service.client, await uploaded(service.client, b"Some text.", user_id="bob"))
    assert (await service.client.delete("/users/ada")).status_code == 204
    assert await counts(service.database) == {
        "documents": 1,
        "document_contents": 1,
        "document_texts": 1,
        "chunks": 1,
    }
    assert await document_of(service.client, kept) == kept
    assert (await service.client.get("/documents?user_id=ada")).json() == []
    assert await service.database.read(conversations.findings, service.database.kind) == []


async def test_a_deletion_leaves_nothing(service: Service) -> None:
    """204, at once and for all reads; nothing of the document is left, and a second deletion finds none."""
    document = await read(service.client, await uploaded(service.client, b"# One\n\nSome text.\n" * 5_000, "a.md"))
    path = f"/documents/{document['document_id']}"
    answers = await asyncio.gather(*(service.client.delete(path) for _ in range(3)))
    assert sorted(each.status_code for each in answers) == [204, 404, 404]
    problem_of(await service.client.get(path), 404, "document-not-found")
    assert await counts(service.database) == NOTHING
    assert (await upload(service.client, b"# One\n\nSome text.\n" * 5_000)).status_code == 202
