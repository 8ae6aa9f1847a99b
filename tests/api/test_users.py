from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import AttemptRow
from app.services import users
from tests.api.talk import (
    got,
    live_events,
    make,
    messages_of,
    path_of,
    problem_of,
    row_counts,
    say,
    told,
    until_accepted,
    without_request_id,
)
from tests.support.databases import PostgresTemplate
from tests.support.service import Service, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD_IDS = [
    "a/b",
    "/",
    "/a",
    "a/",
    "a//b/",
    "ユーザー",
    "👩‍🚀",
    "e\u0301",
    "é",
    "50%",
    "%2F",
    "a b",
    " a ",
    "a+b",
    "a?b=c#d",
    "'; DROP TABLE users; --",
    '"*" NEAR :* %',
    "a\r\nSet-Cookie: b=c",
    "a\n",
    "\u202eabc",
    "\x1b[31m",
    "u" * 200,
    "😀" * 200,
]


@pytest_asyncio.fixture(loop_scope="module")
async def postgres_service(postgres_template: PostgresTemplate) -> AsyncIterator[Service]:
    """A service on PostgreSQL, where transactions run side by side."""
    with postgres_template.copy() as url:
        async with serving(settings(database_url=url)) as started:
            yield started


async def test_a_user_is_made_once(service: Service) -> None:
    """POST makes a user with 201, and answers 200 with the same user from then on."""
    first = await service.client.post("/users", json={"user_id": "ada", "name": "Ada"})
    again = await service.client.post("/users", json={"user_id": "ada", "name": "Somebody"})
    user = first.json()
    assert (first.status_code, again.status_code) == (201, 200)
    assert user == {"user_id": "ada", "name": "Ada", "created_at": user["created_at"]}
    assert again.json() == await got(service, "/users/ada") == user
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", user["created_at"])


async def test_a_user_without_an_id_is_given_one(service: Service) -> None:
    """Each POST without a `user_id` makes another user, found at its `Location`."""
    made = [await service.client.post("/users", json={}) for _ in range(2)]
    ids = {response.json()["user_id"] for response in made}
    assert len(ids) == 2
    assert all(uuid.UUID(each) for each in ids)
    for response in made:
        assert await got(service, response.headers["location"]) == response.json()
        assert response.json()["name"] is None


async def test_the_query_may_name_the_user_to_be_made(service: Service) -> None:
    """A `user_id` in the query alone is the new user's."""
    response = await service.client.post("/users", params={"user_id": "ada"}, json={})
    assert (response.status_code, response.json()["user_id"]) == (201, "ada")


async def test_a_user_made_by_many_at_once_is_one(service: Service) -> None:
    """Of many requests that name a new user at the same moment one has made it, and all succeed."""
    requests = (service.client.post("/users", json={"user_id": "ada"}) for _ in range(10))
    made, *there = sorted(response.status_code for response in await asyncio.gather(*requests))[::-1]
    assert (made, set(there)) == (201, {200})
    await asyncio.gather(*(make(service, user_id="eve") for _ in range(10)))
    assert (await row_counts(service))["users"] == 2


async def test_a_long_ledger_is_erased_in_parts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with more entries than a transaction deletes is erased with all of them."""
    monkeypatch.setattr(users, "BATCH_MESSAGES", 2)
    made = await make(service)
    for _ in range(5):
        await told(service, made, "Hello")
    assert (await service.client.delete("/users/ada")).status_code == 204
    async with service.database.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(AttemptRow)) == 0
    assert (await row_counts(service))["users"] == 0


async def test_a_user_can_be_renamed(service: Service) -> None:
    """PATCH sets the name, and null takes it away."""
    user = (await service.client.post("/users", json={"user_id": "ada", "name": "Ada"})).json()
    for name in ("Countess", "", None):
        response = await service.client.patch("/users/ada", json={"name": name})
        assert (response.status_code, response.json()) == (200, user | {"name": name})
        assert await got(service, "/users/ada") == user | {"name": name}
    problem_of(await service.client.patch("/users/ada", json={}), 422, "validation-error")


async def test_a_user_who_never_came_is_a_404(service: Service) -> None:
    """A user who was never written for cannot be read, renamed or erased."""
    await make(service)
    for method, body in (("GET", None), ("PATCH", {"name": "Eve"}), ("DELETE", None)):
        problem_of(await service.client.request(method, "/users/eve", json=body), 404, "user-not-found")
    assert (await row_counts(service))["users"] == 1


async def test_who_is_named_in_a_conversation_exists(service: Service) -> None:
    """A user is there once a conversation was made for them, with or without a message."""
    await make(service, user_id=7)
    await make(service, user_id="eve", message="Hello")
    assert (await got(service, "/users/7"))["user_id"] == "7"
    assert (await got(service, "/users/eve"))["name"] is None
    assert (await service.client.post("/users", json={"user_id": "eve"})).status_code == 200


async def test_an_integer_and_its_text_are_one_user(service: Service) -> None:
    """`1` and `"1"` name the same user everywhere, `"01"` another."""
    made = await make(service, user_id=1)
    same = await make(service, user_id="1")
    await make(service, user_id="01")
    listed = await got(service, "/conversations", user_id=1)
    assert [each["conversation_id"] for each in listed] == [same["conversation_id"], made["conversation_id"]]
    assert {each["user_id"] for each in listed} == {"1"}
    assert (await got(service, path_of(made), user_id="1"))["user_id"] == "1"
    negative = await make(service, user_id=-(10**30))
    assert negative["user_id"] == "-1" + "0" * 30


async def test_another_user_looks_like_none(service: Service) -> None:
    """Who asks as one user finds no other, with the very body of one who never came."""
    for user_id in ("ada", "eve"):
        await service.client.post("/users", json={"user_id": user_id, "name": user_id})
    asked_as = {"user_id": "eve"}
    for method, body in (("GET", None), ("PATCH", {"name": "Taken"}), ("DELETE", None)):
        foreign = await service.client.request(method, "/users/ada", json=body, params=asked_as)
        unknown = await service.client.request(method, "/users/nobody", json=body, params=asked_as)
        problem_of(foreign, 404, "user-not-found")
        assert without_request_id(foreign) == without_request_id(unknown)
    assert (await got(service, "/users/ada", user_id="ada"))["name"] == "ada"


async def test_a_user_id_may_be_any_text(service: Service) -> None:
    """Whatever characters a `user_id` has, it is kept, found at its `Location` and in its path, and can be erased."""
    for user_id in ODD_IDS:
        response = await service.client.post("/users", json={"user_id": user_id})
        assert (response.status_code, response.json()["user_id"]) == (201, user_id)
        assert "set-cookie" not in response.headers
        path = f"/users/{quote(user_id, safe='')}"
        assert response.headers["location"] == path
        assert await got(service, path) == response.json()
        made = await make(service, user_id=user_id)
        assert [made["conversation_id"]] == [
            each["conversation_id"] for each in await got(service, "/conversations", user_id=user_id)
        ]
        assert (await service.client.delete(path)).status_code == 204
    assert set((await row_counts(service)).values()) == {0}


async def test_erasing_a_user_leaves_nothing_of_theirs(service: Service) -> None:
    """DELETE answers 204 and erases a user's conversations and messages, and nothing of anybody else's."""
    mine = [await make(service, message="Hello") for _ in range(3)]
    other = await make(service, user_id="eve", message="Hello")
    response = await service.client.delete("/users/ada")
    assert (response.status_code, response.content) == (204, b"")
    assert await row_counts(service) == {"users": 1, "conversations": 1, "messages": 2}
    problem_of(await service.client.get("/users/ada"), 404, "user-not-found")
    problem_of(await service.client.delete("/users/ada"), 404, "user-not-found")
    for each in mine:
        problem_of(await service.client.get(path_of(each)), 404, "conversation-not-found")
    assert (await got(service, path_of(other)))["message_count"] == 2


async def test_many_conversations_are_erased_too(service: Service) -> None:
    """A user with more than one batch of conversations is erased whole."""
    await asyncio.gather(*(make(service) for _ in range(120)))
    assert (await service.client.delete("/users/ada")).status_code == 204
    assert set((await row_counts(service)).values()) == {0}


async def test_erasing_a_user_stops_their_turns(service: Service) -> None:
    """The streams of an erased user end with `message.cancelled`, and who waits for an answer gets a 404."""
    made = await make(service)
    body = {"message": "one two", "model": "stall-midway", "stream": True}
    async with service.client.http.stream("POST", messages_of(made), json=body) as response:
        events = live_events(response)
        await anext(events)
        waiting = asyncio.create_task(say(service, made, "Hello"))
        await until_accepted(service, made, 4)
        assert (await service.client.delete("/users/ada")).status_code == 204
        assert [event.name async for event in events] == ["message.delta", "message.cancelled"]
        problem_of(await waiting, 404, "conversation-not-found")
    assert set((await row_counts(service)).values()) == {0}


async def test_a_conversation_made_during_an_erasure_is_the_new_users(postgres_service: Service) -> None:
    """A conversation whose user's row goes away while it is inserted is made for the user who comes after."""
    await postgres_service.client.post("/users", json={"user_id": "ada"})
    async with postgres_service.database.engine.connect() as connection:
        await connection.execute(text("LOCK TABLE conversations IN SHARE MODE"))
        making = asyncio.create_task(make(postgres_service, message="Hello"))
        await until_locked_out(connection, 1)
        erasing = asyncio.create_task(postgres_service.client.delete("/users/ada"))
        await until_locked_out(connection, 2)
        await connection.rollback()
    assert ((await erasing).status_code, (await making)["message_count"]) == (204, 2)
    assert await row_counts(postgres_service) == {"users": 1, "conversations": 1, "messages": 2}


async def until_locked_out(connection: AsyncConnection, sessions: int) -> None:
    """Waits until so many sessions wait for a table's lock; nothing tells it but asking."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
    async with asyncio.timeout(10):
        while await connection.scalar(waiting) < sessions:
            pass


async def test_an_erased_user_who_comes_back_is_new(service: Service) -> None:
    """The same `user_id` can be used again after an erasure and starts with nothing."""
    old = await make(service, message="Hello")
    await service.client.patch("/users/ada", json={"name": "Ada"})
    await service.client.delete("/users/ada")
    assert (await service.client.post("/users", json={"user_id": "ada"})).status_code == 201
    assert (await got(service, "/users/ada"))["name"] is None
    assert await got(service, "/conversations", user_id="ada") == []
    problem_of(await service.client.get(path_of(old)), 404, "conversation-not-found")
    new = await make(service, message="Hello")
    assert (await told(service, new, "Again"))["messages"][-1]["sequence_number"] == 4
