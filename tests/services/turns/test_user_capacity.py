"""A user's share of the queue: `MAX_TURNS_WAITING_PER_USER`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from app.db.checks import conversations
from app.db.models import MessageRow
from tests.support.background import recover
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.rows import row_counts
from tests.support.service import Service, provider_settings, serving
from tests.support.turns import dead_process

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Crowd:
    """A service with small capacity, and users whose turns last until the gate is set."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.gate = asyncio.Event()
        self.accepted: list[dict[str, Any]] = []

    async def begin(self, user: str, **body: Any) -> httpx2.Response:
        """Create a conversation of a user with a first turn, and return the response."""
        request = {"user_id": user, "message": "Hello", "background": True} | body
        return self.count_accepted(await self.service.client.post("/conversations", json=request))

    async def post_turn(self, conversation: dict[str, Any], **body: Any) -> httpx2.Response:
        """Post a turn of a conversation, and return the response."""
        return self.count_accepted(
            await self.service.client.post_message(conversation, "And?", background=True, **body)
        )

    def count_accepted(self, response: httpx2.Response) -> httpx2.Response:
        """Keep the body of a response that accepts a turn, and return the response."""
        if response.status_code == 202:
            self.accepted.append(response.json())
        return response

    async def finish(self) -> None:
        """Let all turns end, and check that nothing is left."""
        self.gate.set()
        for each in self.accepted:
            await self.service.client.wait_until_ended(each)
        await self.wait_until_idle()
        assert await self.service.database.read(conversations.findings, self.service.database.kind) == []

    async def wait_until_idle(self) -> None:
        """Wait until no turn has a slot or a place, a moment after the end of the last one."""
        while self.service.services.turns.executor.runs:  # noqa: ASYNC110  it sets no event
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def crowded(url: str, provider: FakeProvider, at_work: int, waiting: int, **more: int) -> AsyncIterator[Crowd]:
    """Start a service with so many slots and places for a crowd, and let all its turns end."""
    room = {"max_turns_at_work": at_work, "max_turns_waiting": waiting} | more
    async with serving(provider_settings(provider, database_url=url, **room)) as service:
        crowd = Crowd(service)
        provider.default = lambda _: Reply([crowd.gate, "Whole"])
        yield crowd
        await crowd.finish()


async def test_user_share_is_limited(database_url: str, provider: FakeProvider) -> None:
    """A user has a quarter of the queue; beyond that turns are 429, nothing is stored, and others have room."""
    async with crowded(database_url, provider, 2, 8) as crowd:
        assert [(await crowd.begin("ada")).status_code for _ in range(4)] == [202] * 4  # two at work do not count
        before = await row_counts(crowd.service)
        expect_problem(await crowd.begin("ada"), 429, "rate-limited")
        spare = await crowd.service.client.create_conversation()
        expect_problem(await crowd.post_turn(spare), 429, "rate-limited")
        expect_problem(await crowd.post_turn(crowd.accepted[0]), 429, "rate-limited")
        assert await row_counts(crowd.service) == before | {"conversations": before["conversations"] + 1}
        assert [(await crowd.begin(user)).status_code for user in ("bob", "bob", "eve")] == [202] * 3
        expect_problem(await crowd.begin("bob"), 429, "rate-limited")


async def test_burst_of_one_user(database_url: str, provider: FakeProvider) -> None:
    """Of parallel posts exactly the user's share is accepted, and other users have room."""
    async with crowded(database_url, provider, 2, 8) as crowd:
        await asyncio.gather(*(crowd.begin("eve") for _ in range(2)))
        storm = await asyncio.gather(*(crowd.begin("ada") for _ in range(40)), *(crowd.begin("bob") for _ in range(2)))
        codes = [response.status_code for response in storm]
        assert (codes[:40].count(202), codes[:40].count(429), codes[40:]) == (2, 38, [202, 202])


async def test_place_is_released(database_url: str, provider: FakeProvider) -> None:
    """A place is released when its turn is cancelled, started or deleted with its conversation."""
    async with crowded(database_url, provider, 1, 4) as crowd:
        await crowd.begin("ada")
        client, waiting = crowd.service.client, (await crowd.begin("ada")).json()
        expect_problem(await crowd.begin("ada"), 429, "rate-limited")
        reply = f"{messages_path(waiting)}/{waiting['messages'][1]['message_id']}"
        assert (await client.post(f"{reply}/cancel")).status_code == 202
        await client.get(f"{reply}/events")
        again = (await crowd.begin("ada")).json()
        assert (await client.delete(f"/conversations/{again['conversation_id']}")).status_code == 200
        crowd.accepted.pop()
        while len(crowd.service.services.turns.executor.runs) > 1:  # noqa: ASYNC110  it sets no event
            await asyncio.sleep(0)
        assert (await crowd.begin("ada")).status_code == 202
        crowd.gate.set()
        await crowd.service.client.wait_until_ended(crowd.accepted[-1])
        assert (await crowd.begin("ada")).status_code == 202


async def test_interrupt_takes_released_places(database_url: str, provider: FakeProvider) -> None:
    """A user with a full share may still interrupt: the interrupted turns' places are released for it."""
    async with crowded(database_url, provider, 1, 4) as crowd:
        conversation = (await crowd.begin("ada")).json()
        waiting = (await crowd.post_turn(conversation)).json()["messages"][-1]
        expect_problem(await crowd.post_turn(conversation), 429, "rate-limited")
        assert (await crowd.post_turn(conversation, on_busy="interrupt")).status_code == 202
        found = await crowd.service.client.get_json(f"{messages_path(conversation)}/{waiting['message_id']}")
        assert found["status"] == "cancelled"


async def test_order_of_refusals(database_url: str, provider: FakeProvider) -> None:
    """`queue-full` comes before `rate-limited`, and that before `overloaded`."""
    async with crowded(database_url, provider, 1, 64, max_turns_waiting_per_user=63) as crowd:
        first = (await crowd.begin("ada")).json()
        posts = await asyncio.gather(*(crowd.post_turn(first) for _ in range(63)))
        assert {response.status_code for response in posts} == {202}
        bob, eve = [await crowd.service.client.create_conversation(user_id=user) for user in ("bob", "eve")]
        for full in (False, True):
            if full:
                assert (await crowd.post_turn(bob)).status_code == 202
            expect_problem(await crowd.post_turn(first), 409, "queue-full")
            busy = expect_problem(await crowd.post_turn(first, on_busy="reject"), 409, "conversation-busy")
            assert busy["message_id"] == first["messages"][1]["message_id"]
            expect_problem(await crowd.begin("ada"), 429, "rate-limited")
            expect_problem(await crowd.post_turn(await crowd.service.client.create_conversation()), 429, "rate-limited")
        expect_problem(await crowd.post_turn(eve), 503, "overloaded")
        expect_problem(await crowd.begin("new"), 503, "overloaded")
        missing = await crowd.service.client.post(messages_path(eve), params={"user_id": "ada"}, json={"message": "Hi"})
        expect_problem(missing, 404, "conversation-not-found")


async def test_regenerate_takes_place_of_user(database_url: str, provider: FakeProvider) -> None:
    """A queued regenerate beyond the share is refused, and the old reply stays current."""
    async with crowded(database_url, provider, 1, 4) as crowd:
        crowd.gate.set()
        first = (await crowd.begin("ada")).json()
        old = await crowd.service.client.wait_until_ended(first)
        await crowd.wait_until_idle()
        crowd.gate.clear()
        await crowd.begin("bob")
        path = f"{messages_path(first)}/{old['message_id']}"
        regenerate = f"{path}/regenerate"
        waits = crowd.count_accepted(await crowd.service.client.post(regenerate, json={"background": True}))
        assert (waits.status_code, waits.json()["messages"][1]["status"]) == (202, "queued")
        before = await row_counts(crowd.service)
        expect_problem(await crowd.service.client.post(regenerate, json={}), 429, "rate-limited")
        assert (await crowd.service.client.get_json(path))["superseded_by"] is None
        assert await row_counts(crowd.service) == before


async def test_retry_under_key_is_answered(database_url: str, provider: FakeProvider) -> None:
    """A retry under its key gets the queued turn; a refused request claims no key."""
    async with crowded(database_url, provider, 1, 4) as crowd:
        await crowd.begin("ada")
        path = messages_path(await crowd.service.client.create_conversation())
        body, headers = {"message": "Hello", "background": True}, {"Idempotency-Key": "k"}
        assert (
            crowd.count_accepted(await crowd.service.client.post(path, json=body, headers=headers)).status_code == 202
        )
        again = await crowd.service.client.post(path, json=body, headers=headers)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
        other = await crowd.service.client.post(path, json=body, headers={"Idempotency-Key": "other"})
        expect_problem(other, 429, "rate-limited")
        await crowd.finish()
        later = await crowd.service.client.post(path, json=body, headers={"Idempotency-Key": "other"})
        assert (later.status_code, "idempotency-replayed" in later.headers) == (202, False)
        crowd.count_accepted(later)


async def test_adopted_turn_counts(database_url: str, provider: FakeProvider) -> None:
    """Queued turns of a dead process are adopted beyond the share, and count towards it."""
    async with crowded(database_url, provider, 1, 8, max_turns_waiting_per_user=1) as crowd:
        crowd.gate.set()
        left = []
        for _ in range(3):
            left.append((await crowd.begin("ada")).json())
            await crowd.service.client.wait_until_ended(left[-1])
        await crowd.wait_until_idle()
        crowd.gate.clear()
        await crowd.begin("bob")
        dead = await dead_process(crowd.service)
        async with crowd.service.database.write_session() as session:
            of_them = update(MessageRow).where(
                MessageRow.message_id.in_([each["messages"][1]["message_id"] for each in left])
            )
            values = {"status": "queued", "content": "", "completed_at": None, "finish_reason": None}
            await session.execute(of_them.values(process_id=dead, **values))
        await recover(crowd.service)
        assert len(crowd.service.services.turns.executor.runs) == 4
        expect_problem(await crowd.begin("ada"), 429, "rate-limited")
        assert (await crowd.begin("eve")).status_code == 202
        crowd.gate.set()
        for each in left:
            assert (await crowd.service.client.wait_until_ended(each))["content"] == "Whole"
        assert (await crowd.begin("ada")).status_code == 202
