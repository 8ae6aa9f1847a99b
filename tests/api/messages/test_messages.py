"""Messages: lists, edits and deletions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from app.db.models import MessageRow
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_list_bounds_and_order(client: ParleyClient) -> None:
    """`after` and `before` are exclusive bounds, `order` reverses the list, and `Link` leads to the rest."""
    conversation = await client.create_conversation()
    for number in range(5):
        await client.send(conversation, str(number))
    expected = {
        "": [[*range(1, 11)]],
        "?after=3&before=8": [[4, 5, 6, 7]],
        "?order=desc": [[*range(10, 0, -1)]],
        "?limit=4": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]],
        "?limit=2&order=desc&after=4": [[10, 9], [8, 7], [6, 5]],
        "?limit=2&before=4": [[1, 2], [3]],
        "?after=10": [[]],
        "?after=5&before=6": [[]],
    }
    for query, numbers in expected.items():
        walked = await client.get_pages(messages_path(conversation) + query)
        assert [[each["sequence_number"] for each in page] for page in walked] == numbers, query


async def test_citations_listed(service: Service) -> None:
    """Stored citations are returned with their reply; what an older release did not store is null."""
    conversation = await service.client.create_conversation(message="Hello")
    citation = {
        "marker": 1,
        "document_id": "doc_1",
        "document_name": "a.pdf",
        "chunk_id": "chk_1",
        "page": None,
        "start": 0,
        "end": 5,
        "quote": "Hello",
        "score": 0.5,
    }
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(citations=[citation]))
    citations = [each["citations"] for each in await service.client.get_messages(conversation)]
    assert citations == [[], [{**citation, "page_end": None, "document_created_at": None}]]


async def test_message_equals_list_entry(client: ParleyClient) -> None:
    """A message is returned as in the list."""
    conversation = await client.create_conversation(message="Hello")
    for message in conversation["messages"]:
        assert await client.get_message(message) == message


async def test_unknown_message_not_found(client: ParleyClient) -> None:
    """An unknown message, or one of another conversation, is `message-not-found` for every method."""
    made, other = (
        await client.create_conversation(message="Hello"),
        await client.create_conversation(message="Hello"),
    )
    for message_id in (UNKNOWN_ID, other["messages"][0]["message_id"]):
        path = f"{messages_path(made)}/{message_id}"
        for method, body in (("GET", None), ("PUT", {"content": "Other"}), ("DELETE", None)):
            expect_problem(await client.request(method, path, json=body), 404, "message-not-found")
    assert await client.get_messages(other) == other["messages"]


async def test_edit_replaces_text(client: ParleyClient) -> None:
    """PUT replaces the text of a user's message, sets the time of the edit, and changes nothing else."""
    conversation = await client.create_conversation(message="Hello")
    before, reply = conversation["messages"]
    path = message_path(before)
    response = await client.put(path, json={"content": "Good bye"})
    edited = response.json()
    assert (response.status_code, edited) == (200, before | {"content": "Good bye", "edited_at": edited["edited_at"]})
    assert edited["edited_at"] >= before["created_at"]
    assert await client.get_messages(conversation) == [edited, reply]


async def test_reply_not_editable(client: ParleyClient) -> None:
    """PUT of a reply is refused and changes nothing."""
    conversation = await client.create_conversation(message="Hello")
    reply = conversation["messages"][1]
    path = message_path(reply)
    expect_problem(await client.put(path, json={"content": "I said more"}), 422, "validation-error")
    assert await client.get_json(path) == reply


@pytest.mark.parametrize(("method", "body"), [("PUT", {"content": "Other"}), ("DELETE", None)])
async def test_unfinished_turn_not_changed(client: ParleyClient, method: str, body: Any) -> None:
    """PUT and DELETE of messages of a running or queued turn are a 409."""
    conversation = await client.create_conversation()
    async with client.stream(conversation, "one two", model="stall-midway") as events:
        await anext(events)
        waiting = asyncio.create_task(client.post_message(conversation, "three"))
        await client.wait_for_count(conversation, 4)
        for message in await client.get_messages(conversation):
            path = message_path(message)
            expect_problem(await client.request(method, path, json=body), 409, "turn-unfinished")
        await client.delete(conversation_path(conversation))
        await waiting


async def test_deleted_number_not_reused(client: ParleyClient) -> None:
    """A deleted message cannot be read or deleted again, and its number is not given to another."""
    conversation = await client.create_conversation(message="Hello")
    question, reply = conversation["messages"]
    path = message_path(reply)
    response = await client.delete(path)
    expected = {"detail": f"Message {reply['message_id']} deleted successfully"}
    assert (response.status_code, response.json()) == (200, expected)
    for method, body in (("GET", None), ("PUT", {"content": "Back"}), ("DELETE", None)):
        expect_problem(await client.request(method, path, json=body), 404, "message-not-found")
    assert (
        await client.get_messages(conversation)
        == (await client.get_conversation(conversation))["messages"]
        == [question]
    )
    answer = await client.send(conversation, "Again")
    assert [each["sequence_number"] for each in answer["messages"]] == [1, 3, 4]
