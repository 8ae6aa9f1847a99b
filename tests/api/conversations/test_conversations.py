"""Conversations: creation, settings, lists, changes and deletion."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from tests.support.parley_client import UNKNOWN_ID, ParleyClient, conversation_path, message_path, messages_path
from tests.support.problems import expect_problem, without_request_id
from tests.support.rows import set_updated_at
from tests.support.service import Service
from tests.support.uploads import add_documents

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG_AGO = 1_000_000_000_000
DOCUMENT = "0199f000-0000-7000-8000-00000000000d"
FAR_AHEAD = 4_000_000_000_000
SETTINGS: dict[str, Any] = {
    "title": "Mine",
    "mode": "rag",
    "system_prompt": "Be brief.",
    "provider": "scripted",
    "model": "slow",
    "temperature": 0.5,
    "max_tokens": 7,
    "document_ids": [DOCUMENT],
    "metadata": {"team": "blue"},
}


@pytest_asyncio.fixture(loop_scope="module")
async def document(service: Service) -> None:
    """The document that `SETTINGS` name, which was not ingested."""
    await add_documents(service.database, "ada", [DOCUMENT])


async def test_create_with_message(client: ParleyClient) -> None:
    """A conversation created with a message has a reply, a title, and messages numbered 1 and 2."""
    response = await client.post("/conversations", json={"user_id": 1, "message": "Hello **you**"})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/conversations/{made['conversation_id']}"
    assert (made["title"], made["title_source"], made["user_id"]) == ("Hello you", "message", "1")
    assert made["assistant_reply"] == "Hello **you**"
    assert [(m["sequence_number"], m["role"]) for m in made["messages"]] == [(1, "user"), (2, "assistant")]


async def test_create_without_message(client: ParleyClient) -> None:
    """A conversation created without a message has no title, no reply and default settings."""
    conversation = await client.create_conversation()
    assert uuid.UUID(conversation["conversation_id"]).version == 7
    assert conversation["created_at"] == conversation["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", conversation["created_at"])
    unset = dict.fromkeys((*SETTINGS, "title_source", "assistant_reply"))
    expected = unset | {"user_id": "ada", "mode": "open", "metadata": {}, "message_count": 0, "messages": []}
    assert {name: conversation[name] for name in expected} == expected


@pytest.mark.usefixtures("document")
async def test_settings_stored(client: ParleyClient) -> None:
    """The settings given at creation are those that are read, and a given title is the user's."""
    conversation = await client.create_conversation(**SETTINGS)
    read = await client.get_conversation(conversation)
    assert {name: read[name] for name in SETTINGS} == SETTINGS
    assert read["title_source"] == "user"
    assert {**read, "assistant_reply": None} == conversation


async def test_location_of_created(client: ParleyClient) -> None:
    """The `Location` header leads to the new conversation."""
    response = await client.post("/conversations", json={"user_id": "ada", "message": "Hi"})
    read = await client.get_json(response.headers["location"])
    assert {**read, "assistant_reply": "Hi"} == response.json()


async def test_first_message_sets_title(client: ParleyClient) -> None:
    """A conversation created without a message gets its title from the first one, and keeps it."""
    conversation = await client.create_conversation()
    first = await client.send(conversation, "# Where do swallows winter?\nI ask for a friend.")
    second = await client.send(conversation, "Thanks")
    read = await client.get_conversation(conversation)
    assert {first["title"], second["title"], read["title"]} == {"Where do swallows winter?"}
    assert read["title_source"] == "message"


async def test_user_title_kept(client: ParleyClient) -> None:
    """A title that the user has set, at creation or later, is not replaced by a message's."""
    given, changed = (
        await client.create_conversation(title="Swallows"),
        await client.create_conversation(message="Hello"),
    )
    await client.patch(conversation_path(changed), json={"title": "Greetings"})
    assert (await client.send(given, "Hello"))["title"] == "Swallows"
    assert (await client.send(changed, "Hello again"))["title"] == "Greetings"
    assert (await client.get_conversation(changed))["title_source"] == "user"


async def test_long_title_cut_at_a_word(client: ParleyClient) -> None:
    """A title has at most 60 characters, and ends with an ellipsis where the line was longer."""
    conversation = await client.create_conversation(message="word " * 40)
    assert conversation["title"] == " ".join(["word"] * 12) + "…"
    assert len(conversation["title"]) == 60


async def test_list_by_last_update(service: Service) -> None:
    """A turn and a PATCH each move their conversation to the top of the list."""
    first, second, third = [await service.client.create_conversation(title=title) for title in "abc"]
    await set_updated_at(service, [first, second, third], LONG_AGO)
    await service.client.send(second, "Hello")
    await set_updated_at(service, [second], LONG_AGO + 1)
    await service.client.patch(conversation_path(first), json={"metadata": {"a": "b"}})
    assert [each["title"] for each in await service.client.get_json("/conversations", user_id="ada")] == ["a", "b", "c"]


async def test_list_entry_without_messages(client: ParleyClient) -> None:
    """An entry of the list is the conversation without its messages."""
    conversation = await client.create_conversation(message="Hello")
    read = await client.get_conversation(conversation)
    del read["messages"]
    assert await client.get_json("/conversations", user_id="ada") == [read]


async def test_pages_complete(service: Service) -> None:
    """Following `Link` gives all conversations in order, also those of the same millisecond."""
    made = await asyncio.gather(*(service.client.create_conversation() for _ in range(23)))
    await set_updated_at(service, made[:11], LONG_AGO)
    await set_updated_at(service, made[11:], LONG_AGO + 1)
    walked = await service.client.get_pages("/conversations?user_id=ada&limit=4")
    assert [len(page) for page in walked] == [4, 4, 4, 4, 4, 3]
    keys = [(each["updated_at"], each["conversation_id"]) for page in walked for each in page]
    assert keys == sorted(keys, reverse=True)
    assert {key for _, key in keys} == {each["conversation_id"] for each in made}


async def test_default_page_size(client: ParleyClient) -> None:
    """Without a limit a page has 20 conversations, and a last page that is full has no next one."""
    await asyncio.gather(*(client.create_conversation() for _ in range(40)))
    assert [len(page) for page in await client.get_pages("/conversations?user_id=ada")] == [20, 20]


async def test_update_between_pages(client: ParleyClient) -> None:
    """A conversation that moves to the top between pages makes no other one appear twice."""
    made = [await client.create_conversation() for _ in range(6)]
    first = await client.get("/conversations?user_id=ada&limit=3")
    await client.send(made[0], "Hello")
    rest = await client.get_pages(first.links["next"]["url"])
    seen = [each["conversation_id"] for page in (first.json(), *rest) for each in page]
    assert seen == [each["conversation_id"] for each in reversed(made[1:])]


async def test_next_page_of_odd_user_id(client: ParleyClient) -> None:
    """The next page's URL encodes the user's id, whatever characters it has."""
    user_id = "a&limit=100#%/é 😀"
    for _ in range(3):
        await client.create_conversation(user_id=user_id)
    walked = await client.get_pages(f"/conversations?{urlencode({'user_id': user_id, 'limit': 1})}")
    assert [[each["user_id"] for each in page] for page in walked] == [[user_id]] * 3


async def test_mode_filters_pages(client: ParleyClient) -> None:
    """With `mode` all pages have conversations of that mode only."""
    for mode in ("rag", "open") * 3:
        await client.create_conversation(mode=mode)
    walked = await client.get_pages("/conversations?user_id=ada&mode=rag&limit=2")
    assert [[each["mode"] for each in page] for page in walked] == [["rag", "rag"], ["rag"]]


async def test_unknown_user_has_no_conversations(client: ParleyClient) -> None:
    """The list of an unknown user is empty, and reading it does not create the user."""
    await client.create_conversation()
    assert await client.get_json("/conversations", user_id="eve") == []
    expect_problem(await client.get("/users/eve"), 404, "user-not-found")


async def test_conversation_shows_last_100_messages(client: ParleyClient) -> None:
    """A conversation is returned with its last 100 messages in sequence order."""
    conversation = await client.create_conversation()
    for number in range(51):
        await client.send(conversation, str(number))
    messages = (await client.get_conversation(conversation))["messages"]
    assert [each["sequence_number"] for each in messages] == list(range(3, 103))


@pytest.mark.usefixtures("document")
async def test_change_one_setting(client: ParleyClient) -> None:
    """PATCH changes the given field and leaves all others as they were."""
    conversation = await client.create_conversation()
    expected = await client.get_conversation(conversation)
    del expected["messages"]
    for name, value in SETTINGS.items():
        response = await client.patch(conversation_path(conversation), json={name: value})
        changed = response.json()
        expected |= {name: value, "title_source": "user", "updated_at": changed["updated_at"]}
        assert (response.status_code, changed) == (200, expected)
    assert (await client.get_conversation(conversation))["metadata"] == SETTINGS["metadata"]


@pytest.mark.usefixtures("document")
async def test_null_resets_setting(client: ParleyClient) -> None:
    """PATCH with null resets a setting; mode and metadata always have a value."""
    conversation = await client.create_conversation(**SETTINGS)
    clearable = dict.fromkeys(SETTINGS.keys() - {"mode", "metadata"})
    changed = (await client.patch(conversation_path(conversation), json=clearable)).json()
    assert {name: changed[name] for name in clearable} == clearable
    assert changed["title_source"] is None
    for name in ("mode", "metadata"):
        expect_problem(await client.patch(conversation_path(conversation), json={name: None}), 422, "validation-error")


@pytest.mark.usefixtures("document")
async def test_empty_patch_changes_nothing(client: ParleyClient) -> None:
    """PATCH without a field leaves all settings as they were."""
    conversation = await client.create_conversation(**SETTINGS)
    changed = (await client.patch(conversation_path(conversation), json={})).json()
    assert {name: changed[name] for name in SETTINGS} == SETTINGS


async def test_refused_patch_changes_nothing(client: ParleyClient) -> None:
    """A PATCH with one invalid field changes none of the others."""
    conversation = await client.create_conversation()
    for wrong in ({"provider": "nobody"}, {"model": "unheard-of"}):
        response = await client.patch(conversation_path(conversation), json={"title": "New"} | wrong)
        expect_problem(response, 422, "unknown-model")
    read = await client.get_conversation(conversation)
    assert (read["title"], read["updated_at"]) == (None, conversation["updated_at"])


async def test_updated_at_follows_changes(service: Service) -> None:
    """A turn and a PATCH each set `updated_at` to the current time."""
    conversation = await service.client.create_conversation()
    for act in (
        service.client.send(conversation, "Hi"),
        service.client.patch(conversation_path(conversation), json={"title": "New"}),
    ):
        await set_updated_at(service, [conversation], LONG_AGO)
        await act
        assert (await service.client.get_conversation(conversation))["updated_at"] >= conversation["created_at"]


async def test_updated_at_never_decreases(service: Service) -> None:
    """After a clock that was ahead, neither a turn nor a PATCH moves `updated_at` back."""
    conversation = await service.client.create_conversation()
    await set_updated_at(service, [conversation], FAR_AHEAD)
    ahead = (await service.client.get_conversation(conversation))["updated_at"]
    await service.client.send(conversation, "Hello")
    changed = (await service.client.patch(conversation_path(conversation), json={"title": "New"})).json()
    assert changed["updated_at"] == (await service.client.get_conversation(conversation))["updated_at"] == ahead


async def test_deleted_conversation_not_found(client: ParleyClient) -> None:
    """After DELETE every path of the conversation is a 404, and no list has it."""
    conversation = await client.create_conversation(message="Hello")
    response = await client.delete(conversation_path(conversation))
    expected = {"detail": f"Conversation {conversation['conversation_id']} deleted successfully"}
    assert (response.status_code, response.json()) == (200, expected)
    for response in await everything_of(client, conversation):
        expect_problem(response, 404, "conversation-not-found")
    assert await client.get_json("/conversations", user_id="ada") == []


async def test_delete_ends_stream(client: ParleyClient) -> None:
    """Deleting a conversation ends the stream of its turn with `message.cancelled` and the text so far."""
    conversation = await client.create_conversation()
    async with client.stream(conversation, "one two", model="stall-midway") as events:
        seen = [await anext(events), await anext(events)]
        assert (await client.delete(conversation_path(conversation))).status_code == 200
        seen += [event async for event in events]
    assert [(each.name, each.id) for each in seen[1:]] == [("message.delta", 4), ("message.cancelled", "4-end")]
    ended = seen[-1].data["message"]
    assert (ended["status"], ended["content"]) == ("cancelled", "one ")
    expect_problem(await client.get(conversation_path(conversation)), 404, "conversation-not-found")


async def test_delete_ends_waiting_posts(client: ParleyClient) -> None:
    """Posts that wait for a turn of a deleted conversation are answered with 404, running and queued ones."""
    conversation = await client.create_conversation()
    async with client.stream(conversation, "first", model="stall-midway") as events:
        await anext(events)
        waiting = asyncio.create_task(client.post_message(conversation, "second"))
        await client.wait_for_count(conversation, 4)
        await client.delete(conversation_path(conversation))
        expect_problem(await waiting, 404, "conversation-not-found")


async def test_foreign_conversation_not_found(client: ParleyClient) -> None:
    """Another user's conversation gives the same 404 as an unknown id, and stays unchanged."""
    conversation = await client.create_conversation(message="Hello")
    before = await client.get_conversation(conversation, user_id="ada")
    unknown = {**conversation, "conversation_id": UNKNOWN_ID}
    foreign = await everything_of(client, conversation, user_id="eve")
    for mine, random in zip(foreign, await everything_of(client, unknown), strict=True):
        expect_problem(mine, 404, "conversation-not-found")
        assert without_request_id(mine) == without_request_id(random)
    assert await client.get_conversation(conversation) == before


async def test_message_count_excludes_deleted(client: ParleyClient) -> None:
    """`message_count` counts the messages that can be read."""
    conversation = await client.create_conversation(message="one")
    await client.send(conversation, "two")
    for message in conversation["messages"]:
        await client.delete(message_path(message))
    read = await client.get_conversation(conversation)
    assert (read["message_count"], len(read["messages"])) == (2, 2)
    await client.stream_all(conversation, "three")
    assert (await client.get_json("/conversations", user_id="ada"))[0]["message_count"] == 4


async def everything_of(client: ParleyClient, made: dict[str, Any], **query: str) -> list[Any]:
    """Return the answers of every route of a conversation and of its first message."""
    conversation, messages = conversation_path(made), messages_path(made)
    message = f"{messages}/{made['messages'][0]['message_id']}"
    requests: list[tuple[str, str, Any]] = [
        ("GET", conversation, None),
        ("PATCH", conversation, {"title": "Taken"}),
        ("POST", messages, {"message": "Hello"}),
        ("POST", messages, {"message": "Hello", "stream": True}),
        ("GET", messages, None),
        ("GET", message, None),
        ("PUT", message, {"content": "Other"}),
        ("DELETE", message, None),
        ("DELETE", conversation, None),
    ]
    return [await client.request(*each[:2], json=each[2], params=query) for each in requests]
