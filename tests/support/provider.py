"""A fake provider with the HTTP API of OpenAI and Groq on loopback, whose answers a test chooses."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools

from tests.support.replies import Answer, Cut, Dialect, Part, Reply, Response, Step

CALL_SECONDS = 10.0

NOT_FOUND = Response(404, b'{"error": {"message": "Unknown request URL."}}')


@dataclass(eq=False)
class Call:
    """A request to the provider, and the state of its answer."""

    method: str
    target: str
    """The request's target: a path, or a whole URL at a proxy."""
    headers: Mapping[str, str]
    """Headers by lower-case name."""
    raw: bytes
    """The body as bytes."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the whole answer has been sent."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the connection was closed before that."""

    @property
    def path(self) -> str:
        """The target's path."""
        return urlsplit(self.target).path

    @cached_property
    def body(self) -> Any:
        """The body as JSON; an empty object when there was none."""
        return json.loads(self.raw or b"{}")

    @property
    def dialect(self) -> Dialect | None:
        """The provider whose completions are requested; None for another path."""
        paths = {dialect.value: dialect for dialect in Dialect}
        return paths.get(self.path) if self.method == "POST" else None


def echo(call: Call) -> Reply:
    """Reply with the last user message, one word per delta, and the usage in words."""
    messages = call.body.get("messages") or []
    texts = [_text(message) for message in messages if message.get("role") == "user"]
    words = re.findall(r"\S+\s*", f"Echo: {texts[-1] if texts else ''}")
    tokens_in = sum(len(_text(message).split()) for message in messages)
    return Reply(words, usage=(tokens_in, len(words)))


def listing(names: Sequence[str]) -> Response:
    """Build a list of models."""
    entries = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in names]
    return Response(200, json.dumps({"object": "list", "data": entries}).encode())


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class FakeProvider:
    """Serves chat completions on a free port of 127.0.0.1, in the running event loop, while it is entered.

    Calls take the queued answers in the order of their arrival, and then `default`.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[Call] = []
        self.default: Answer | Callable[[Call], Answer] = echo
        self.models: list[str] | None = None
        """The names in `GET …/models`; None for a server without that endpoint."""
        self.listed = 0
        """Number of fetches of that list, which are not in `calls`."""
        self.further_paths: set[str] = set()
        """Further paths that are answered like chat completions."""
        self.port = 0
        self._tls = tls
        self._queued: deque[Answer] = deque()
        self._arrival = asyncio.Event()
        self.open_connections: set[_Connection] = set()
        self.answering: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections, and raise the exception of an answer."""
        self._server.close()
        for connection in tuple(self.open_connections):
            connection.drop()
            await connection.lost.wait()
        await asyncio.gather(*self.answering, return_exceptions=True)
        await self._server.wait_closed()
        if self._failures:
            raise self._failures[0]

    @property
    def openai_base_url(self) -> str:
        """The value for `OPENAI_BASE_URL`."""
        return f"{self.groq_base_url}/v1"

    @property
    def groq_base_url(self) -> str:
        """The value for `GROQ_BASE_URL`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def active(self) -> int:
        """Number of answers being sent."""
        return sum(not (call.finished.is_set() or call.closed.is_set()) for call in self.calls)

    @property
    def connections(self) -> int:
        """Number of open connections, with idle ones."""
        return len(self.open_connections)

    def reply(self, *steps: Step, **options: Any) -> Reply:
        """Queue `Reply(steps, **options)`, and return it."""
        reply = Reply(steps, **options)
        self.answer(reply)
        return reply

    def answer(self, *answers: Answer) -> None:
        """Queue an answer for each of the next calls."""
        self._queued.extend(answers)

    def reset(self) -> None:
        """Forget all calls and queued answers, and echo again."""
        self.calls.clear()
        self._queued.clear()
        self.default = echo

    async def stop_listening(self) -> None:
        """Refuse new connections from now on."""
        self._server.close()
        await self._server.wait_closed()

    async def wait_calls(self, count: int) -> Call:
        """Wait for the call of that number, counted from 1, and return it.

        Raises:
            TimeoutError: it has not within ten seconds.
        """
        async with asyncio.timeout(CALL_SECONDS):
            while len(self.calls) < count:
                await self._arrival.wait()
        return self.calls[count - 1]

    def answer_to(self, call: Call) -> Answer:
        if call.method == "GET" and call.path.endswith("/models"):
            self.listed += 1
            return NOT_FOUND if self.models is None else listing(self.models)
        self.calls.append(call)
        self._arrival.set()
        self._arrival = asyncio.Event()
        if call.dialect is None and call.path not in self.further_paths:
            return NOT_FOUND
        if self._queued:
            return self._queued.popleft()
        return self.default(call) if callable(self.default) else self.default

    def finish(self, task: asyncio.Task[None]) -> None:
        self.answering.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)


class _Connection(asyncio.Protocol):
    """One connection of a client, which sends one request after the other."""

    def __init__(self, provider: FakeProvider) -> None:
        self.lost = asyncio.Event()
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._call: Call | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._provider.open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._provider.open_connections.discard(self)
        self.lost.set()
        if self._task is not None:
            self._task.cancel()
        if self._call is not None and not self._call.finished.is_set():
            self._call.closed.set()

    def drop(self) -> None:
        self._transport.abort()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", dict[str, str](), b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        self._call = Call(method, self._url.decode(), self._headers, self._body)
        self._task = asyncio.create_task(self._serve(self._call, self._parser.should_keep_alive()))
        self._provider.answering.add(self._task)
        self._task.add_done_callback(self._provider.finish)

    async def _serve(self, call: Call, keep_alive: bool) -> None:
        try:
            await self._send(self._provider.answer_to(call).parts(call.dialect or Dialect.OPENAI, call.body))
        except Exception:  # whatever a test's answer raises: its client must not wait for ever
            self.drop()
            raise
        if not self._transport.is_closing():
            call.finished.set()
        if not keep_alive:
            self._transport.close()

    async def _send(self, parts: Iterator[Part]) -> None:
        for part in parts:
            if isinstance(part, Cut):
                self._cut(part)
                return
            if isinstance(part, asyncio.Event):
                await part.wait()
            elif isinstance(part, int | float):
                await asyncio.sleep(part)
            else:
                await asyncio.sleep(0)  # lets a client in this loop read what is written already
                self._transport.write(part)

    def _cut(self, cut: Cut) -> None:
        if cut is Cut.FIN:
            self._transport.close()
            return
        at_once = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._transport.abort()
