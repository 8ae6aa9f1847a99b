"""What the API's tests say and look for again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
from sqlalchemy import func, select, update

from app.api.openapi import Problem
from app.db.models import Base, ConversationRow
from tests.support.service import Service

UNKNOWN_ID = "0199f000-0000-7000-8000-000000000000"


class Event(NamedTuple):
    """A Server-Sent Event; its id is a number but for that of the last, as `13-end`."""

    name: str
    id: Any
    data: Any


async def make(service: Service, **body: Any) -> dict[str, Any]:
    """A new conversation, of the user "ada" unless another is named."""
    response = await service.client.post("/conversations", json={"user_id": "ada"} | body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def say(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> httpx2.Response:
    """The answer to a turn."""
    return await service.client.post(messages_of(conversation), json={"message": message} | body)


async def told(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> dict[str, Any]:
    """The answer to a turn that ends well."""
    response = await say(service, conversation, message, **body)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def path_of(conversation: dict[str, Any]) -> str:
    """Where a conversation is."""
    return f"/conversations/{conversation['conversation_id']}"


def messages_of(conversation: dict[str, Any]) -> str:
    """Where a conversation's messages are."""
    return f"{path_of(conversation)}/messages"


async def got(service: Service, path: str, **query: Any) -> Any:
    """What is read at a path."""
    response = await service.client.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def pages(service: Service, path: str) -> list[Any]:
    """The pages of a list, found by following its `Link` header."""
    found, following = [], path
    while following:
        response = await service.client.get(following)
        assert response.status_code == 200, response.text
        found.append(response.json())
        following = response.links.get("next", {}).get("url", "")
    return found


def problem_of(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """A refusal with all of its members, after looking at what every refusal has."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document: dict[str, Any] = response.json()
    Problem.model_validate(document)
    assert (response.status_code, document["code"]) == (status, code), document
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (status in {429, 503})
    return document


def without_request_id(response: httpx2.Response) -> dict[str, Any]:
    """A refusal's body, as far as it may be compared with another's."""
    return {name: value for name, value in response.json().items() if name != "request_id"}


def events_of(text: str) -> list[Event]:
    """The events of a stream that was read to its end."""
    return [event_of(block) for block in text.split("\n\n") if block]


def event_of(block: str) -> Event:
    """One event from its three lines; a heartbeat may stand before them."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    assert fields.keys() == {"id", "event", "data"}
    event_id = int(fields["id"]) if fields["id"].isdecimal() else fields["id"]
    return Event(fields["event"], event_id, json.loads(fields["data"]))


async def live_events(response: httpx2.Response) -> AsyncIterator[Event]:
    """The events of a stream as they come."""
    rest = ""
    async for text in response.aiter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            yield event_of(block)
    assert not rest


async def streamed(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> list[Event]:
    """The events of a turn, from its acceptance to its end."""
    response = await say(service, conversation, message, stream=True, **body)
    assert response.status_code == 200, response.text
    return events_of(response.text)


async def until_accepted(service: Service, conversation: dict[str, Any], messages: int) -> None:
    """Waits until a conversation has so many messages; nothing tells it but asking."""
    async with asyncio.timeout(10):
        while (await got(service, path_of(conversation)))["message_count"] < messages:
            pass


async def until_ended(service: Service, conversation: dict[str, Any]) -> dict[str, Any]:
    """A conversation's last message, once its turn has ended without anybody looking on."""
    async with asyncio.timeout(10):
        while True:
            last: dict[str, Any] = (await got(service, messages_of(conversation), order="desc", limit=1))[0]
            if last["completed_at"] is not None:
                return last


async def row_counts(service: Service) -> dict[str, int]:
    """How many rows there are of what callers may write."""
    names = ("users", "conversations", "messages")
    async with service.database.read_session() as session:
        return {
            name: await session.scalar(select(func.count()).select_from(Base.metadata.tables[name])) for name in names
        }


async def set_updated_at(service: Service, conversations: list[dict[str, Any]], moment: int) -> None:
    """Moves conversations to another moment, in milliseconds since the epoch, as a wall clock cannot be."""
    ids = [each["conversation_id"] for each in conversations]
    async with service.database.write_session() as session:
        await session.execute(
            update(ConversationRow).where(ConversationRow.conversation_id.in_(ids)).values(updated_at=moment)
        )
