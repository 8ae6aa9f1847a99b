"""One line for each request: what it was answered with, and how long that took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.serving import access_log
from tests.api.talk import make, messages_of
from tests.api.test_framing import CHUNKED, GET, turn
from tests.support.databases import SqliteTemplate
from tests.support.provider import FakeProvider
from tests.support.service import Service, asking, serving
from tests.support.wire import connection, exchanged

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Lines(logging.Handler):
    """The lines of the access log, and a wait for as many as are expected."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._more.set()

    async def wait(self, count: int) -> list[Any]:
        """All lines, once there are so many."""
        async with asyncio.timeout(20):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
        return self.records


@pytest.fixture(scope="module")
def shared_database_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database: lines are the same on both."""
    with sqlite_template.copy() as url:
        yield url


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the access log holds from now on, debug level too."""
    handler = Lines()
    access_log.log.addHandler(handler)
    access_log.log.setLevel(logging.DEBUG)
    yield handler
    access_log.log.setLevel(logging.NOTSET)
    access_log.log.removeHandler(handler)


def told(record: Any) -> tuple[str, str, str, int | None]:
    """What a line says."""
    assert record.ms >= 0
    return record.getMessage(), record.method, record.path, record.status


async def test_each_request_has_one_line(service: Service, lines: Lines) -> None:
    """Method, path without its query, status, milliseconds and the answer's request id; refusals have one too."""
    answers = [
        await service.client.get("/conversations", params={"user_id": "sk-secret"}),
        await service.client.get("/nothing"),
        await service.client.post("/conversations", json={}),
        await service.client.head("/health"),
    ]
    found = await lines.wait(4)
    assert [told(each) for each in found] == [
        ("answered", "GET", "/conversations", 200),
        ("answered", "GET", "/nothing", 404),
        ("answered", "POST", "/conversations", 422),
        ("answered", "HEAD", "/health", 200),
    ]
    assert [each.request_id for each in found] == [each.headers["x-request-id"] for each in answers]
    assert {each.levelno for each in found} == {logging.INFO}
    assert "sk-secret" not in str([vars(each) for each in found])


async def test_probes_are_logged_at_debug_level(service: Service, lines: Lines) -> None:
    """What asks every few seconds whether the service lives fills no log."""
    for path in ("/livez", "/readyz"):
        await service.client.get(path)
    assert {(each.path, each.levelno) for each in await lines.wait(2)} == {
        ("/livez", logging.DEBUG),
        ("/readyz", logging.DEBUG),
    }


async def test_broken_http_has_a_line(service: Service, lines: Lines) -> None:
    """What the connection refuses by itself is logged with as much of it as was understood, once."""
    for sent in (b"nonsense\r\n\r\n", GET + b"X : y\r\n\r\n", CHUNKED + b"zz\r\n"):
        await exchanged(service.url, sent)
    assert [told(each) for each in await lines.wait(3)] == [
        ("answered", "", "", 400),
        ("answered", "", "/livez", 400),
        ("answered", "POST", "/users", 400),
    ]


async def test_a_long_path_is_cut(service: Service, lines: Lines) -> None:
    """A line stays short, whatever is asked for."""
    await service.client.get("/" + "a" * 5000)
    [record] = await lines.wait(1)
    assert record.path == "/" + "a" * 199


async def test_a_stream_s_line_comes_at_its_end(openai_service: Service, provider: FakeProvider, lines: Lines) -> None:
    """A stream is logged when it has ended, with the time that it took; a preflight is logged as well."""
    made = await make(openai_service)
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    await lines.wait(1)
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn(made, stream=True))
        await reader.readuntil(b'{"delta":"Half "}')
        assert len(lines.records) == 1
        gate.set()
        await reader.readuntil(b"\r\n0\r\n\r\n")
    assert told((await lines.wait(2))[1]) == ("answered", "POST", messages_of(made), 200)


async def test_a_client_that_left_is_said(openai_service: Service, provider: FakeProvider, lines: Lines) -> None:
    """Where the client of a stream went before it had all of it, the line says that.

    One that ends its half of the connection before its answer has begun may still read: it is answered.
    """
    made = await make(openai_service)
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    await lines.wait(1)
    async with connection(openai_service.url) as (_, writer):
        writer.write(turn(made, stream=True))
        await provider.wait_calls(1)
    for _ in range(2):  # by then the server has seen that it is gone
        assert (await openai_service.client.get("/livez")).status_code == 200
    gate.set()
    [line] = [each for each in await lines.wait(4) if each.path == messages_of(made)]
    assert told(line) == ("client left", "POST", messages_of(made), 200)


async def test_a_preflight_has_a_line(shared_database_url: str, provider: FakeProvider, lines: Lines) -> None:
    """What is answered before the application is reached is logged with its request id."""
    configured = asking(provider, database_url=shared_database_url, cors_origins="https://app.example")
    async with serving(configured) as service:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        answer = await service.client.options("/conversations", headers=preflight)
    [record] = await lines.wait(1)
    assert told(record) == ("answered", "OPTIONS", "/conversations", 200)
    assert record.request_id == answer.headers["x-request-id"]
