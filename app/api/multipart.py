"""Streaming parser of a form with one file (RFC 7578): the file is passed on in chunks, all else is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import Message
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from app.api.part_headers import declared_charset, file_name, header_parameters
from app.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

CHUNK_BYTES = 256 * 1024
MAX_OVERHEAD_BYTES = 64 * 1024
"""Bytes other than the file's: boundaries, headers, the other field, and any preamble."""
MAX_FIELD_BYTES = 1024
MAX_HEADERS = 16
MAX_HEADER_BYTES = 16 * 1024
FILE, USER_ID = "file", "user_id"
NOT_A_FORM = "Send the body as a form, with Content-Type: multipart/form-data."


class Form(NamedTuple):
    """Fields of an upload other than the file's bytes."""

    user_id: str
    file_name: str
    """As sent by the client, unvalidated."""
    charset: str | None
    """Charset of the file's own Content-Type; None without a valid one."""


class FormParser:
    """Incremental parser; holds the fields, and the bytes of the file that `take_chunk` has not returned yet."""

    def __init__(self, boundary: bytes, max_file_bytes: int) -> None:
        self.fields: dict[str, bytearray] = {}
        self.file_name = ""
        self.charset: str | None = None
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
                "on_part_data": self._append,
                "on_end": self._end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """Parse the next bytes of the body.

        Raises:
            InvalidRequest: they are not a form, or one with other fields.
            PayloadTooLarge: the file is too large.
        """
        self._read += len(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest(
                "The body is not a well-formed form of type multipart/form-data.", pointer="#"
            ) from error
        if self._read - self.file_bytes > MAX_OVERHEAD_BYTES and not self.ended:
            raise InvalidRequest(
                f"The form has more than {MAX_OVERHEAD_BYTES:,} bytes besides its file; remove them.", pointer="#"
            )

    def take_chunk(self, at_least: int) -> bytes:
        """Remove and return a chunk of the file; empty while fewer than `at_least` bytes have arrived."""
        file = self.fields.get(FILE, bytearray())
        if len(file) < at_least:
            return b""
        chunk = bytes(file[:CHUNK_BYTES])
        del file[:CHUNK_BYTES]
        return chunk

    def _begin_field(self) -> None:
        disposition = parameters_of(self._headers, b"content-disposition")
        self._name = disposition.get("name", "")
        if self._name not in {FILE, USER_ID}:
            raise InvalidRequest("Send the fields `file` and `user_id`, and no others.", pointer="#")
        if self._name in self.fields:
            raise InvalidRequest("The field is repeated; send it once.", pointer=f"#/{self._name}")
        self.fields[self._name] = bytearray()
        if self._name == FILE:
            self.file_name = file_name(disposition)
            self.charset = declared_charset(parameters_of(self._headers, b"content-type"))

    def _append(self, data: bytes, start: int, end: int) -> None:
        field = self.fields[self._name]
        field += memoryview(data)[start:end]
        if self._name == FILE:
            self.file_bytes += end - start
            check_file_size(self.file_bytes, self._max_file_bytes)
        elif len(field) > MAX_FIELD_BYTES:
            raise InvalidRequest(
                f"The field is longer than {MAX_FIELD_BYTES:,} bytes; send a shorter value.", pointer=f"#/{self._name}"
            )

    def _end(self) -> None:
        self.ended = True


async def read_form(request: Request, max_file_bytes: int, write: Callable[[bytes], Awaitable[None]]) -> Form:
    """Read a form; pass its file to `write` in chunks of 256 KB.

    Raises:
        UnsupportedMediaType: the body is not a form.
        InvalidRequest: it is malformed, incomplete, lacks a field or has others; or the file is empty.
        PayloadTooLarge: the file is too large.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit():
        check_file_size(int(length) - MAX_OVERHEAD_BYTES, max_file_bytes)
    parser = FormParser(boundary_of(request.headers.get("content-type", "")), max_file_bytes)
    async for data in body_of(request):
        parser.feed(data)
        while chunk := parser.take_chunk(CHUNK_BYTES):
            await write(chunk)
        if parser.ended:
            break
    form = form_of(parser)
    if chunk := parser.take_chunk(1):
        await write(chunk)
    return form


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Generate the body as it arrives. A client that disconnects is answered too: the access log records the error."""
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect as error:
        raise InvalidRequest(
            "The connection ended before the whole body arrived; send the request again.", pointer="#"
        ) from error


def form_of(parser: FormParser) -> Form:
    """Return the fields of a form that was read to its end.

    Raises:
        InvalidRequest: it is incomplete, lacks a field, or the file is empty.
    """
    if not parser.ended:
        raise InvalidRequest("The form is incomplete: its last boundary is missing.", pointer="#")
    for name in (FILE, USER_ID):
        if name not in parser.fields:
            raise InvalidRequest("The field is required.", pointer=f"#/{name}")
    if not parser.file_bytes:
        raise InvalidRequest("The file is empty; upload one with content.", pointer="#/file")
    try:
        return Form(parser.fields[USER_ID].decode(), parser.file_name, parser.charset)
    except UnicodeDecodeError as error:
        raise InvalidRequest("The text is not valid UTF-8; encode it as UTF-8.", pointer="#/user_id") from error


def check_file_size(size: int, allowed: int) -> None:
    """Raise PayloadTooLarge for a file of more bytes than allowed."""
    if size > allowed:
        raise PayloadTooLarge(f"A document has at most {allowed:,} bytes; upload a smaller one, or divide it.")


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a form's parts (RFC 2046, section 5.1.1).

    Raises:
        UnsupportedMediaType: the body is not a form.
        InvalidRequest: the boundary is missing or too long.
    """
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        raise UnsupportedMediaType(NOT_A_FORM)
    boundary = (message.get_boundary() or "").encode("latin-1", "ignore")
    if not 0 < len(boundary) <= 70:
        raise InvalidRequest(
            "The form's Content-Type needs a boundary of 1 to 70 characters.", pointer="header/content-type"
        )
    return boundary


def parameters_of(headers: list[tuple[bytearray, bytearray]], header: bytes) -> dict[str, str]:
    """Return the parameters of a part's header; empty without that header."""
    values = (value for name, value in headers if name.lower() == header)
    return header_parameters(next(values, bytearray()))
