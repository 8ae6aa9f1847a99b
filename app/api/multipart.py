"""A form with one file, read as it arrives (RFC 7578): the file is handed on in parts, and nothing else is large."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import Message
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from app.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

PART_BYTES = 256 * 1024
MAX_REST = 64 * 1024
"""Bytes beside the file's own: boundaries, headers, the other field, and what stands before them."""
MAX_FIELD_BYTES = 1024
MAX_HEADERS = 16
MAX_HEADER_BYTES = 16 * 1024
FILE, USER_ID = "file", "user_id"
WANTED = "The body has to be a form, sent with Content-Type: multipart/form-data."


class Form(NamedTuple):
    """What came with a file."""

    user_id: str
    file_name: str
    """As the client wrote it."""


class FormParts:
    """What a parser has met so far: the fields whole, the file as far as it has not been handed on."""

    def __init__(self, boundary: bytes, max_file_bytes: int) -> None:
        self.fields: dict[str, bytearray] = {}
        self.file_name = ""
        self.file_bytes = 0
        self.ended = False
        self._max_file_bytes = max_file_bytes
        self._headers: list[tuple[bytearray, bytearray]] = []
        self._name = ""
        self._read = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_begin": lambda: self._headers.append((bytearray(), bytearray())),
                "on_header_field": lambda data, start, end: self._headers[-1][0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._headers[-1][1].extend(data[start:end]),
                "on_headers_finished": self._begin_field,
                "on_part_data": self._take,
                "on_end": self._end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """Goes on with the next bytes of the body.

        Raises:
            InvalidRequest: they are no form, or one with other fields.
            PayloadTooLarge: the file is too large.
        """
        self._read += len(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest("The body is not a well-formed form.", pointer="#") from error
        if self._read - self.file_bytes > MAX_REST and not self.ended:
            raise InvalidRequest("The form has too much beside its file.", pointer="#")

    def take(self, at_least: int) -> bytes:
        """A part of the file that is to be handed on; empty while there is less than that."""
        file = self.fields.get(FILE, bytearray())
        if len(file) < at_least:
            return b""
        part = bytes(file[:PART_BYTES])
        del file[:PART_BYTES]
        return part

    def _begin_field(self) -> None:
        disposition = disposition_of(self._headers)
        name = disposition.get_param("name", header="content-disposition")
        if name not in {FILE, USER_ID}:
            raise InvalidRequest("The form has the fields file and user_id, and no others.", pointer="#")
        self._name = str(name)
        if self._name in self.fields:
            raise InvalidRequest("The field is there twice.", pointer=f"#/{self._name}")
        self.fields[self._name] = bytearray()
        if self._name == FILE:
            self.file_name = disposition.get_filename("").replace("%22", '"')  # as browsers write it (WHATWG HTML)

    def _take(self, data: bytes, start: int, end: int) -> None:
        field = self.fields[self._name]
        field += memoryview(data)[start:end]
        if self._name == FILE:
            self.file_bytes += end - start
            refuse_too_large(self.file_bytes, self._max_file_bytes)
        elif len(field) > MAX_FIELD_BYTES:
            raise InvalidRequest("The field is too long.", pointer=f"#/{self._name}")

    def _end(self) -> None:
        self.ended = True


async def read_form(request: Request, max_file_bytes: int, write: Callable[[bytes], Awaitable[None]]) -> Form:
    """Reads a form and hands its file on to `write`, in parts of 256 KB.

    Raises:
        UnsupportedMediaType: the body is something else than a form.
        InvalidRequest: it is malformed, was cut, lacks a field or has others; or the file is empty.
        PayloadTooLarge: the file is too large.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit():
        refuse_too_large(int(length) - MAX_REST, max_file_bytes)
    parts = FormParts(boundary_of(request.headers.get("content-type", "")), max_file_bytes)
    async for data in body_of(request):
        parts.feed(data)
        while part := parts.take(PART_BYTES):
            await write(part)
        if parts.ended:
            break
    form = form_of(parts)
    if part := parts.take(1):
        await write(part)
    return form


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; a client who leaves amid it is told, for the log's sake, that it was cut."""
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect as error:
        raise InvalidRequest("The body was cut.", pointer="#") from error


def form_of(parts: FormParts) -> Form:
    """The form, when it was read to its end."""
    if not parts.ended:
        raise InvalidRequest("The body is not a well-formed form: it was cut.", pointer="#")
    for name in (FILE, USER_ID):
        if name not in parts.fields:
            raise InvalidRequest("The field is missing.", pointer=f"#/{name}")
    if not parts.file_bytes:
        raise InvalidRequest("The file is empty.", pointer="#/file")
    try:
        return Form(parts.fields[USER_ID].decode(), parts.file_name)
    except UnicodeDecodeError as error:
        raise InvalidRequest("Text has to be UTF-8.", pointer="#/user_id") from error


def refuse_too_large(size: int, allowed: int) -> None:
    """Raises PayloadTooLarge for a file of more bytes than are allowed."""
    if size > allowed:
        raise PayloadTooLarge(f"A document has at most {allowed:,} bytes.")


def boundary_of(content_type: str) -> bytes:
    """What separates the parts of a form (RFC 2046, section 5.1.1)."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        raise UnsupportedMediaType(WANTED)
    boundary = (message.get_boundary() or "").encode("latin-1", "ignore")
    if not 0 < len(boundary) <= 70:
        raise InvalidRequest("The form's Content-Type has no boundary.", pointer="header/content-type")
    return boundary


def disposition_of(headers: list[tuple[bytearray, bytearray]]) -> Message:
    """A part's Content-Disposition, for its parameters: quoted, as RFC 2231 has them, or in raw UTF-8."""
    message = Message()
    for name, value in headers:
        if name.lower() == b"content-disposition" and "content-disposition" not in message:
            message["Content-Disposition"] = text_of(value)
    return message


def text_of(raw: bytearray) -> str:
    """A header's text, which is UTF-8 wherever it can be."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
