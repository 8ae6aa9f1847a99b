"""Several documents of one name, of which searches and replies use the last uploaded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLD = b"The leave is 25 days a year. Parking costs nothing."
NEW = b"The leave is 30 days a year. Bicycles are lent."
QUESTION = "How many days is the leave?"


async def ingest_both(client: ParleyClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ingest two versions of a document, and return the old one and the new one."""
    return await client.ingest(OLD, "leave.txt"), await client.ingest(NEW, "leave.txt")


async def found(client: ParleyClient, query: str, **body: Any) -> list[str]:
    """Return the ids of the documents whose passages a search finds."""
    response = await client.post("/documents/search", json={"user_id": "ada", "query": query} | body)
    return [each["document_id"] for each in response.json()]


async def test_newest_version_is_searched(client: ParleyClient) -> None:
    """Where passages of two versions are found the older one's are left out, unless documents are named."""
    old, new = [each["document_id"] for each in await ingest_both(client)]
    assert await found(client, "leave") == [new]
    assert await found(client, "parking") == [old]
    assert await found(client, "leave", document_ids=[old]) == [old]
    assert set(await found(client, "leave", document_ids=[old, new])) == {old, new}
    await client.upload(OLD, "leave.txt")
    assert await found(client, "leave") == [old]
    reread = await client.post_document(NEW, "leave.txt", reread=True)
    await client.wait_until_read(reread.json())
    assert await found(client, "leave") == [old]
    await client.upload(OLD, "other.txt")
    assert set(await found(client, "leave")) == {old, reread.json()["document_id"]}


async def test_other_users_version_does_not_count(client: ParleyClient) -> None:
    """Another user's document with the same name is no version."""
    mine = await client.ingest(OLD, "leave.txt")
    await client.ingest(NEW, "leave.txt", user_id="bob")
    assert await found(client, "leave") == [mine["document_id"]]


async def test_documents_without_names(client: ParleyClient) -> None:
    """Documents that were uploaded without a name are not versions of each other."""
    for each in (OLD, NEW):
        response = await client.post("/documents", files={"file": ("..", each)}, data={"user_id": "ada"})
        assert (await client.wait_until_read(response.json()))["name"] == "document"
    assert len(await found(client, "leave")) == 2


async def test_replies_cite_newest_version(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A reply gets passages of the newest version alone, or of the conversation's documents; citations say which."""
    old, new = await ingest_both(openai_client)
    everything = await openai_client.create_conversation(mode="rag")
    provider.reply("30 days [1].")
    reply = (await openai_client.send(everything, QUESTION))["messages"][-1]
    [citation] = reply["citations"]
    assert (citation["document_id"], citation["document_created_at"]) == (new["document_id"], new["created_at"])
    assert "25 days" not in provider.calls[-1].body["messages"][-1]["content"]
    narrowed = await openai_client.create_conversation(
        mode="rag", document_ids=[old["document_id"], new["document_id"]]
    )
    provider.reply("25 or 30 days [1][2].")
    reply = (await openai_client.send(narrowed, QUESTION))["messages"][-1]
    assert {each["document_created_at"] for each in reply["citations"]} == {old["created_at"], new["created_at"]}


async def test_outline_of_newest_version(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A question about documents as a whole gets the beginning of the newest version alone."""
    await ingest_both(openai_client)
    conversation = await openai_client.create_conversation(mode="rag")
    provider.reply("Leave [1].")
    await openai_client.send(conversation, "Summarise my documents.")
    prompt = provider.calls[-1].body["messages"][-1]["content"]
    assert "30 days" in prompt
    assert "25 days" not in prompt
