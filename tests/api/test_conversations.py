from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

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
    set_updated_at,
    streamed,
    told,
    until_accepted,
    without_request_id,
)
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
    """The document that `SETTINGS` name, which nobody has read."""
    await add_documents(service.database, "ada", [DOCUMENT])


async def test_a_first_message_makes_title_and_both_messages(service: Service) -> None:
    """A conversation made with a message is answered, titled and numbered 1 and 2."""
    response = await service.client.post("/conversations", json={"user_id": 1, "message": "Hello **you**"})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/conversations/{made['conversation_id']}"
    assert (made["title"], made["title_source"], made["user_id"]) == ("Hello you", "message", "1")
    assert made["assistant_reply"] == "Hello **you**"
    assert [(m["sequence_number"], m["role"]) for m in made["messages"]] == [(1, "user"), (2, "assistant")]


async def test_without_a_message_a_conversation_is_empty(service: Service) -> None:
    """A conversation made without a message has no title, no reply and every setting at its default."""
    made = await make(service)
    assert uuid.UUID(made["conversation_id"]).version == 7
    assert made["created_at"] == made["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["created_at"])
    unset = dict.fromkeys((*SETTINGS, "title_source", "assistant_reply"))
    expected = unset | {"user_id": "ada", "mode": "open", "metadata": {}, "message_count": 0, "messages": []}
    assert {name: made[name] for name in expected} == expected


@pytest.mark.usefixtures("document")
async def test_all_settings_are_kept(service: Service) -> None:
    """What a conversation is made with is what is read of it, and a given title is the person's."""
    made = await make(service, **SETTINGS)
    read = await got(service, path_of(made))
    assert {name: read[name] for name in SETTINGS} == SETTINGS
    assert read["title_source"] == "user"
    assert {**read, "assistant_reply": None} == made


async def test_a_conversation_is_created_by_location(service: Service) -> None:
    """The header `Location` leads to the new conversation."""
    response = await service.client.post("/conversations", json={"user_id": "ada", "message": "Hi"})
    read = await got(service, response.headers["location"])
    assert {**read, "assistant_reply": "Hi"} == response.json()


async def test_the_first_message_titles_an_untitled_conversation(service: Service) -> None:
    """A conversation made without a message gets its title with the first, and keeps it."""
    made = await make(service)
    first = await told(service, made, "# Where do swallows winter?\nI ask for a friend.")
    second = await told(service, made, "Thanks")
    read = await got(service, path_of(made))
    assert {first["title"], second["title"], read["title"]} == {"Where do swallows winter?"}
    assert read["title_source"] == "message"


async def test_a_persons_title_is_kept(service: Service) -> None:
    """A title that a person gave, at the start or later, is not replaced by a message's."""
    given, changed = await make(service, title="Swallows"), await make(service, message="Hello")
    await service.client.patch(path_of(changed), json={"title": "Greetings"})
    assert (await told(service, given, "Hello"))["title"] == "Swallows"
    assert (await told(service, changed, "Hello again"))["title"] == "Greetings"
    assert (await got(service, path_of(changed)))["title_source"] == "user"


async def test_a_long_first_line_is_cut_at_a_word(service: Service) -> None:
    """A title has at most 60 characters and ends in an ellipsis where the line went on."""
    made = await make(service, message="word " * 40)
    assert made["title"] == " ".join(["word"] * 12) + "…"
    assert len(made["title"]) == 60


async def test_the_last_updated_conversation_is_listed_first(service: Service) -> None:
    """A turn and a PATCH each bring their conversation to the top of the list."""
    first, second, third = [await make(service, title=title) for title in "abc"]
    await set_updated_at(service, [first, second, third], LONG_AGO)
    await told(service, second, "Hello")
    await set_updated_at(service, [second], LONG_AGO + 1)
    await service.client.patch(path_of(first), json={"metadata": {"a": "b"}})
    assert [each["title"] for each in await got(service, "/conversations", user_id="ada")] == ["a", "b", "c"]


async def test_a_list_shows_conversations_as_they_are_read_alone(service: Service) -> None:
    """An entry of the list is the conversation without its messages."""
    made = await make(service, message="Hello")
    read = await got(service, path_of(made))
    del read["messages"]
    assert await got(service, "/conversations", user_id="ada") == [read]


async def test_pages_hold_every_conversation_once(service: Service) -> None:
    """Following `Link` from page to page gives all in order, also those of the same millisecond."""
    made = await asyncio.gather(*(make(service) for _ in range(23)))
    await set_updated_at(service, made[:11], LONG_AGO)
    await set_updated_at(service, made[11:], LONG_AGO + 1)
    walked = await pages(service, "/conversations?user_id=ada&limit=4")
    assert [len(page) for page in walked] == [4, 4, 4, 4, 4, 3]
    keys = [(each["updated_at"], each["conversation_id"]) for page in walked for each in page]
    assert keys == sorted(keys, reverse=True)
    assert {key for _, key in keys} == {each["conversation_id"] for each in made}


async def test_a_page_has_twenty_conversations_by_default(service: Service) -> None:
    """Without a limit the list gives 20, and a last page that is full has no next one."""
    await asyncio.gather(*(make(service) for _ in range(40)))
    assert [len(page) for page in await pages(service, "/conversations?user_id=ada")] == [20, 20]


async def test_changes_during_a_walk_repeat_nothing_unchanged(service: Service) -> None:
    """A conversation that moves to the top during a walk makes no other come twice."""
    made = [await make(service) for _ in range(6)]
    first = await service.client.get("/conversations?user_id=ada&limit=3")
    await told(service, made[0], "Hello")
    rest = await pages(service, first.links["next"]["url"])
    seen = [each["conversation_id"] for page in (first.json(), *rest) for each in page]
    assert seen == [each["conversation_id"] for each in reversed(made[1:])]


async def test_pages_are_found_for_every_user(service: Service) -> None:
    """The next page's address holds the user's id as it is, whatever characters it has."""
    user_id = "a&limit=100#%/é 😀"
    for _ in range(3):
        await make(service, user_id=user_id)
    walked = await pages(service, f"/conversations?{urlencode({'user_id': user_id, 'limit': 1})}")
    assert [[each["user_id"] for each in page] for page in walked] == [[user_id]] * 3


async def test_the_mode_filters_all_pages(service: Service) -> None:
    """With `mode` the list and its next pages hold conversations of that mode alone."""
    for mode in ("rag", "open") * 3:
        await make(service, mode=mode)
    walked = await pages(service, "/conversations?user_id=ada&mode=rag&limit=2")
    assert [[each["mode"] for each in page] for page in walked] == [["rag", "rag"], ["rag"]]


async def test_a_user_who_never_came_has_no_conversations(service: Service) -> None:
    """The list of an unknown user is empty, and asking does not make the user."""
    await make(service)
    assert await got(service, "/conversations", user_id="eve") == []
    problem_of(await service.client.get("/users/eve"), 404, "user-not-found")


async def test_a_conversation_shows_its_latest_hundred_messages(service: Service) -> None:
    """Reading a conversation gives the last 100 of its messages in sequence order."""
    made = await make(service)
    for number in range(51):
        await told(service, made, str(number))
    messages = (await got(service, path_of(made)))["messages"]
    assert [each["sequence_number"] for each in messages] == list(range(3, 103))


@pytest.mark.usefixtures("document")
async def test_each_setting_can_be_changed_alone(service: Service) -> None:
    """PATCH sets the field that it names and leaves every other as it was."""
    made = await make(service)
    expected = await got(service, path_of(made))
    del expected["messages"]
    for name, value in SETTINGS.items():
        response = await service.client.patch(path_of(made), json={name: value})
        changed = response.json()
        expected |= {name: value, "title_source": "user", "updated_at": changed["updated_at"]}
        assert (response.status_code, changed) == (200, expected)
    assert (await got(service, path_of(made)))["metadata"] == SETTINGS["metadata"]


@pytest.mark.usefixtures("document")
async def test_null_takes_a_setting_away(service: Service) -> None:
    """PATCH with null brings a setting back to unset; mode and metadata always have a value."""
    made = await make(service, **SETTINGS)
    clearable = dict.fromkeys(SETTINGS.keys() - {"mode", "metadata"})
    changed = (await service.client.patch(path_of(made), json=clearable)).json()
    assert {name: changed[name] for name in clearable} == clearable
    assert changed["title_source"] is None
    for name in ("mode", "metadata"):
        problem_of(await service.client.patch(path_of(made), json={name: None}), 422, "validation-error")


@pytest.mark.usefixtures("document")
async def test_an_empty_change_changes_nothing(service: Service) -> None:
    """PATCH without a field leaves all settings, and may move `updated_at` alone."""
    made = await make(service, **SETTINGS)
    changed = (await service.client.patch(path_of(made), json={})).json()
    assert {name: changed[name] for name in SETTINGS} == SETTINGS


async def test_a_refused_change_changes_nothing(service: Service) -> None:
    """A PATCH of which one field is wrong leaves the others as they were too."""
    made = await make(service)
    for wrong in ({"provider": "nobody"}, {"model": "unheard-of"}):
        response = await service.client.patch(path_of(made), json={"title": "New"} | wrong)
        problem_of(response, 422, "unknown-model")
    read = await got(service, path_of(made))
    assert (read["title"], read["updated_at"]) == (None, made["updated_at"])


async def test_turns_and_changes_move_updated_at(service: Service) -> None:
    """A turn and a PATCH each set `updated_at` to now."""
    made = await make(service)
    for act in (told(service, made, "Hi"), service.client.patch(path_of(made), json={"title": "New"})):
        await set_updated_at(service, [made], LONG_AGO)
        await act
        assert (await got(service, path_of(made)))["updated_at"] >= made["created_at"]


async def test_updated_at_never_goes_back(service: Service) -> None:
    """Where a clock was ahead, neither a turn nor a PATCH moves `updated_at` backwards."""
    made = await make(service)
    await set_updated_at(service, [made], FAR_AHEAD)
    ahead = (await got(service, path_of(made)))["updated_at"]
    await told(service, made, "Hello")
    changed = (await service.client.patch(path_of(made), json={"title": "New"})).json()
    assert changed["updated_at"] == (await got(service, path_of(made)))["updated_at"] == ahead


async def test_a_deleted_conversation_is_gone(service: Service) -> None:
    """After DELETE every path of the conversation and its messages is a 404, and no list shows it."""
    made = await make(service, message="Hello")
    response = await service.client.delete(path_of(made))
    expected = {"detail": f"Conversation {made['conversation_id']} deleted successfully"}
    assert (response.status_code, response.json()) == (200, expected)
    for response in await everything_of(service, made):
        problem_of(response, 404, "conversation-not-found")
    assert await got(service, "/conversations", user_id="ada") == []


async def test_deleting_ends_the_stream_of_a_running_turn(service: Service) -> None:
    """A conversation deleted while a turn streams ends the stream with `message.cancelled` and the text so far."""
    made = await make(service)
    body = {"message": "one two", "model": "stall-midway", "stream": True}
    async with service.client.http.stream("POST", messages_of(made), json=body) as response:
        events = live_events(response)
        seen = [await anext(events), await anext(events)]
        assert (await service.client.delete(path_of(made))).status_code == 200
        seen += [event async for event in events]
    assert [(each.name, each.id) for each in seen[1:]] == [("message.delta", 4), ("message.cancelled", "4-end")]
    ended = seen[-1].data["message"]
    assert (ended["status"], ended["content"]) == ("cancelled", "one ")
    problem_of(await service.client.get(path_of(made)), 404, "conversation-not-found")


async def test_deleting_ends_running_and_waiting_posts(service: Service) -> None:
    """A conversation deleted under its turns gives a 404 to those who wait for them, running and queued."""
    made = await make(service)
    body = {"message": "first", "model": "stall-midway", "stream": True}
    async with service.client.http.stream("POST", messages_of(made), json=body) as response:
        await anext(live_events(response))
        waiting = asyncio.create_task(say(service, made, "second"))
        await until_accepted(service, made, 4)
        await service.client.delete(path_of(made))
        problem_of(await waiting, 404, "conversation-not-found")


async def test_a_foreign_conversation_looks_like_none(service: Service) -> None:
    """Another user's conversation is a 404 with the very body of an id that never was, and stays as it is."""
    made = await make(service, message="Hello")
    before = await got(service, path_of(made), user_id="ada")
    unknown = {**made, "conversation_id": UNKNOWN_ID}
    foreign = await everything_of(service, made, user_id="eve")
    for mine, random in zip(foreign, await everything_of(service, unknown), strict=True):
        problem_of(mine, 404, "conversation-not-found")
        assert without_request_id(mine) == without_request_id(random)
    assert await got(service, path_of(made)) == before


async def test_message_count_follows_deletions(service: Service) -> None:
    """`message_count` counts the messages that can be read."""
    made = await make(service, message="one")
    await told(service, made, "two")
    for message in made["messages"]:
        await service.client.delete(f"{messages_of(made)}/{message['message_id']}")
    read = await got(service, path_of(made))
    assert (read["message_count"], len(read["messages"])) == (2, 2)
    await streamed(service, made, "three")
    assert (await got(service, "/conversations", user_id="ada"))[0]["message_count"] == 4


async def everything_of(service: Service, made: dict[str, Any], **query: str) -> list[Any]:
    """The answers of every route of a conversation and of its first message."""
    conversation, messages = path_of(made), messages_of(made)
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
    return [await service.client.request(*each[:2], json=each[2], params=query) for each in requests]
