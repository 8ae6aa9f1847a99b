"""Uploads of documents as multipart forms."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import httpx2
import pytest

from tests.support.parley_client import ParleyClient, document_path
from tests.support.problems import expect_problem
from tests.support.service import Service, serving, settings
from tests.support.uploads import BOUNDARY, FORM, NOTHING, counts, file_part, form, part, pieces, user_part
from tests.support.wire import connection

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEDIA_TYPE = "unsupported-media-type"
KILOBYTE = b"All work and no play makes Jack a dull boy. Up and up he went. " * 16


async def post_form(client: ParleyClient, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
    """Post a form as bytes, and return the answer."""
    return await client.post("/documents", content=body, headers=headers or FORM)


@pytest.mark.parametrize("parts", [(file_part(), user_part()), (user_part(), file_part())])
async def test_fields_in_any_order(client: ParleyClient, parts: tuple[bytes, ...]) -> None:
    """The user may come before or after the file."""
    response = await post_form(client, form(*parts))
    assert response.status_code == 202, response.text
    assert response.headers["location"] == document_path(response.json())
    assert (await client.wait_until_read(response.json()))["chunk_count"] == 1


async def test_form_byte_by_byte(client: ParleyClient) -> None:
    """However a body is split on its way, the stored bytes are the file's."""
    content = b"--a1b2\r\n--a1b2c3d4e5f7\r\n\r\n--" * 10
    body = form(file_part(content), user_part())
    response = await post_form(client, pieces(*(body[place : place + 1] for place in range(len(body)))))
    assert response.status_code == 202, response.text
    document = await client.wait_until_read(response.json())
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await client.get(f"{document_path(document)}/content")).content == content


async def test_large_document_unchanged(service: Service) -> None:
    """A document is stored in rows of 256 KB and returned as one."""
    content = b"".join(b"%d\n" % each for each in range(150_000))
    document = await service.client.upload(content, "numbers.csv")
    assert (document["bytes"], document["media_type"]) == (len(content), "text/csv")
    assert (await counts(service.database))["document_contents"] == len(content) // (256 * 1024) + 1
    assert (await service.client.get(f"{document_path(document)}/content")).content == content
    await service.client.delete(document_path(document))


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
async def test_invalid_form_refused(service: Service, body: bytes, pointer: str) -> None:
    """An invalid form is a 422 with the wrong field, within a second of CPU, and leaves nothing."""
    before = time.process_time()
    response = await post_form(service.client, body)
    problem = expect_problem(response, 422, "validation-error")
    assert time.process_time() - before < 1  # the limit for hostile input
    assert problem["errors"][0]["pointer"] == pointer
    await wait_until_empty(service)


async def wait_until_empty(service: Service) -> None:
    """Wait until rejected uploads are removed."""
    async with asyncio.timeout(10):
        while await counts(service.database) != NOTHING:
            pass


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"],
)
async def test_other_content_type_refused(client: ParleyClient, content_type: str) -> None:
    """A body that is not a form is a 415."""
    expect_problem(
        await post_form(client, form(user_part(), file_part()), {"Content-Type": content_type}), 415, MEDIA_TYPE
    )


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 71}"],
)
async def test_form_without_boundary_refused(client: ParleyClient, content_type: str) -> None:
    """A form without a valid boundary is a 422."""
    problem = expect_problem(await post_form(client, form(), {"Content-Type": content_type}), 422, "validation-error")
    assert problem["errors"][0]["pointer"] == "header/content-type"


async def test_empty_post_refused(client: ParleyClient) -> None:
    """A post without type and body is a 415."""
    expect_problem(await client.post("/documents"), 415, MEDIA_TYPE)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a.pdf"),
        (b"PK\x03\x04" + bytes(100), "a.docx"),
        (b"\x00\x01\x02\x03" * 100, "a.txt"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "a.svg"),
    ],
)
async def test_unsupported_bytes_refused(service: Service, content: bytes, name: str) -> None:
    """Bytes of an unsupported kind are a 415, whatever the file's name."""
    expect_problem(await service.client.post_document(content, name), 415, MEDIA_TYPE)
    await wait_until_empty(service)


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
        ("filename=\"=?utf-8?B?bmHDr3ZlLnR4dA==?=\"; filename*=UTF-8''na%C3%AFve2.txt", "naïve2.txt"),
        ('filename="=?utf-8?Q?..=2Fna=C3=AFve=0A=2Etxt?="', "naïve .txt"),
        ('x="y"', "document"),
    ],
)
async def test_file_name_only_shown(client: ParleyClient, filename: str, shown: str) -> None:
    """A document is stored under an id, and shown with the last part of its file name."""
    file = part(f'Content-Disposition: form-data; name="file"; {filename}', b"Some text.")
    response = await post_form(client, form(file, user_part()))
    assert response.status_code == 202, response.text
    assert response.json()["name"] == shown
    await client.wait_until_read(response.json())


async def test_declared_charset_is_read(client: ParleyClient) -> None:
    """The charset of the file's own Content-Type says how its bytes are read."""
    head = 'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain; charset="{}"'
    for charset, text in (("koi8-r", "ДНИ"), ("no such one", "äîé")):
        file = part(head.format(charset), b"\xe4\xee\xe9")
        document = await client.wait_until_read((await post_form(client, form(file, user_part(charset)))).json())
        found = await client.get(f"{document_path(document)}/text?user_id={charset}")
        assert found.text == text


async def test_latin_1_file_name(client: ParleyClient) -> None:
    """A file name that is not UTF-8 is read as Latin-1."""
    file = part(b'Content-Disposition: form-data; name="file"; filename="na\xefve.txt"', b"Some text.")
    response = await post_form(client, form(file, user_part()))
    assert (response.status_code, response.json()["name"]) == (202, "naïve.txt")
    await client.wait_until_read(response.json())


async def test_query_user_must_match_form(client: ParleyClient) -> None:
    """A `user_id` in the query must be the form's."""
    body = form(user_part("ada"), file_part())
    refused = await client.post("/documents?user_id=bob", content=body, headers=FORM)
    expect_problem(refused, 422, "validation-error")
    taken = await client.post("/documents/?user_id=ada", content=body, headers=FORM)
    assert taken.status_code == 202
    await client.wait_until_read(taken.json())


async def test_number_is_a_user_id(client: ParleyClient) -> None:
    """`1` in a form and 1 in JSON are the same user."""
    document = await client.upload(b"Some text.", user_id="1")
    response = await client.post("/conversations", json={"user_id": 1, "document_ids": [document["document_id"]]})
    assert response.status_code == 201
    await client.wait_until_read(document)


SMALL = 600_000
"""The size limit of documents in the tests of the limit."""


async def test_document_size_limit(database_url: str) -> None:
    """A document over the limit is a 413, by its header or while it arrives; the last byte that fits is accepted."""
    async with serving(settings(database_url=database_url, max_document_bytes=SMALL)) as service:
        fits = (KILOBYTE * 600)[:SMALL]
        for body in (form(user_part(), file_part(fits + b"x" * 70_000)), form(file_part(fits + b"x"), user_part())):
            expect_problem(await post_form(service.client, body), 413, "payload-too-large")
            expect_problem(await post_form(service.client, pieces(body)), 413, "payload-too-large")
        await wait_until_empty(service)
        document = await service.client.upload(fits)
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
async def test_endless_upload_refused(database_url: str, begin: bytes, more: bytes, status: bytes) -> None:
    """An endless body is refused once it is too long, and leaves nothing."""
    head = f"POST /documents HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['Content-Type']}\r\n"
    async with serving(settings(database_url=database_url, max_document_bytes=SMALL)) as service:
        async with connection(service.url) as (reader, writer):
            writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk(begin))
            answer = asyncio.create_task(reader.readline())
            while not answer.done():
                writer.write(chunk(more))
                await writer.drain()
            assert (await answer).split()[1] == status
        await wait_until_empty(service)


def chunk(data: bytes) -> bytes:
    """Encode a chunk of a body of unknown length."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def test_abandoned_upload_leaves_nothing(service: Service) -> None:
    """The part of a document that arrived before its client left is removed."""
    begun = asyncio.Event()

    async def until_left() -> Any:
        yield form(user_part(), file_part(KILOBYTE * 1024))[: 512 * 1024]
        begun.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(post_form(service.client, until_left()))
    await begun.wait()
    async with asyncio.timeout(10):
        while (await counts(service.database))["document_contents"] == 0:
            pass
    assert (await service.client.get("/documents?user_id=ada")).json() == []
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await wait_until_empty(service)
