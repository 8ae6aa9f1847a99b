"""The whole application on a socket, and a client with the calls that evaluations make."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from tests.support.parley_client import ParleyClient, expect_status, messages_path
from tests.support.service import QuietServer

PAGE = 100
REQUEST_SECONDS = 600.0
"""Timeout of a request: a turn of the embedded model waits for those before it."""
POLLING_SHARE = 0.05
"""Share of the time that is spent on polling documents."""
LONGEST_PAUSE_SECONDS = 2.0
"""Longest pause between two polls."""
MINIMAL = {"Prefer": "return=minimal"}


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[EvalClient]:
    """Serve the application on a free port within the block, and give a client of it."""
    server = QuietServer(uvicorn.Config(app, port=0, http="httptools", log_config=None, access_log=False))
    running = asyncio.create_task(server.serve())
    while not server.started:
        if running.done():
            await running
            raise RuntimeError("the service did not start")
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=REQUEST_SECONDS) as http:
        yield EvalClient(http)
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

    message_id: str
    content: str
    grounded: bool


class EvalClient(ParleyClient):
    """A client for one user; all methods raise `UnexpectedAnswer` where the service refuses."""

    async def list_documents(self) -> list[dict[str, Any]]:
        """List all documents of the user."""
        pages = await self.get_pages(f"/documents?user_id={self.user_id}&limit={PAGE}")
        return [document for page in pages for document in page]

    async def poll_documents(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the user's documents at intervals, the last time when all are ready or failed."""
        while True:
            begun = time.perf_counter()
            documents = await self.list_documents()
            yield documents
            if all(each["status"] in {"ready", "failed"} for each in documents):
                return
            await asyncio.sleep(min((time.perf_counter() - begun) / POLLING_SHARE, LONGEST_PAUSE_SECONDS))

    async def get_text(self, document_id: str) -> str:
        """Return the extracted text of a document."""
        return expect_status(await self.get(f"/documents/{document_id}/text"), 200).text

    async def search(self, query: str, limit: int) -> list[Hit]:
        """Search the user's documents and return the passages, the best first."""
        body = {"user_id": self.user_id, "query": query, "limit": limit}
        found = expect_status(await self.post("/documents/search", json=body), 200).json()
        return [Hit(each["document_id"], each["start"], each["end"], each["text"]) for each in found]

    async def reply(self, conversation: Mapping[str, Any], message: str, **body: Any) -> Reply:
        """Send a message and return the reply."""
        request = {"message": message} | body
        answer = expect_status(await self.post(messages_path(conversation), json=request, headers=MINIMAL), 201).json()
        reply = answer["messages"][-1]
        return Reply(reply["message_id"], reply["content"], bool(reply["grounded"]))

    async def prompt_documents(self, conversation: Mapping[str, Any], reply: Reply) -> Sequence[str]:
        """Return the documents of the passages in a reply's prompt, in their order."""
        context = await self.get_json(f"{messages_path(conversation)}/{reply.message_id}/context")
        return [str(each["document_id"]) for each in context["citations"]]
