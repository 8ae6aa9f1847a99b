"""Users: creation, names and erasure."""

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
from tests.support.databases import PostgresTemplate
from tests.support.parley_client import ParleyClient, conversation_path
from tests.support.problems import expect_problem, without_request_id
from tests.support.rows import row_counts
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


async def test_user_created_once(client: ParleyClient) -> None:
    """POST creates a user with 201, and returns the same user with 200 afterwards."""
    first = await client.post("/users", json={"user_id": "ada", "name": "Ada"})
    again = await client.post("/users", json={"user_id": "ada", "name": "Somebody"})
    user = first.json()
    assert (first.status_code, again.status_code) == (201, 200)
    assert user == {"user_id": "ada", "name": "Ada", "created_at": user["created_at"]}
    assert again.json() == await client.get_json("/users/ada") == user
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", user["created_at"])


async def test_user_without_id_gets_one(client: ParleyClient) -> None:
    """Each POST without a `user_id` creates another user, found at its `Location`."""
    made = [await client.post("/users", json={}) for _ in range(2)]
    ids = {response.json()["user_id"] for response in made}
    assert len(ids) == 2
    assert all(uuid.UUID(each) for each in ids)
    for response in made:
        assert await client.get_json(response.headers["location"]) == response.json()
        assert response.json()["name"] is None


async def test_query_names_new_user(client: ParleyClient) -> None:
    """A `user_id` in the query alone is the new user's."""
    response = await client.post("/users", params={"user_id": "ada"}, json={})
    assert (response.status_code, response.json()["user_id"]) == (201, "ada")


async def test_concurrent_creations_make_one_user(service: Service) -> None:
    """Of concurrent requests that name a new user one creates it, and all succeed."""
    requests = (service.client.post("/users", json={"user_id": "ada"}) for _ in range(10))
    made, *there = sorted(response.status_code for response in await asyncio.gather(*requests))[::-1]
    assert (made, set(there)) == (201, {200})
    await asyncio.gather(*(service.client.create_conversation(user_id="eve") for _ in range(10)))
    assert (await row_counts(service))["users"] == 2


async def test_long_ledger_erased_in_batches(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with more entries of usage than one batch deletes is erased completely."""
    monkeypatch.setattr(users, "BATCH_MESSAGES", 2)
    conversation = await service.client.create_conversation()
    for _ in range(5):
        await service.client.send(conversation, "Hello")
    assert (await service.client.delete("/users/ada")).status_code == 204
    async with service.database.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(AttemptRow)) == 0
    assert (await row_counts(service))["users"] == 0


async def test_user_renamed(client: ParleyClient) -> None:
    """PATCH sets the name, and null removes it."""
    user = (await client.post("/users", json={"user_id": "ada", "name": "Ada"})).json()
    for name in ("Countess", "", None):
        response = await client.patch("/users/ada", json={"name": name})
        assert (response.status_code, response.json()) == (200, user | {"name": name})
        assert await client.get_json("/users/ada") == user | {"name": name}
    expect_problem(await client.patch("/users/ada", json={}), 422, "validation-error")


async def test_unknown_user_not_found(service: Service) -> None:
    """An unknown user cannot be read, renamed or erased."""
    await service.client.create_conversation()
    for method, body in (("GET", None), ("PATCH", {"name": "Eve"}), ("DELETE", None)):
        expect_problem(await service.client.request(method, "/users/eve", json=body), 404, "user-not-found")
    assert (await row_counts(service))["users"] == 1


async def test_conversation_creates_user(client: ParleyClient) -> None:
    """A user exists once a conversation was created for them."""
    await client.create_conversation(user_id=7)
    await client.create_conversation(user_id="eve", message="Hello")
    assert (await client.get_json("/users/7"))["user_id"] == "7"
    assert (await client.get_json("/users/eve"))["name"] is None
    assert (await client.post("/users", json={"user_id": "eve"})).status_code == 200


async def test_integer_and_text_are_one_user(client: ParleyClient) -> None:
    """`1` and `"1"` name the same user everywhere, `"01"` another."""
    conversation = await client.create_conversation(user_id=1)
    same = await client.create_conversation(user_id="1")
    await client.create_conversation(user_id="01")
    listed = await client.get_json("/conversations", user_id=1)
    assert [each["conversation_id"] for each in listed] == [same["conversation_id"], conversation["conversation_id"]]
    assert {each["user_id"] for each in listed} == {"1"}
    assert (await client.get_conversation(conversation, user_id="1"))["user_id"] == "1"
    negative = await client.create_conversation(user_id=-(10**30))
    assert negative["user_id"] == "-1" + "0" * 30


async def test_foreign_user_not_found(client: ParleyClient) -> None:
    """A caller that acts as one user gets the same 404 for others as for unknown ones."""
    for user_id in ("ada", "eve"):
        await client.post("/users", json={"user_id": user_id, "name": user_id})
    scope = {"user_id": "eve"}
    for method, body in (("GET", None), ("PATCH", {"name": "Taken"}), ("DELETE", None)):
        foreign = await client.request(method, "/users/ada", json=body, params=scope)
        unknown = await client.request(method, "/users/nobody", json=body, params=scope)
        expect_problem(foreign, 404, "user-not-found")
        assert without_request_id(foreign) == without_request_id(unknown)
    assert (await client.get_json("/users/ada", user_id="ada"))["name"] == "ada"


async def test_user_id_is_any_text(service: Service) -> None:
    """A `user_id` of any characters is kept, found at its `Location` and can be erased."""
    for user_id in ODD_IDS:
        response = await service.client.post("/users", json={"user_id": user_id})
        assert (response.status_code, response.json()["user_id"]) == (201, user_id)
        assert "set-cookie" not in response.headers
        path = f"/users/{quote(user_id, safe='')}"
        assert response.headers["location"] == path
        assert await service.client.get_json(path) == response.json()
        conversation = await service.client.create_conversation(user_id=user_id)
        assert [conversation["conversation_id"]] == [
            each["conversation_id"] for each in await service.client.get_json("/conversations", user_id=user_id)
        ]
        assert (await service.client.delete(path)).status_code == 204
    assert set((await row_counts(service)).values()) == {0}


async def test_erasure_deletes_everything(service: Service) -> None:
    """DELETE erases a user's conversations and messages, and no other user's."""
    mine = [await service.client.create_conversation(message="Hello") for _ in range(3)]
    other = await service.client.create_conversation(user_id="eve", message="Hello")
    response = await service.client.delete("/users/ada")
    assert (response.status_code, response.content) == (204, b"")
    assert await row_counts(service) == {"users": 1, "conversations": 1, "messages": 2}
    expect_problem(await service.client.get("/users/ada"), 404, "user-not-found")
    expect_problem(await service.client.delete("/users/ada"), 404, "user-not-found")
    for each in mine:
        expect_problem(await service.client.get(conversation_path(each)), 404, "conversation-not-found")
    assert (await service.client.get_conversation(other))["message_count"] == 2


async def test_many_conversations_erased(service: Service) -> None:
    """A user with more than one batch of conversations is erased completely."""
    for _ in range(6):
        await asyncio.gather(*(service.client.create_conversation() for _ in range(20)))
    assert (await service.client.delete("/users/ada")).status_code == 204
    assert set((await row_counts(service)).values()) == {0}


async def test_erasure_stops_turns(service: Service) -> None:
    """Streams of an erased user end with `message.cancelled`, and waiting posts get a 404."""
    conversation = await service.client.create_conversation()
    async with service.client.stream(conversation, "one two", model="stall-midway") as events:
        await anext(events)
        waiting = asyncio.create_task(service.client.post_message(conversation, "Hello"))
        await service.client.wait_for_count(conversation, 4)
        assert (await service.client.delete("/users/ada")).status_code == 204
        assert [event.name async for event in events] == ["message.delta", "message.cancelled"]
        expect_problem(await waiting, 404, "conversation-not-found")
    assert set((await row_counts(service)).values()) == {0}


@pytest.mark.parametrize("body", [{"message": "Hello"}, {}])
async def test_conversation_during_erasure(postgres_service: Service, body: dict[str, str]) -> None:
    """A conversation created while its user is erased, with a message or without, belongs to a new user."""
    await postgres_service.client.post("/users", json={"user_id": "ada"})
    async with postgres_service.database.engine.connect() as connection:
        await connection.execute(text("LOCK TABLE conversations IN SHARE MODE"))
        making = asyncio.create_task(postgres_service.client.create_conversation(**body))
        await wait_for_locks(connection, 1)
        erasing = asyncio.create_task(postgres_service.client.delete("/users/ada"))
        await wait_for_locks(connection, 2)
        await connection.rollback()
    messages = 2 * len(body)
    assert ((await erasing).status_code, (await making)["message_count"]) == (204, messages)
    assert await row_counts(postgres_service) == {"users": 1, "conversations": 1, "messages": messages}


async def wait_for_locks(connection: AsyncConnection, sessions: int) -> None:
    """Poll until so many sessions wait for a table's lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
    async with asyncio.timeout(10):
        while await connection.scalar(waiting) < sessions:
            pass


async def test_erased_user_returns_as_new(client: ParleyClient) -> None:
    """After an erasure the same `user_id` starts with nothing."""
    old = await client.create_conversation(message="Hello")
    await client.patch("/users/ada", json={"name": "Ada"})
    await client.delete("/users/ada")
    assert (await client.post("/users", json={"user_id": "ada"})).status_code == 201
    assert (await client.get_json("/users/ada"))["name"] is None
    assert await client.get_json("/conversations", user_id="ada") == []
    expect_problem(await client.get(conversation_path(old)), 404, "conversation-not-found")
    new = await client.create_conversation(message="Hello")
    assert (await client.send(new, "Again"))["messages"][-1]["sequence_number"] == 4
