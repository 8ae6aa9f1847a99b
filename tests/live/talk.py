"""What the tests of live processes say, and what they look for in the database behind them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from app.db.connect import connect
from app.db.transaction import Statement, Transaction
from tests.api.talk import Event, live_events
from tests.support.clock import within
from tests.support.process import POLL_SECONDS, Parley

READY_SECONDS = 60
"""Far more than a process needs to be ready again, since whatever else runs on the machine runs too."""


class Stored(NamedTuple):
    """A message as its row has it."""

    sequence_number: int
    role: str
    status: str
    content: str


async def make(parley: Parley, **body: Any) -> dict[str, Any]:
    """A new conversation, of the user "ada" unless another is named."""
    response = await parley.client.post("/conversations", json={"user_id": "ada"} | body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def messages_of(conversation: dict[str, Any]) -> str:
    """Where a conversation's messages are."""
    return f"/conversations/{conversation['conversation_id']}/messages"


async def say(parley: Parley, conversation: dict[str, Any], message: str, **body: Any) -> httpx2.Response:
    """The answer to a turn."""
    return await parley.client.post(messages_of(conversation), json={"message": message} | body)


async def told(parley: Parley, conversation: dict[str, Any], message: str, **body: Any) -> str:
    """The reply of a turn that ends well."""
    response = await say(parley, conversation, message, **body)
    assert response.status_code == 201, response.text
    return str(response.json()["assistant_reply"])


async def messages(parley: Parley, conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation's messages in sequence order."""
    response = await parley.client.get(messages_of(conversation), params={"limit": 100})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


async def until_messages(
    parley: Parley,
    conversation: dict[str, Any],
    satisfied: Callable[[list[dict[str, Any]]], object],
    seconds: float = 10,
    pause: float = POLL_SECONDS,
) -> list[dict[str, Any]]:
    """A conversation's messages, once they are as wanted; nothing tells it but asking."""
    async with within(seconds):
        while not satisfied(found := await messages(parley, conversation)):  # noqa: ASYNC110  see above
            await asyncio.sleep(pause)
        return found


@contextlib.asynccontextmanager
async def stream(
    parley: Parley, conversation: dict[str, Any], message: str, **body: Any
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a turn as they come."""
    request = {"message": message, "stream": True} | body
    async with parley.client.http.stream("POST", messages_of(conversation), json=request) as response:
        assert response.status_code == 200
        yield live_events(response)


async def until(events: AsyncIterator[Event], name: str) -> Event:
    """The next event of that name."""
    async for event in events:
        if event.name == name:
            return event
    raise AssertionError(f"the stream ended without {name}")


def unavailable(response: httpx2.Response) -> None:
    """Looks at what is answered without a database."""
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1


async def until_ready(parley: Parley) -> None:
    """Waits for readiness, as a load balancer does."""
    async with asyncio.timeout(READY_SECONDS):
        while not await parley.answers("/readyz"):  # noqa: ASYNC110  nothing tells but asking
            await asyncio.sleep(POLL_SECONDS)


def names_in(directory: Path) -> list[str]:
    """What a directory holds."""
    return sorted(path.name for path in directory.iterdir())


async def rows(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a statement gives, asked of the database itself."""

    def transaction() -> Transaction[list[tuple[Any, ...]]]:
        return [tuple(row) for row in (yield Statement(sql))]

    database = connect(database_url, pool_size=1)
    try:
        return await database.write(transaction)
    finally:
        await database.close()


async def stored(database_url: str) -> list[Stored]:
    """The messages of a database with one conversation."""
    found = await rows(
        database_url, "SELECT sequence_number, role, status, content FROM messages ORDER BY sequence_number"
    )
    return [Stored(*row) for row in found]
