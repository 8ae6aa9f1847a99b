"""Turns: their answers, their order and their models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, conversation_path, messages_path
from tests.support.problems import expect_problem
from tests.support.service import Service
from tests.support.shelf import Shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_answer_has_reply_and_messages(client: ParleyClient) -> None:
    """A turn returns conversation, title, reply and all messages up to it, as they are stored."""
    conversation = await client.create_conversation(message="One")
    answer = await client.send(conversation, "Two and three")
    assert answer.keys() == {"conversation_id", "title", "assistant_reply", "messages"}
    assert (answer["conversation_id"], answer["title"]) == (conversation["conversation_id"], "One")
    assert answer["assistant_reply"] == "Two and three"
    assert [each["content"] for each in answer["messages"]] == ["One", "One", "Two and three", "Two and three"]
    assert answer["messages"] == await client.get_messages(conversation)


async def test_message_fields(client: ParleyClient) -> None:
    """Both messages of a turn have every field, the reply with its model, usage and end."""
    question, reply = (await client.create_conversation(message="One two"))["messages"]
    common: dict[str, Any] = {
        "conversation_id": reply["conversation_id"],
        "status": "completed",
        "citations": [],
        "grounded": None,
    }
    common |= {"error": None, "edited_at": None, "superseded_by": None}
    no_author: dict[str, Any] = {"provider": None, "model": None, "finish_reason": None, "usage": None}
    usage = {"input_tokens": 2, "output_tokens": 2, "estimated": False}
    author: dict[str, Any] = {"provider": "scripted", "model": "echo", "finish_reason": "stop", "usage": usage}
    times = ("message_id", "created_at", "completed_at")
    for message, own in ((question, no_author | {"role": "user"}), (reply, author | {"role": "assistant"})):
        own |= {"content": "One two", "sequence_number": 1 if message is question else 2}
        assert message == common | own | {name: message[name] for name in times}
    assert question["created_at"] == reply["created_at"] <= reply["completed_at"]


async def test_minimal_answer(client: ParleyClient) -> None:
    """With `Prefer: return=minimal` the answer has the turn's two messages only, and says so."""
    conversation = await client.create_conversation(message="One")
    headers = {"Prefer": "return=minimal"}
    response = await client.post(messages_path(conversation), json={"message": "Two"}, headers=headers)
    assert [each["sequence_number"] for each in response.json()["messages"]] == [3, 4]
    assert response.json()["messages"] == await client.get_messages(conversation, after=2)
    assert response.headers["preference-applied"] == "return=minimal"


async def test_answer_shows_last_50_messages(client: ParleyClient) -> None:
    """The answer to a turn has the 50 messages up to its reply, and the list has all in pages."""
    conversation = await client.create_conversation()
    for number in range(27):
        answer = await client.send(conversation, str(number))
    assert [each["sequence_number"] for each in answer["messages"]] == list(range(5, 55))
    walked = await client.get_pages(messages_path(conversation))
    assert [[each["sequence_number"] for each in page] for page in walked] == [
        list(range(1, 51)),
        list(range(51, 55)),
    ]


async def test_conversation_with_documents_replies(service: Service) -> None:
    """Conversations with documents are answered, in open and in rag mode."""
    await service.client.post("/users", json={"user_id": "ada"})
    documents = [await Shelf(service).add("ada", "greetings.txt", "Hello again and again")]
    for mode in ("open", "rag"):
        conversation = await service.client.create_conversation(mode=mode, document_ids=documents, message="Hello")
        assert (conversation["assistant_reply"], conversation["document_ids"]) == ("Hello", documents)
        assert (await service.client.send(conversation, "Again"))["assistant_reply"].endswith("Again")


async def test_turns_run_one_by_one(client: ParleyClient) -> None:
    """Parallel turns of one conversation are answered one after the other, each with the next two numbers."""
    conversation = await client.create_conversation()
    answers = await asyncio.gather(*(client.send(conversation, str(number), model="slow") for number in range(4)))
    numbers = sorted(answer["messages"][-1]["sequence_number"] for answer in answers)
    assert numbers == [2, 4, 6, 8]
    stored = await client.get_messages(conversation)
    assert [each["sequence_number"] for each in stored] == list(range(1, 9))
    assert all(q["content"] == a["content"] for q, a in zip(stored[::2], stored[1::2], strict=True))


async def test_queue_limit_64(client: ParleyClient) -> None:
    """The 65th unfinished turn of a conversation is `queue-full` and takes no number."""
    conversation = await client.create_conversation()
    waiting = [asyncio.create_task(client.post_message(conversation, "Hello", model="stall")) for _ in range(64)]
    await client.wait_for_count(conversation, 128)
    expect_problem(await client.post_message(conversation, "One too many"), 409, "queue-full")
    stored = await client.get_messages(conversation, after=64, limit=100)
    assert [each["sequence_number"] for each in stored] == list(range(65, 129))
    await client.delete(conversation_path(conversation))
    assert {response.status_code for response in await asyncio.gather(*waiting)} == {404}


async def test_turn_with_its_own_model(client: ParleyClient) -> None:
    """A model given for one turn answers that turn only, and is stored with its reply."""
    conversation = await client.create_conversation(message="one two", model="echo", max_tokens=1)
    named = await client.send(conversation, "one two", model="slow", max_tokens=2)
    after = await client.send(conversation, "one two")
    replies = [each for each in after["messages"] if each["role"] == "assistant"]
    assert [(each["model"], each["content"]) for each in replies] == [
        ("echo", "one "),
        ("slow", "one two"),
        ("echo", "one "),
    ]
    assert named["messages"][-1] == replies[1]


@pytest.mark.parametrize(
    ("body", "choices"),
    [({"provider": "no_author"}, ("local", "scripted")), ({"model": "unheard-of"}, ("echo", "stall-midway"))],
)
async def test_unknown_model_refused(client: ParleyClient, body: dict[str, Any], choices: tuple[str, ...]) -> None:
    """An unknown provider or model is `unknown-model` with the choices, and nothing is stored."""
    conversation = await client.create_conversation()
    new = {"user_id": "eve", "message": "Hello"} | body
    refused = [
        await client.post("/conversations", json=new),
        await client.post("/conversations", json={"user_id": "eve"} | body),
        await client.post_message(conversation, "Hello", **body),
        await client.patch(conversation_path(conversation), json=body),
    ]
    for response in refused:
        problem = expect_problem(response, 422, "unknown-model")
        assert all(choice in problem["detail"] for choice in choices)
    assert await client.get_messages(conversation) == []
    expect_problem(await client.get("/users/eve"), 404, "user-not-found")


async def test_grounded_null_in_open_mode(client: ParleyClient) -> None:
    """A reply without citations is not grounded in rag mode; in open mode `grounded` is null."""
    for mode, grounded in (("rag", False), ("open", None)):
        conversation = await client.create_conversation(mode=mode, message="Hello")
        assert [each["grounded"] for each in conversation["messages"]] == [None, grounded]
        assert [each["grounded"] for each in await client.get_messages(conversation)] == [None, grounded]
