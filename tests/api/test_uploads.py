from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import httpx2
import pytest

from tests.api.talk import problem_of
from tests.support.service import Service, serving, settings
from tests.support.uploads import (
    BOUNDARY,
    FORM,
    NOTHING,
    counts,
    file_part,
    form,
    part,
    pieces,
    read,
    upload,
    uploaded,
    user_part,
)
from tests.support.wire import connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEDIA_TYPE = "unsupported-media-type"
KILOBYTE = b"All work and no play makes Jack a dull boy. Up and up he went. " * 16


async def send(service: Service, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
    """The answer to a form as it is."""
    return await service.client.post("/documents", content=body, headers=headers or FORM)


@pytest.mark.parametrize("parts", [(file_part(), user_part()), (user_part(), file_part())])
async def test_the_fields_come_in_any_order(service: Service, parts: tuple[bytes, ...]) -> None:
    """Whose a document is may be said before it or after it."""
    response = await send(service, form(*parts))
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/documents/{response.json()['document_id']}"
    assert (await read(service.client, response.json()))["chunk_count"] == 1


async def test_a_document_is_taken_byte_by_byte(service: Service) -> None:
    """However a body is cut on its way, what is stored are the file's bytes."""
    content = b"--a1b2\r\n--a1b2c3d4e5f7\r\n\r\n--" * 10
    body = form(file_part(content), user_part())
    response = await send(service, pieces(*(body[place : place + 1] for place in range(len(body)))))
    assert response.status_code == 202, response.text
    document = await read(service.client, response.json())
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await service.client.get(f"/documents/{document['document_id']}/content")).content == content


async def test_a_document_of_many_parts_comes_back_as_it_was(service: Service) -> None:
    """A document is stored in rows of 256 KB, and read as one."""
    content = b"".join(b"%d\n" % each for each in range(150_000))
    document = await uploaded(service.client, content, "numbers.csv")
    assert (document["bytes"], document["media_type"]) == (len(content), "text/csv")
    assert (await counts(service.database))["document_contents"] == len(content) // (256 * 1024) + 1
    assert (await service.client.get(f"/documents/{document['document_id']}/content")).content == content
    await service.client.delete(f"/documents/{document['document_id']}")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (form(user_part()), "#/file"),
        (form(file_part()), "#/user_id"),
        (form(), "#/file"),
        (form(file_part(b""), user_part()), "#/file"),
        (form(file_part(), user_part(" ")), "#/user_id"),
        (form(file_part(), user_part("a\x00b")), "#/user_id"),
        (form(file_part(), user_part("u" * 201)), "#/user_id"),
        (form(file_part(), part('Content-Disposition: form-data; name="user_id"', b"\xff")), "#/user_id"),
        (form(user_part(), user_part(), file_part()), "#/user_id"),
        (form(file_part(), file_part(), user_part()), "#/file"),
        (form(part('Content-Disposition: form-data; name="role"', b"admin"), file_part(), user_part()), "#"),
        (form(part("Content-Type: text/plain", b"no name"), file_part(), user_part()), "#"),
        (form(*[part("", b"")] * 5_000), "#"),
        (form(part("\r\n".join(f"X-{each}: y" for each in range(20_000)), b"")), "#"),
        (form(part("X-Long: " + "y" * 100_000, b"")), "#"),
        (form(file_part(), user_part("u" * 100_000)), "#/user_id"),
        (b"\r\n" * 200_000, "#"),
        (b"no form at all", "#"),
        (b"-" * 300_000, "#"),
        (form(user_part(), file_part())[:-20], "#"),
        (b"", "#"),
        (b'{"user_id": "ada"}', "#"),
    ],
)
async def test_a_form_that_is_not_as_asked_for_is_refused(service: Service, body: bytes, pointer: str) -> None:
    """422 with the place that is wrong, within a second of CPU, and nothing is left of it."""
    before = time.process_time()
    response = await send(service, body)
    problem = problem_of(response, 422, "validation-error")
    assert time.process_time() - before < 1  # for which hostile.md asks
    assert problem["errors"][0]["pointer"] == pointer
    await nothing_is_left(service)


async def nothing_is_left(service: Service) -> None:
    """Waits until what arrived in vain is removed."""
    async with asyncio.timeout(10):
        while await counts(service.database) != NOTHING:
            pass


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"],
)
async def test_another_kind_of_body_is_refused(service: Service, content_type: str) -> None:
    """415 for what is no form."""
    problem_of(await send(service, form(user_part(), file_part()), {"Content-Type": content_type}), 415, MEDIA_TYPE)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 71}"],
)
async def test_a_form_without_a_boundary_is_refused(service: Service, content_type: str) -> None:
    """422: where its parts end cannot be known."""
    problem = problem_of(await send(service, form(), {"Content-Type": content_type}), 422, "validation-error")
    assert problem["errors"][0]["pointer"] == "header/content-type"


async def test_no_type_and_no_body_are_refused(service: Service) -> None:
    """A post of nothing is told what is wanted."""
    problem_of(await service.client.post("/documents"), 415, MEDIA_TYPE)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a.pdf"),
        (b"PK\x03\x04" + bytes(100), "a.docx"),
        (b"\x00\x01\x02\x03" * 100, "a.txt"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "a.svg"),
    ],
)
async def test_bytes_of_no_kind_that_is_read_are_refused(service: Service, content: bytes, name: str) -> None:
    """415 by what the bytes are, whatever the name says, and nothing is stored."""
    problem_of(await upload(service.client, content, name), 415, MEDIA_TYPE)
    await nothing_is_left(service)


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ('filename="../../etc/cron.d/x"', "x"),
        (r'filename="C:\\temp\\a.txt"', "a.txt"),
        ('filename="a\x00b.txt"', "ab.txt"),
        (f'filename="{"n" * 4096}.txt"', "n" * 196 + ".txt"),
        ('filename="CON"', "CON"),
        ("filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt", "naïve €.txt"),
        ('filename*0="one"; filename*1=" two.txt"', "one two.txt"),
        (r'filename="say \"hi\".txt"', 'say "hi".txt'),
        ('filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('filename="naïve.txt"', "naïve.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("filename*=no-such-charset''a.txt", "a.txt"),
        ('x="y"', "document"),
    ],
)
async def test_a_file_s_name_is_only_shown(service: Service, filename: str, shown: str) -> None:
    """Whatever a file is called, it is stored under an id, and shown as the last part of its name."""
    file = part(f'Content-Disposition: form-data; name="file"; {filename}', b"Some text.")
    response = await send(service, form(file, user_part()))
    assert response.status_code == 202, response.text
    assert response.json()["name"] == shown
    await read(service.client, response.json())


async def test_a_name_that_is_no_utf_8_is_read_as_latin_1(service: Service) -> None:
    """Bytes that are no text in UTF-8 are read as every browser once wrote them."""
    file = part(b'Content-Disposition: form-data; name="file"; filename="na\xefve.txt"', b"Some text.")
    response = await send(service, form(file, user_part()))
    assert (response.status_code, response.json()["name"]) == (202, "naïve.txt")
    await read(service.client, response.json())


async def test_the_query_s_user_must_be_the_form_s(service: Service) -> None:
    """Who asks, where it is said, is who uploads."""
    body = form(user_part("ada"), file_part())
    refused = await service.client.post("/documents?user_id=bob", content=body, headers=FORM)
    problem_of(refused, 422, "validation-error")
    taken = await service.client.post("/documents/?user_id=ada", content=body, headers=FORM)
    assert taken.status_code == 202
    await read(service.client, taken.json())


async def test_a_number_is_a_user_s_id_as_text(service: Service) -> None:
    """`1` in a form and 1 in JSON are one user."""
    document = await uploaded(service.client, b"Some text.", user_id="1")
    response = await service.client.post(
        "/conversations", json={"user_id": 1, "document_ids": [document["document_id"]]}
    )
    assert response.status_code == 201
    await read(service.client, document)


SMALL = 600_000
"""How many bytes a document may have, in the tests of that."""


async def test_a_document_has_a_bound(database_url: str) -> None:
    """413 by what the header says, and while the bytes come where it says nothing; the last byte that fits is taken."""
    async with serving(settings(database_url=database_url, max_document_bytes=SMALL)) as service:
        fits = (KILOBYTE * 600)[:SMALL]
        for body in (form(user_part(), file_part(fits + b"x" * 70_000)), form(file_part(fits + b"x"), user_part())):
            problem_of(await send(service, body), 413, "payload-too-large")
            problem_of(await send(service, pieces(body)), 413, "payload-too-large")
        await nothing_is_left(service)
        document = await uploaded(service.client, fits)
        assert document["bytes"] == SMALL


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (user_part() + file_part()[:-2], KILOBYTE, b"413"),
        (b"", b"\r\n" * 1000, b"422"),
        (f"--{BOUNDARY}\r\nX-A: ".encode(), b"y" * 1000, b"422"),
        (b"", part("", b""), b"422"),
    ],
)
async def test_an_endless_body_is_cut_off(database_url: str, begin: bytes, more: bytes, status: bytes) -> None:
    """A body without an end is refused once it is too long, whatever of it does not end; nothing is left of it."""
    head = f"POST /documents HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['Content-Type']}\r\n"
    async with serving(settings(database_url=database_url, max_document_bytes=SMALL)) as service:
        async with connection(service.url) as (reader, writer):
            writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk(begin))
            answer = asyncio.create_task(reader.readline())
            while not answer.done():
                writer.write(chunk(more))
                await writer.drain()
            assert (await answer).split()[1] == status
        await nothing_is_left(service)


def chunk(data: bytes) -> bytes:
    """A chunk of a body of unknown length."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def test_a_client_who_leaves_amid_the_upload_leaves_nothing(service: Service) -> None:
    """What has arrived of a document is removed when the rest does not come."""
    begun = asyncio.Event()

    async def until_left() -> Any:
        yield form(user_part(), file_part(KILOBYTE * 1024))[: 512 * 1024]
        begun.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(send(service, until_left()))
    await begun.wait()
    async with asyncio.timeout(10):
        while (await counts(service.database))["document_contents"] == 0:
            pass
    assert (await service.client.get("/documents?user_id=ada")).json() == []
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await nothing_is_left(service)
