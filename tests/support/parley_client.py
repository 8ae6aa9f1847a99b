"""One client of Parley's API, for tests, evaluations and benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import httpx2

from tests.support.sse import Event, live_events, parse_events

UNKNOWN_ID = "0199f000-0000-7000-8000-000000000000"
"""A valid id that nothing has."""
POLL_SECONDS = 0.02
WAIT_SECONDS = 60.0
"""Far more than any wait takes, since other things run on the machine as well."""


class UnexpectedAnswer(AssertionError):
    """The service answered with another status than the expected one; the message has the body."""

    def __init__(self, response: httpx2.Response) -> None:
        request = response.request
        super().__init__(f"{request.method} {request.url.path}: {response.status_code} {response.text[:500]}")
        self.response = response


def conversation_path(conversation: Mapping[str, Any]) -> str:
    """Return the path of a conversation."""
    return f"/conversations/{conversation['conversation_id']}"


def messages_path(conversation: Mapping[str, Any]) -> str:
    """Return the path of a conversation's messages."""
    return f"{conversation_path(conversation)}/messages"


def message_path(message: Mapping[str, Any]) -> str:
    """Return the path of a message."""
    return f"{messages_path(message)}/{message['message_id']}"


def document_path(document: Mapping[str, Any]) -> str:
    """Return the path of a document."""
    return f"/documents/{document['document_id']}"


class ParleyClient:
    """A client of the API for one user.

    `get`, `post` and the other HTTP methods return any response. The methods named for what they do return the parsed
    body, and raise `UnexpectedAnswer` where the status is not the one of success.
    """

    def __init__(self, http: httpx2.AsyncClient, user_id: str = "ada") -> None:
        self.http = http
        self.user_id = user_id
        self.request = http.request
        self.get, self.head, self.options, self.delete = http.get, http.head, http.options, http.delete
        self.post, self.put, self.patch = http.post, http.put, http.patch

    def for_user(self, user_id: str) -> Self:
        """Return a client of the same service for another user."""
        return type(self)(self.http, user_id)

    async def get_json(self, path: str, **query: Any) -> Any:
        """Return the body at a path."""
        return expect_status(await self.get(path, params=query or None), 200).json()

    async def get_pages(self, path: str) -> list[Any]:
        """Return the pages of a list, following the `Link` headers."""
        pages, url = [], path
        while url:
            response = expect_status(await self.get(url), 200)
            pages.append(response.json())
            url = response.links.get("next", {}).get("url", "")
        return pages

    async def create_conversation(self, **body: Any) -> dict[str, Any]:
        """Create a conversation of the client's user, unless `user_id` names another."""
        response = await self.post("/conversations", json={"user_id": self.user_id} | body)
        created: dict[str, Any] = expect_status(response, 201).json()
        return created

    async def get_conversation(self, conversation: Mapping[str, Any], **query: Any) -> dict[str, Any]:
        """Return a conversation as it is now."""
        found: dict[str, Any] = await self.get_json(conversation_path(conversation), **query)
        return found

    async def get_messages(self, conversation: Mapping[str, Any], **query: Any) -> list[dict[str, Any]]:
        """Return a conversation's messages in sequence order, up to the largest page unless `limit` is given."""
        found: list[dict[str, Any]] = await self.get_json(messages_path(conversation), **{"limit": 100} | query)
        return found

    async def get_message(self, message: Mapping[str, Any], **query: Any) -> dict[str, Any]:
        """Return a message as it is now."""
        found: dict[str, Any] = await self.get_json(message_path(message), **query)
        return found

    async def get_prompt_record(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was sent to the model for a reply."""
        found: dict[str, Any] = await self.get_json(f"{message_path(reply)}/context")
        return found

    async def get_attempts(self, reply: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the attempts at a reply."""
        found: list[dict[str, Any]] = await self.get_json(f"{message_path(reply)}/attempts")
        return found

    async def get_usage(self, **query: str) -> list[dict[str, Any]]:
        """Return the daily usage of the client's user, unless `user_id` names another."""
        found: list[dict[str, Any]] = await self.get_json("/usage", **{"user_id": self.user_id} | query)
        return found

    async def post_message(self, conversation: Mapping[str, Any], message: str, **body: Any) -> httpx2.Response:
        """Post a message and return any response."""
        return await self.post(messages_path(conversation), json={"message": message} | body)

    async def send(self, conversation: Mapping[str, Any], message: str, **body: Any) -> dict[str, Any]:
        """Send a message and return the answer with its reply."""
        answer: dict[str, Any] = expect_status(await self.post_message(conversation, message, **body), 201).json()
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, conversation: Mapping[str, Any], message: str, **body: Any
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Send a message and give its events as they arrive."""
        request = {"message": message, "stream": True} | body
        async with self.http.stream("POST", messages_path(conversation), json=request) as response:
            await expect_stream(response)
            yield live_events(response)

    async def stream_all(self, conversation: Mapping[str, Any], message: str, **body: Any) -> list[Event]:
        """Send a message and return its events once the stream has ended."""
        response = await self.post_message(conversation, message, stream=True, **body)
        return parse_events(expect_status(response, 200).text)

    @contextlib.asynccontextmanager
    async def stream_events(self, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Give the events at a path, such as a message's or a document's, as they arrive."""
        async with self.http.stream("GET", path, headers=headers) as response:
            await expect_stream(response)
            yield live_events(response)

    async def get_events(self, path: str) -> list[Event]:
        """Return the events at a path once the stream has ended."""
        return parse_events(expect_status(await self.get(path), 200).text)

    async def wait_for_messages(
        self,
        conversation: Mapping[str, Any],
        condition: Callable[[list[dict[str, Any]]], object],
        seconds: float = WAIT_SECONDS,
        pause: float = POLL_SECONDS,
    ) -> list[dict[str, Any]]:
        """Poll a conversation's messages until a condition holds for them, and return them."""
        async with asyncio.timeout(seconds):
            while not condition(found := await self.get_messages(conversation)):  # noqa: ASYNC110  only polling works
                await asyncio.sleep(pause)
        return found

    async def wait_for_count(self, conversation: Mapping[str, Any], messages: int) -> None:
        """Poll a conversation until it has so many messages: their turns are accepted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self.get_conversation(conversation))["message_count"] < messages:
                pass

    async def wait_until_ended(self, conversation: Mapping[str, Any]) -> dict[str, Any]:
        """Poll a conversation's last message until its turn has ended, and return it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                [last] = await self.get_messages(conversation, order="desc", limit=1)
                if last["completed_at"] is not None:
                    return last

    async def post_document(
        self, content: bytes, name: str = "notes.txt", user_id: str | None = None, **query: bool
    ) -> httpx2.Response:
        """Upload a document as a form, with parameters of the query, and return any response."""
        form = {"user_id": self.user_id if user_id is None else user_id}
        return await self.post("/documents", files={"file": (name, content)}, data=form, params=query)

    async def upload(self, content: bytes, name: str = "notes.txt", user_id: str | None = None) -> dict[str, Any]:
        """Upload a document and return it, new or stored before."""
        document: dict[str, Any] = expect_status(await self.post_document(content, name, user_id), 200, 202).json()
        return document

    async def get_document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document as it is now."""
        found: dict[str, Any] = await self.get_json(document_path(document))
        return found

    async def wait_until_read(
        self, document: Mapping[str, Any], status: str = "ready", seconds: float = 30
    ) -> dict[str, Any]:
        """Wait for the end of a document's event stream, and return the document, which has the status."""
        async with asyncio.timeout(seconds):
            await self.get_events(f"{document_path(document)}/events")
        found = await self.get_document(document)
        assert found["status"] == status, found
        return found

    async def ingest(
        self,
        content: bytes,
        name: str = "notes.txt",
        user_id: str | None = None,
        *,
        status: str = "ready",
        seconds: float = 30,
    ) -> dict[str, Any]:
        """Upload a document and wait until it is read; return the document, which has the status."""
        return await self.wait_until_read(await self.upload(content, name, user_id), status, seconds)


def expect_status(response: httpx2.Response, *statuses: int) -> httpx2.Response:
    """Return a response that has one of these statuses.

    Raises:
        UnexpectedAnswer: it has another.
    """
    if response.status_code not in statuses:
        raise UnexpectedAnswer(response)
    return response


async def expect_stream(response: httpx2.Response) -> None:
    """Check that a response is an open stream of events.

    Raises:
        UnexpectedAnswer: it is an error.
    """
    if response.status_code != 200:
        await response.aread()
        raise UnexpectedAnswer(response)
