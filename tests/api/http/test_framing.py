"""Broken HTTP, which is refused with a problem before the connection is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from app.api.openapi import Problem
from app.serving.http_protocol import MAX_HEAD_BYTES, MAX_URI_BYTES
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.wire import CHUNKED, GET, POST, RawAnswer, connection, exchanged, read_answer, turn_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN = {
    "words": b"nonsense\r\n\r\n",
    "unknown method": b"FETCH / HTTP/1.1\r\nHost: x\r\n\r\n",
    "method in small letters": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2 in the line": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303"),
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "path without a slash": b"GET livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "path with a space": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "path with a control character": b"GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that is not escaped": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "header without a name": GET + b": x\r\n\r\n",
    "header name": GET + b"X(: x\r\n\r\n",
    "NUL in a header": GET + b"X: a\x00b\r\n\r\n",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "length -1": POST + b"Content-Length: -1\r\n\r\n{}",
    "length in words": POST + b"Content-Length: two\r\n\r\n{}",
    "length of 40 digits": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "one length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "encoding without an end": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "chunk size in words": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunk size -2": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk size beyond all": CHUNKED + b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "second chunk": CHUNKED + b"1\r\n{\r\nzz\r\n",
}
CUT = {"head": GET, "body": POST + b"Content-Length: 9\r\n\r\n{", "chunk": CHUNKED + b"9\r\n{", "chunks": CHUNKED}
ENDLESS = {
    "path": (b"GET /", b"a" * 1000, 414),
    "query": (b"GET /livez?a=", b"a" * 1000, 414),
    "header": (GET + b"X: ", b"a" * 1000, 431),
    "headers": (GET, b"X-A: b\r\n" * 100, 431),
    "trailer": (CHUNKED + b"0\r\nX: ", b"a" * 1000, 431),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 100, 431),
    "extension of a chunk": (CHUNKED + b"2;a=", b"a" * 1000, 431),
}
CODES = {400: "bad-request", 414: "uri-too-long", 431: "headers-too-large"}


@pytest.fixture(scope="module")
def shared_database_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database, as these requests do not reach it."""
    with sqlite_template.copy() as url:
        yield url


def expect_refusal(answer: RawAnswer | None, status: int, request_id: str = "") -> None:
    """Check that an answer is a complete problem, and the last one of its connection."""
    assert answer is not None
    problem = answer.json()
    Problem.model_validate(problem)
    assert (answer.status, problem["status"], problem["code"]) == (status, status, CODES[status])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert request_id in {"", problem["request_id"]}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_http_refused(shared_service: Service, sent: bytes) -> None:
    """Bytes that are not a request of HTTP/1.1 are answered once with a problem, and the connection is closed."""
    [answer] = await exchanged(shared_service.url, sent)
    expect_refusal(answer, 400)


@pytest.mark.parametrize("sent", CUT.values(), ids=CUT.keys())
async def test_truncated_request_refused(shared_service: Service, sent: bytes) -> None:
    """A client that shuts its side down in the middle of a request gets a 400."""
    [answer] = await exchanged(shared_service.url, sent, end=True)
    expect_refusal(answer, 400)


async def test_refusal_echoes_request_id(shared_service: Service) -> None:
    """An `X-Request-ID` that was read before the request broke is returned."""
    for rest in (b"X-A : b\r\n\r\n", b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n"):
        [answer] = await exchanged(
            shared_service.url, b"POST /users HTTP/1.1\r\nX-Request-ID: mine\r\nHost: x\r\n" + rest
        )
        expect_refusal(answer, 400, "mine")


@pytest.mark.parametrize(("start", "more", "status"), ENDLESS.values(), ids=ENDLESS.keys())
async def test_endless_head_refused(shared_service: Service, start: bytes, more: bytes, status: int) -> None:
    """An endless path, header or trailer is refused while it arrives."""
    async with connection(shared_service.url) as (reader, writer):
        writer.write(start)
        answer = asyncio.create_task(read_answer(reader))
        while not answer.done():
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0)
        expect_refusal(await answer, status)


async def test_head_size_limits(shared_service: Service) -> None:
    """Paths and headers are accepted up to their limits and refused beyond them."""
    for size, head, status in (
        (MAX_URI_BYTES, b"GET /%b HTTP/1.1\r\nConnection: close\r\n\r\n", 414),
        (MAX_HEAD_BYTES, b"GET /none HTTP/1.1\r\nConnection: close\r\nX: %b\r\n\r\n", 431),
    ):
        [long], [too_long] = [
            await exchanged(shared_service.url, head % (b"a" * (size + more))) for more in (-len(head), 1)
        ]
        assert long.status == 404
        expect_refusal(too_long, status)


UPGRADE = b"Connection: %b\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
BODIES = {
    "length": b"Content-Length: 18\r\n\r\n" + b'{"user_id": "ada"}',
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + b'{"user_id": "ada"}\r\n0\r\n\r\n',
}


@pytest.mark.parametrize("pieces", [1, 2, 1000])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"anything"])
async def test_upgrade_ignored(service: Service, protocol: bytes, body: bytes, pieces: int) -> None:
    """A client that offers another protocol is served in HTTP/1.1, body and all."""
    offered = UPGRADE % (b"Upgrade, HTTP2-Settings", protocol)
    sent = GET + offered + b"\r\n" + POST + offered + b"X-Request-ID: mine\r\n" + body
    sent += GET + UPGRADE % (b"close, upgrade", protocol) + b"\r\n"
    async with connection(service.url) as (reader, writer):
        for part in split(sent, pieces):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        answers = [await read_answer(reader) for _ in range(4)]
    assert [each and each.status for each in answers] == [200, 201, 200, None]
    assert answers[1] is not None and answers[1].json()["user_id"] == "ada"
    assert answers[1].headers["x-request-id"] == "mine"


@pytest.mark.parametrize("body", [b"Content-Length: 9\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
async def test_broken_upgrade_refused(shared_service: Service, body: bytes) -> None:
    """A broken request is refused although it offers an upgrade."""
    [answer] = await exchanged(shared_service.url, POST + UPGRADE % (b"Upgrade", b"h2c") + body, end=True)
    expect_refusal(answer, 400)


async def test_connect_refused(shared_service: Service) -> None:
    """`CONNECT` is a 405, and the bytes after it are not read."""
    [answer] = await exchanged(shared_service.url, b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\n")
    assert (answer.status, answer.headers["allow"], answer.headers["connection"]) == (405, "GET, HEAD", "close")


def split(sent: bytes, count: int) -> list[bytes]:
    """Split bytes into about so many pieces."""
    size = max(1, len(sent) // count)
    return [sent[place : place + size] for place in range(0, len(sent), size)]


async def test_trailers_are_not_headers(shared_service: Service) -> None:
    """Trailers after a body do not change the request."""
    sent = (
        CHUNKED + b"2\r\n{}\r\n0\r\nX-Request-ID: theirs\r\n\r\nDELETE /users/%b HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    [made, nothing] = await exchanged(shared_service.url, sent % b"nobody")
    assert (made.status, nothing.status) == (201, 404)
    assert made.headers["x-request-id"] != "theirs"


async def test_requests_before_broken_one_answered(openai_service: Service, provider: FakeProvider) -> None:
    """Complete requests are answered in order before a broken one is refused, however long they take."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply(gate, "Hello")
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation) + GET + b"\r\nnonsense\r\n\r\n")
        await openai_service.client.wait_for_count(conversation, 2)
        gate.set()
        answers = [await read_answer(reader) for _ in range(4)]
    assert [each and each.status for each in answers] == [201, 200, 400, None]
    expect_refusal(answers[2], 400)


@pytest.mark.parametrize("behind", [b"", GET + b"\r\n", GET + b"\r\nnonsense\r\n\r\n"])
async def test_half_closed_client_answered(openai_service: Service, provider: FakeProvider, behind: bytes) -> None:
    """A client that shuts its side down after complete requests gets every answer."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply(gate, "Hello")
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation) + behind)
        writer.write_eof()
        await openai_service.client.wait_for_count(conversation, 2)
        gate.set()
        answers = [await read_answer(reader) for _ in range(2 + behind.count(b"\r\n\r\n"))]
    statuses = [201, *([200] if b"GET" in behind else []), *([400] if b"nonsense" in behind else []), None]
    assert [each and each.status for each in answers] == statuses


async def test_half_closed_client_streamed(openai_service: Service, provider: FakeProvider) -> None:
    """A client that shuts its side down before its stream begins gets the stream."""
    conversation = await openai_service.client.create_conversation()
    provider.reply("Half ", "whole")
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation, stream=True))
        writer.write_eof()
        assert b"event: message.completed" in await reader.read()


async def test_broken_pipelined_request_refused(openai_service: Service, provider: FakeProvider) -> None:
    """A pipelined request whose body breaks while it is queued is refused in its place."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply(gate, "Hello")
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation) + CHUNKED + b"1\r\n{\r\n")
        await openai_service.client.wait_for_count(conversation, 2)
        writer.write(b"zz\r\n")
        gate.set()
        answers = [await read_answer(reader) for _ in range(3)]
    assert [each and each.status for each in answers] == [201, 400, None]


async def test_bytes_behind_stream_refused_after_it(openai_service: Service, provider: FakeProvider) -> None:
    """Invalid bytes behind a request that streams are refused after the stream, not inside it."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation, stream=True))
        await reader.readuntil(b'{"delta":"Half "}')
        writer.write(b"nonsense\r\n\r\n")
        await writer.drain()
        gate.set()
        rest = await reader.read()
    stream, end, refusal = rest.partition(b"\r\n0\r\n\r\n")
    assert b"HTTP/1.1" not in stream
    assert b"event: message.completed" in stream and end
    assert refusal.startswith(b"HTTP/1.1 400 ")


async def test_refused_body_answered_once(shared_service: Service) -> None:
    """The rest of a request that was refused early is read, and may break without a second answer."""
    async with connection(shared_service.url) as (reader, writer):
        writer.write(CHUNKED.replace(b"application/json", b"text/plain"))
        answer = await read_answer(reader)
        assert answer is not None and answer.status == 415
        writer.write(b"zz\r\n")
        assert await reader.read() == b""


async def test_endless_body_refused(shared_service: Service) -> None:
    """An endless chunked body is answered with 413 while it is being sent."""
    async with connection(shared_service.url) as (reader, writer):
        writer.write(CHUNKED)
        answer = asyncio.create_task(reader.readline())
        while not answer.done():
            writer.write(b"8000\r\n" + b"[" * 0x8000 + b"\r\n")
            await writer.drain()
        assert (await answer).startswith(b"HTTP/1.1 413 ")


async def test_service_continues(shared_client: ParleyClient) -> None:
    """After all broken requests of this file the service is ready."""
    assert (await shared_client.get("/readyz")).status_code == 200
