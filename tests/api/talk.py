"""The former names of what is in `tests.support`, for tests that still use them."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.support.parley_client import UNKNOWN_ID
from tests.support.parley_client import conversation_path as path_of
from tests.support.parley_client import messages_path as messages_of
from tests.support.problems import expect_problem as problem_of
from tests.support.problems import without_request_id
from tests.support.rows import row_counts, set_updated_at
from tests.support.service import Service
from tests.support.sse import Event, live_events
from tests.support.sse import parse_event as event_of
from tests.support.sse import parse_events as events_of

__all__ = [
    "UNKNOWN_ID",
    "Event",
    "event_of",
    "events_of",
    "live_events",
    "messages_of",
    "path_of",
    "problem_of",
    "row_counts",
    "set_updated_at",
    "without_request_id",
]


async def make(service: Service, **body: Any) -> dict[str, Any]:
    return await service.client.create_conversation(**body)


async def say(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> httpx2.Response:
    return await service.client.post_message(conversation, message, **body)


async def told(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> dict[str, Any]:
    return await service.client.send(conversation, message, **body)


async def got(service: Service, path: str, **query: Any) -> Any:
    return await service.client.get_json(path, **query)


async def pages(service: Service, path: str) -> list[Any]:
    return await service.client.get_pages(path)


async def streamed(service: Service, conversation: dict[str, Any], message: str, **body: Any) -> list[Event]:
    return await service.client.stream_all(conversation, message, **body)


async def until_accepted(service: Service, conversation: dict[str, Any], messages: int) -> None:
    await service.client.wait_for_count(conversation, messages)


async def until_ended(service: Service, conversation: dict[str, Any]) -> dict[str, Any]:
    return await service.client.wait_until_ended(conversation)
