from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from app.db.models import MessageRow
from tests.api.talk import (
    UNKNOWN_ID,
    got,
    live_events,
    make,
    messages_of,
    pages,
    path_of,
    problem_of,
    say,
    told,
    until_accepted,
)
from tests.support.service import Service
from tests.support.shelf import Shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_turn_answers_with_its_reply_and_the_messages(service: Service) -> None:
    """A turn gives conversation, title, reply and all messages up to it, which are stored as they are given."""
    made = await make(service, message="One")
    answer = await told(service, made, "Two and three")
    assert answer.keys() == {"conversation_id", "title", "assistant_reply", "messages"}
    assert (answer["conversation_id"], answer["title"]) == (made["conversation_id"], "One")
    assert answer["assistant_reply"] == "Two and three"
    assert [each["content"] for each in answer["messages"]] == ["One", "One", "Two and three", "Two and three"]
    assert answer["messages"] == await got(service, messages_of(made))


async def test_a_reply_says_who_wrote_it_and_what_it_cost(service: Service) -> None:
    """Both messages of a turn have every member, the reply with its model, its usage and its end."""
    question, reply = (await make(service, message="One two"))["messages"]
    common: dict[str, Any] = {
        "conversation_id": reply["conversation_id"],
        "status": "completed",
        "citations": [],
        "grounded": None,
    }
    common |= {"error": None, "edited_at": None, "superseded_by": None}
    nobody: dict[str, Any] = {"provider": None, "model": None, "finish_reason": None, "usage": None}
    usage = {"input_tokens": 2, "output_tokens": 2, "estimated": False}
    author: dict[str, Any] = {"provider": "scripted", "model": "echo", "finish_reason": "stop", "usage": usage}
    times = ("message_id", "created_at", "completed_at")
    for message, own in ((question, nobody | {"role": "user"}), (reply, author | {"role": "assistant"})):
        own |= {"content": "One two", "sequence_number": 1 if message is question else 2}
        assert message == common | own | {name: message[name] for name in times}
    assert question["created_at"] == reply["created_at"] <= reply["completed_at"]


async def test_a_minimal_answer_holds_the_turn_alone(service: Service) -> None:
    """With `Prefer: return=minimal` a turn answers with its own two messages and says so."""
    made = await make(service, message="One")
    headers = {"Prefer": "return=minimal"}
    response = await service.client.post(messages_of(made), json={"message": "Two"}, headers=headers)
    assert [each["sequence_number"] for each in response.json()["messages"]] == [3, 4]
    assert response.json()["messages"] == await got(service, messages_of(made), after=2)
    assert response.headers["preference-applied"] == "return=minimal"


async def test_an_answer_holds_the_latest_fifty_messages(service: Service) -> None:
    """The answer to a turn shows the 50 messages up to its reply; the list pages through all."""
    made = await make(service)
    for number in range(27):
        answer = await told(service, made, str(number))
    assert [each["sequence_number"] for each in answer["messages"]] == list(range(5, 55))
    walked = await pages(service, messages_of(made))
    assert [[each["sequence_number"] for each in page] for page in walked] == [
        list(range(1, 51)),
        list(range(51, 55)),
    ]


async def test_the_list_is_bounded_ordered_and_paged(service: Service) -> None:
    """`after` and `before` are bounds that are not included, `order` turns the list, `Link` walks what is left."""
    made = await make(service)
    for number in range(5):
        await told(service, made, str(number))
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
        walked = await pages(service, messages_of(made) + query)
        assert [[each["sequence_number"] for each in page] for page in walked] == numbers, query


async def test_a_conversation_of_documents_has_turns(service: Service) -> None:
    """A conversation that names documents, and one in rag mode, is answered like any other."""
    await service.client.post("/users", json={"user_id": "ada"})
    documents = [await Shelf(service).add("ada", "greetings.txt", "Hello again and again")]
    for mode in ("open", "rag"):
        made = await make(service, mode=mode, document_ids=documents, message="Hello")
        assert (made["assistant_reply"], made["document_ids"]) == ("Hello", documents)
        assert (await told(service, made, "Again"))["assistant_reply"].endswith("Again")


async def test_citations_are_read_with_their_message(service: Service) -> None:
    """The citations that are stored with a reply are shown with it."""
    made = await make(service, message="Hello")
    citation = {"marker": 1, "document_name": "a.pdf", "page": None, "score": 0.5}
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(citations=[citation]))
    assert [each["citations"] for each in await got(service, messages_of(made))] == [[], [citation]]


async def test_a_message_is_read_alone_as_in_the_list(service: Service) -> None:
    """A message's own path gives what the list shows of it."""
    made = await make(service, message="Hello")
    for message in made["messages"]:
        assert await got(service, f"{messages_of(made)}/{message['message_id']}") == message


async def test_an_unknown_message_is_a_404_of_its_own(service: Service) -> None:
    """A message that never was, or is another conversation's, is `message-not-found` for every method."""
    made, other = await make(service, message="Hello"), await make(service, message="Hello")
    for message_id in (UNKNOWN_ID, other["messages"][0]["message_id"]):
        path = f"{messages_of(made)}/{message_id}"
        for method, body in (("GET", None), ("PUT", {"content": "Other"}), ("DELETE", None)):
            problem_of(await service.client.request(method, path, json=body), 404, "message-not-found")
    assert await got(service, messages_of(other)) == other["messages"]


async def test_an_edited_message_holds_its_new_text(service: Service) -> None:
    """PUT gives a user's message other text and the time of the edit, and changes nothing else."""
    made = await make(service, message="Hello")
    before, reply = made["messages"]
    path = f"{messages_of(made)}/{before['message_id']}"
    response = await service.client.put(path, json={"content": "Good bye"})
    edited = response.json()
    assert (response.status_code, edited) == (200, before | {"content": "Good bye", "edited_at": edited["edited_at"]})
    assert edited["edited_at"] >= before["created_at"]
    assert await got(service, messages_of(made)) == [edited, reply]


async def test_a_reply_cannot_be_edited(service: Service) -> None:
    """PUT of an assistant's message is refused, and its text stays."""
    made = await make(service, message="Hello")
    reply = made["messages"][1]
    path = f"{messages_of(made)}/{reply['message_id']}"
    problem_of(await service.client.put(path, json={"content": "I said more"}), 422, "validation-error")
    assert await got(service, path) == reply


@pytest.mark.parametrize(("method", "body"), [("PUT", {"content": "Other"}), ("DELETE", None)])
async def test_messages_of_an_unfinished_turn_stay_as_they_are(service: Service, method: str, body: Any) -> None:
    """PUT and DELETE of either message of a running or waiting turn are refused with 409."""
    made = await make(service)
    running = {"message": "one two", "model": "stall-midway", "stream": True}
    async with service.client.http.stream("POST", messages_of(made), json=running) as response:
        await anext(live_events(response))
        waiting = asyncio.create_task(say(service, made, "three"))
        await until_accepted(service, made, 4)
        for message in await got(service, messages_of(made)):
            path = f"{messages_of(made)}/{message['message_id']}"
            problem_of(await service.client.request(method, path, json=body), 409, "turn-unfinished")
        await service.client.delete(path_of(made))
        await waiting


async def test_a_deleted_message_is_gone_and_its_number_stays_taken(service: Service) -> None:
    """A deleted message is in no read, cannot be deleted again, and its number is never given to another."""
    made = await make(service, message="Hello")
    question, reply = made["messages"]
    path = f"{messages_of(made)}/{reply['message_id']}"
    response = await service.client.delete(path)
    expected = {"detail": f"Message {reply['message_id']} deleted successfully"}
    assert (response.status_code, response.json()) == (200, expected)
    for method, body in (("GET", None), ("PUT", {"content": "Back"}), ("DELETE", None)):
        problem_of(await service.client.request(method, path, json=body), 404, "message-not-found")
    assert await got(service, messages_of(made)) == (await got(service, path_of(made)))["messages"] == [question]
    answer = await told(service, made, "Again")
    assert [each["sequence_number"] for each in answer["messages"]] == [1, 3, 4]


async def test_the_next_turn_begins_when_the_one_before_has_ended(service: Service) -> None:
    """Turns posted at once are answered one after the other, each with the two next numbers."""
    made = await make(service)
    answers = await asyncio.gather(*(told(service, made, str(number), model="slow") for number in range(4)))
    numbers = sorted(answer["messages"][-1]["sequence_number"] for answer in answers)
    assert numbers == [2, 4, 6, 8]
    stored = await got(service, messages_of(made))
    assert [each["sequence_number"] for each in stored] == list(range(1, 9))
    assert all(q["content"] == a["content"] for q, a in zip(stored[::2], stored[1::2], strict=True))


async def test_no_more_than_64_turns_wait(service: Service) -> None:
    """The 65th unfinished turn of a conversation is refused with `queue-full` and takes no number."""
    made = await make(service)
    waiting = [asyncio.create_task(say(service, made, "Hello", model="stall")) for _ in range(64)]
    await until_accepted(service, made, 128)
    problem_of(await say(service, made, "One too many"), 409, "queue-full")
    stored = await got(service, messages_of(made), after=64, limit=100)
    assert [each["sequence_number"] for each in stored] == list(range(65, 129))
    await service.client.delete(path_of(made))
    assert {response.status_code for response in await asyncio.gather(*waiting)} == {404}


async def test_a_turn_may_name_its_own_model(service: Service) -> None:
    """A model named for one turn answers that turn alone, and is stored with its reply."""
    made = await make(service, message="one two", model="echo", max_tokens=1)
    named = await told(service, made, "one two", model="slow", max_tokens=2)
    after = await told(service, made, "one two")
    replies = [each for each in after["messages"] if each["role"] == "assistant"]
    assert [(each["model"], each["content"]) for each in replies] == [
        ("echo", "one "),
        ("slow", "one two"),
        ("echo", "one "),
    ]
    assert named["messages"][-1] == replies[1]


@pytest.mark.parametrize(
    ("body", "choices"),
    [({"provider": "nobody"}, ("local", "scripted")), ({"model": "unheard-of"}, ("echo", "stall-midway"))],
)
async def test_an_unknown_model_is_refused_with_the_choices(
    service: Service, body: dict[str, Any], choices: tuple[str, ...]
) -> None:
    """An unknown provider or model is `unknown-model` wherever it is named, says what there is, and stores nothing."""
    made = await make(service)
    new = {"user_id": "eve", "message": "Hello"} | body
    refused = [
        await service.client.post("/conversations", json=new),
        await service.client.post("/conversations", json={"user_id": "eve"} | body),
        await say(service, made, "Hello", **body),
        await service.client.patch(path_of(made), json=body),
    ]
    for response in refused:
        problem = problem_of(response, 422, "unknown-model")
        assert all(choice in problem["detail"] for choice in choices)
    assert await got(service, messages_of(made)) == []
    problem_of(await service.client.get("/users/eve"), 404, "user-not-found")


async def test_a_reply_without_documents_says_that_it_is_not_grounded(service: Service) -> None:
    """In a rag conversation a reply without citations is not grounded; in an open one that is no question."""
    for mode, grounded in (("rag", False), ("open", None)):
        made = await make(service, mode=mode, message="Hello")
        assert [each["grounded"] for each in made["messages"]] == [None, grounded]
        assert [each["grounded"] for each in await got(service, messages_of(made))] == [None, grounded]
