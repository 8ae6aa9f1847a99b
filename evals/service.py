"""The service as its callers meet it: the whole application on a socket, and a client of its API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

PAGE = 100
PATIENCE_SECONDS = 600.0
"""A turn of the embedded model waits for those before it."""
LOOKS = 0.05
"""The share of the time that is spent on looking whether documents are ready."""
PAUSE_SECONDS = 2.0
"""The longest wait between two looks."""


class Refused(RuntimeError):
    """The service answered with a problem; the message is what it said."""


class QuietServer(uvicorn.Server):
    """uvicorn, which leaves the signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[Client]:
    """A client of the application, which runs on a free port until it is left."""
    server = QuietServer(uvicorn.Config(app, port=0, http="httptools", log_config=None, access_log=False))
    running = asyncio.create_task(server.serve())
    while not server.started:
        if running.done():
            await running
            raise RuntimeError("the service did not start")
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as http:
        yield Client(http)
    server.should_exit = True
    await running


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found."""

    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a rag conversation."""

    conversation_id: str
    message_id: str
    content: str
    grounded: bool


class Client:
    """Asks what a caller would. Everything raises `Refused` where the service refuses."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def upload(self, user_id: str, name: str, content: bytes) -> str:
        """The id of the document that these bytes become, or are already."""
        form = {"data": {"user_id": user_id}, "files": {"file": (name, content)}}
        return str((await self._asked("POST", "/documents", **form))["document_id"])

    async def documents(self, user_id: str) -> list[dict[str, Any]]:
        """All documents of a user."""
        found: list[dict[str, Any]] = []
        url: str | None = f"/documents?user_id={user_id}&limit={PAGE}"
        while url:
            answer = await self._answer("GET", url)
            found += answer.json()
            url = answer.links.get("next", {}).get("url")
        return found

    async def settled(self, user_id: str) -> AsyncIterator[list[dict[str, Any]]]:
        """A user's documents again and again, the last time when all are ready or failed."""
        while True:
            begun = time.perf_counter()
            found = await self.documents(user_id)
            yield found
            if all(each["status"] in {"ready", "failed"} for each in found):
                return
            await asyncio.sleep(min((time.perf_counter() - begun) / LOOKS, PAUSE_SECONDS))

    async def text(self, document_id: str) -> str:
        """What was read out of a document."""
        return (await self._answer("GET", f"/documents/{document_id}/text")).text

    async def search(self, user_id: str, query: str, limit: int) -> list[Hit]:
        """What is found, the best first."""
        asked = {"user_id": user_id, "query": query, "limit": limit}
        found = await self._asked("POST", "/documents/search", json=asked)
        return [Hit(each["document_id"], each["start"], each["end"], each["text"]) for each in found]

    async def conversation(self, user_id: str, **fields: Any) -> str:
        """The id of a new rag conversation."""
        made = await self._asked("POST", "/conversations", json={"user_id": user_id, "mode": "rag"} | fields)
        return str(made["conversation_id"])

    async def reply(self, conversation_id: str, message: str, **fields: Any) -> Reply:
        """The reply to a message."""
        path, prefer = f"/conversations/{conversation_id}/messages", {"Prefer": "return=minimal"}
        told = await self._asked("POST", path, json={"message": message} | fields, headers=prefer)
        said = told["messages"][-1]
        return Reply(conversation_id, said["message_id"], said["content"], bool(said["grounded"]))

    async def given(self, reply: Reply) -> Sequence[str]:
        """The documents of the passages that were given for a reply, in their order."""
        path = f"/conversations/{reply.conversation_id}/messages/{reply.message_id}/context"
        told: Mapping[str, Any] = await self._asked("GET", path)
        return [str(each["document_id"]) for each in told["citations"]]

    async def _asked(self, method: str, path: str, **request: Any) -> Any:
        return (await self._answer(method, path, **request)).json()

    async def _answer(self, method: str, path: str, **request: Any) -> httpx2.Response:
        answer = await self._http.request(method, path, **request)
        if answer.is_error:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer
