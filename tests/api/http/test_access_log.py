"""The access log: one line for each request, with its status and duration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.serving import access_log
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import ParleyClient, messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service, provider_settings, serving
from tests.support.wire import CHUNKED, GET, connection, exchanged, turn_request

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Lines(logging.Handler):
    """The lines of the access log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._more.set()

    async def wait(self, count: int) -> list[Any]:
        """Wait until there are so many lines, and return all."""
        async with asyncio.timeout(20):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
        return self.records


@pytest.fixture(scope="module")
def shared_database_url(sqlite_template: SqliteTemplate) -> Iterator[str]:
    """One kind of database, as lines are the same on both."""
    with sqlite_template.copy() as url:
        yield url


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines that are logged from now on, at debug level too."""
    handler = Lines()
    access_log.log.addHandler(handler)
    access_log.log.setLevel(logging.DEBUG)
    yield handler
    access_log.log.setLevel(logging.NOTSET)
    access_log.log.removeHandler(handler)


def fields_of(record: Any) -> tuple[str, str, str, int | None]:
    """Return message, method, path and status of a line."""
    assert record.ms >= 0
    return record.getMessage(), record.method, record.path, record.status


async def test_each_request_logged_once(client: ParleyClient, lines: Lines) -> None:
    """Log method, path without query, status, milliseconds and request id of each request, also of refused ones."""
    answers = [
        await client.get("/conversations", params={"user_id": "sk-secret"}),
        await client.get("/nothing"),
        await client.post("/conversations", json={}),
        await client.head("/health"),
    ]
    found = await lines.wait(4)
    assert [fields_of(each) for each in found] == [
        ("answered", "GET", "/conversations", 200),
        ("answered", "GET", "/nothing", 404),
        ("answered", "POST", "/conversations", 422),
        ("answered", "HEAD", "/health", 200),
    ]
    assert [each.request_id for each in found] == [each.headers["x-request-id"] for each in answers]
    assert {each.levelno for each in found} == {logging.INFO}
    assert "sk-secret" not in str([vars(each) for each in found])


async def test_probes_logged_at_debug(client: ParleyClient, lines: Lines) -> None:
    """Requests to `/livez` and `/readyz`, which come every few seconds, are logged at debug level only."""
    for path in ("/livez", "/readyz"):
        await client.get(path)
    assert {(each.path, each.levelno) for each in await lines.wait(2)} == {
        ("/livez", logging.DEBUG),
        ("/readyz", logging.DEBUG),
    }


async def test_broken_http_logged(service: Service, lines: Lines) -> None:
    """A request that is not HTTP is logged once, with the parts of it that could be parsed."""
    for sent in (b"nonsense\r\n\r\n", GET + b"X : y\r\n\r\n", CHUNKED + b"zz\r\n"):
        await exchanged(service.url, sent)
    assert [fields_of(each) for each in await lines.wait(3)] == [
        ("answered", "", "", 400),
        ("answered", "", "/livez", 400),
        ("answered", "POST", "/users", 400),
    ]


async def test_long_path_shortened(client: ParleyClient, lines: Lines) -> None:
    """A path is logged up to 200 characters."""
    await client.get("/" + "a" * 5000)
    [record] = await lines.wait(1)
    assert record.path == "/" + "a" * 199


async def test_stream_logged_at_its_end(openai_service: Service, provider: FakeProvider, lines: Lines) -> None:
    """A stream is logged when it has ended, with its whole duration."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    await lines.wait(1)
    async with connection(openai_service.url) as (reader, writer):
        writer.write(turn_request(conversation, stream=True))
        await reader.readuntil(b'{"delta":"Half "}')
        assert len(lines.records) == 1
        gate.set()
        await reader.readuntil(b"\r\n0\r\n\r\n")
    assert fields_of((await lines.wait(2))[1]) == ("answered", "POST", messages_path(conversation), 200)


async def test_client_that_left_logged(openai_service: Service, provider: FakeProvider, lines: Lines) -> None:
    """The line of a stream whose client disconnected before its end says so."""
    conversation = await openai_service.client.create_conversation()
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    await lines.wait(1)
    async with connection(openai_service.url) as (_, writer):
        writer.write(turn_request(conversation, stream=True))
        await provider.wait_calls(1)
    for _ in range(2):  # after two requests the server has noticed
        assert (await openai_service.client.get("/livez")).status_code == 200
    gate.set()
    [line] = [each for each in await lines.wait(4) if each.path == messages_path(conversation)]
    assert fields_of(line) == ("client left", "POST", messages_path(conversation), 200)


async def test_preflight_logged(shared_database_url: str, provider: FakeProvider, lines: Lines) -> None:
    """A preflight, which is answered before the application, is logged with its request id."""
    configured = provider_settings(provider, database_url=shared_database_url, cors_origins="https://app.example")
    async with serving(configured) as service:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        answer = await service.client.options("/conversations", headers=preflight)
    [record] = await lines.wait(1)
    assert fields_of(record) == ("answered", "OPTIONS", "/conversations", 200)
    assert record.request_id == answer.headers["x-request-id"]
