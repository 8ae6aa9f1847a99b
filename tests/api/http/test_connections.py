"""Slow, silent and too many connections, and clients of HTTP/1.0."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from app.serving.http_protocol import MAX_REFUSED
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service, provider_settings, serving
from tests.support.wire import CHUNKED, GET, POST, connection, exchanged, read_answer, turn_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = 0.2
LONG = 3600
HEADS = {"nothing": b"", "line": b"GET /live", "headers": GET, "blank lines": b"\r\n\r\n"}
BODIES = {
    "none of it": POST + b"Content-Length: 2\r\n\r\n",
    "half of it": POST + b"Content-Length: 2\r\n\r\n{",
    "chunk": CHUNKED + b"2\r\n{",
    "between chunks": CHUNKED + b"1\r\n{\r\n",
    "trailers": CHUNKED + b"2\r\n{}\r\n0\r\nX: ",
}


@pytest.fixture
def url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database, as these requests do not reach it."""
    with sqlite_template.copy() as made:
        yield made


@contextlib.asynccontextmanager
async def serve_with_limits(url: str, provider: FakeProvider, **limits: float) -> AsyncIterator[Service]:
    """Start the service with some limits, and no others that matter."""
    far = {"header_seconds": LONG, "body_seconds": LONG, "keep_alive_seconds": LONG}
    async with serving(provider_settings(provider, database_url=url, **far | limits)) as service:
        yield service


@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS.keys())
async def test_incomplete_head_times_out(url: str, provider: FakeProvider, sent: bytes) -> None:
    """A connection that sends nothing is closed silently; an incomplete head is answered with 408."""
    async with serve_with_limits(url, provider, header_seconds=SHORT) as service:
        answers = await exchanged(service.url, sent)
    begun = bool(sent.strip())
    assert [(each.status, each.json()["code"]) for each in answers] == [(408, "request-timeout")] * begun


async def test_second_head_times_out(url: str, provider: FakeProvider) -> None:
    """The time for a further head runs from its first byte; empty lines do not begin one."""
    async with serve_with_limits(url, provider, header_seconds=SHORT) as service:
        for begun, statuses in ((b"GET /", [200, 408]), (b"\r\n", [200])):
            async with connection(service.url) as (reader, writer):
                writer.write(GET + b"\r\n")
                answers = [await read_answer(reader)]
                writer.write(begun)
                while (answer := await read_answer(reader)) is not None:
                    answers.append(answer)
            assert [each and each.status for each in answers] == statuses


async def test_slow_head_times_out(url: str, provider: FakeProvider) -> None:
    """Further bytes do not extend the time for a head."""
    async with (
        serve_with_limits(url, provider, header_seconds=SHORT) as service,
        connection(service.url) as (reader, writer),
    ):
        writer.write(GET + b"X: ")
        answer = asyncio.create_task(read_answer(reader))
        while not answer.done():
            writer.write(b"a")
            await asyncio.wait([answer], timeout=SHORT / 20)
        refusal = await answer
        assert refusal is not None and refusal.status == 408


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES.keys())
async def test_incomplete_body_times_out(url: str, provider: FakeProvider, sent: bytes) -> None:
    """A request whose body stops is answered with 408 and has no effect."""
    async with serve_with_limits(url, provider, body_seconds=SHORT) as service:
        [answer] = await exchanged(service.url, sent)
        assert (answer.status, answer.json()["code"]) == (408, "request-timeout")
        assert (answer.headers["connection"], answer.headers["content-type"]) == ("close", "application/problem+json")


async def test_stopped_upload_leaves_nothing(url: str, provider: FakeProvider) -> None:
    """A document whose upload stops is answered with 408 and not stored."""
    head = b"POST /documents HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 999\r\n\r\n"
    part = (
        b'--b\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nada\r\n--b\r\nContent-Disposition: form-data; '
    )
    async with serve_with_limits(url, provider, body_seconds=SHORT) as service:
        [answer] = await exchanged(service.url, head + part + b'name="file"; filename="a.txt"\r\n\r\nSome')
        assert (answer.status, answer.json()["code"]) == (408, "request-timeout")
        listed = await service.client.get("/documents", params={"user_id": "ada"})
        assert listed.json() == []


async def test_endless_refused_body_closed(url: str, provider: FakeProvider) -> None:
    """The rest of a refused request is read for a limited time only."""
    async with (
        serve_with_limits(url, provider, body_seconds=SHORT) as service,
        connection(service.url) as (reader, writer),
    ):
        writer.write(CHUNKED.replace(b"application/json", b"text/plain"))
        answer = await read_answer(reader)
        assert answer is not None and answer.status == 415
        closed = asyncio.create_task(reader.read())
        while not closed.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
            await asyncio.wait([closed], timeout=SHORT / 10)
        with contextlib.suppress(ConnectionError):
            assert await closed == b""


async def test_idle_connection_closed(url: str, provider: FakeProvider) -> None:
    """A connection without a further request is closed after KEEP_ALIVE_SECONDS."""
    async with (
        serve_with_limits(url, provider, keep_alive_seconds=SHORT) as service,
        connection(service.url) as (reader, writer),
    ):
        writer.write(GET + b"\r\n")
        answer = await read_answer(reader)
        assert answer is not None and answer.status == 200
        assert await reader.read() == b""


async def test_timeouts_spare_answers(url: str, provider: FakeProvider) -> None:
    """No timeout of a connection runs while an answer is generated or sent."""
    short = {"header_seconds": 0.5, "body_seconds": 0.5, "keep_alive_seconds": 0.5}
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    async with serve_with_limits(url, provider, **short) as service:
        made = [await service.client.create_conversation() for _ in range(2)]
        async with connection(service.url) as (reader, writer):
            writer.write(turn_request(made[0], stream=True))
            await reader.readuntil(b'{"delta":"Half "}')
            provider.reply("Half ", gate, "whole")
            async with connection(service.url) as (other, waiting):
                waiting.write(turn_request(made[1]))
                await provider.wait_calls(2)
                for _ in range(2):  # longer than all timeouts
                    assert await exchanged(service.url, b"") == []
                gate.set()
                answer = await read_answer(other)
            assert answer is not None and answer.json()["assistant_reply"] == "Half whole"
            assert b"event: message.completed" in await reader.readuntil(b"\r\n0\r\n\r\n")


async def test_connection_limit(url: str, provider: FakeProvider) -> None:
    """Beyond MAX_CONNECTIONS a connection is refused with 503, and a closed one makes room."""
    async with serve_with_limits(url, provider, max_connections=2) as service:
        async with connection(service.url), connection(service.url) as (reader, writer):
            writer.write(GET + b"\r\n")
            assert await read_answer(reader) is not None
            [refusal] = await exchanged(service.url, b"")
            assert (refusal.status, refusal.json()["code"]) == (503, "overloaded")
            assert (refusal.headers["connection"], int(refusal.headers["retry-after"]) > 0) == ("close", True)
        last = GET + b"Connection: close\r\n\r\n"
        while [each.status for each in await exchanged(service.url, last)] == [503]:
            pass  # the server has not noticed the closed connections yet


async def test_every_excess_connection_refused(url: str, provider: FakeProvider) -> None:
    """Each excess connection gets its refusal, however many refused ones are still open."""
    async with serve_with_limits(url, provider, max_connections=1) as service, contextlib.AsyncExitStack() as held:
        readers = [(await held.enter_async_context(connection(service.url)))[0] for _ in range(2 * MAX_REFUSED)]
        answers = [await read_answer(reader) for reader in readers[1:]]
        assert {answer and answer.json()["code"] for answer in answers} == {"overloaded"}


async def test_http_1_0_without_chunks(url: str, provider: FakeProvider) -> None:
    """To an HTTP/1.0 client an answer without a length ends with its connection, and no interim answer is sent."""
    async with serve_with_limits(url, provider) as service:
        conversation = await service.client.create_conversation()
        head, _, body = turn_request(conversation, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0").partition(b"\r\n\r\n")
        async with connection(service.url) as (reader, writer):
            writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n" + body)
            answer_head, _, events = (await reader.read()).partition(b"\r\n\r\n")
        assert answer_head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in answer_head.lower()
        assert b"connection: close" in answer_head.lower()
        assert events.startswith(b"id: 0\nevent: turn.started\n") and events.endswith(b"\n\n")
        found = f"GET {messages_path(conversation)} HTTP/1.0\r\n\r\n".encode()
        [listed] = await exchanged(service.url, found)
        assert len(listed.json()) == 2
