"""Bytes that a user has already, read again as a document in the place of the old one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db.checks import conversations
from tests.support.parley_client import ParleyClient, document_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.uploads import counts

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTES = b"# Leave\n\nYou have 30 days of leave."
PAGE = b"<h1>Leave</h1><p>Read <a href='https://example.org/leave'>the rules</a> of leave.</p>"


async def reread(client: ParleyClient) -> dict[str, Any]:
    """Upload the notes to be read again, with links; return the document that is queued."""
    response = await client.post_document(NOTES, "notes.md", reread=True, links=True)
    assert response.status_code == 202, response.text
    queued: dict[str, Any] = response.json()
    assert response.headers["location"] == document_path(queued)
    return queued


async def listed(client: ParleyClient) -> list[str]:
    """Return the ids of the user's documents, the newest first."""
    return [each["document_id"] for each in await client.get_json("/documents?user_id=ada")]


async def wait_for_one(service: Service) -> None:
    """Wait until the rows of one document are left, and check that the database is consistent."""
    async with asyncio.timeout(10):
        while (await counts(service.database))["documents"] != 1:
            pass
    assert await service.database.read(conversations.findings, service.database.kind) == []


async def ask(client: ParleyClient, provider: FakeProvider, conversation: dict[str, Any]) -> dict[str, Any]:
    """Send a question, which is answered with one citation; return the reply."""
    provider.reply("You have 30 days [1].")
    reply: dict[str, Any] = (await client.send(conversation, "How many days of leave do I have?"))["messages"][-1]
    return reply


async def test_reread_replaces_document(openai_service: Service, provider: FakeProvider) -> None:
    """The new document takes the old one's place in lists, searches and conversations, and replies keep citations."""
    client = openai_service.client
    old = await client.ingest(NOTES, "notes.md")
    other = await client.ingest(b"Some other text.")
    named = [old["document_id"], other["document_id"]]
    conversation = await client.create_conversation(mode="rag", document_ids=named)
    reply = await ask(client, provider, conversation)
    assert [each["document_id"] for each in reply["citations"]] == [old["document_id"]]
    new = await reread(client)
    assert (new["replaces"], new["links"]) == (old["document_id"], True)
    ready = await client.wait_until_read(new)
    assert ready == new | {"status": "ready", "language": "en", "chunk_count": 1, "replaces": None}
    assert await listed(client) == [new["document_id"], other["document_id"]]
    expect_problem(await client.get(document_path(old)), 404, "document-not-found")
    narrowed = await client.get_conversation(conversation)
    assert narrowed["document_ids"] == [new["document_id"], other["document_id"]]
    again = await ask(client, provider, conversation)
    assert [each["document_id"] for each in again["citations"]] == [new["document_id"]]
    assert await client.get_message(reply) == reply
    await client.delete(document_path(other))
    await wait_for_one(openai_service)


async def test_links_are_kept_on_request(client: ParleyClient) -> None:
    """With `links=true` a text has the addresses of links; a document that is there gets them if it is read again."""
    plain = await client.ingest(PAGE, "rules.html")
    assert "example.org" not in (await client.get(f"{document_path(plain)}/text")).text
    same = await client.post_document(PAGE, "rules.html", links=True)
    assert (same.status_code, same.json()) == (200, plain)
    new = (await client.post_document(PAGE, "rules.html", links=True, reread=True)).json()
    await client.wait_until_read(new)
    assert "https://example.org/leave" in (await client.get(f"{document_path(new)}/text")).text
