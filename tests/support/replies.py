"""Answers of the fake provider, byte by byte, as OpenAI and Groq write them.

An answer is a sequence of parts: bytes to send, an event to wait for, a pause in seconds, or a cut. A `Reply` is
scripted in steps, a `Response` is any other answer of HTTP, such as the errors at the end of this file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, Protocol


class Dialect(Enum):
    """The provider that is simulated; the value is the path of its chat completions."""

    OPENAI = "/v1/chat/completions"
    GROQ = "/openai/v1/chat/completions"


class Cut(Enum):
    """Ends the connection in the middle of the answer, with a FIN or a RST of TCP."""

    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning; each provider has its own field for it."""

    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A completion chunk with these members over the usual ones, such as `{"choices": []}`."""

    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Data:
    """The payload of an event: a string, which may be invalid JSON, or a value to dump as JSON."""

    payload: Any


Part = bytes | asyncio.Event | float | Cut
Step = str | Thought | Chunk | Data | bytes | asyncio.Event | Cut
"""A delta of text or reasoning, a chunk, an event or raw bytes; or a gate to wait for, or a cut."""

NO_CHOICES = Chunk({"choices": []})


class Answer(Protocol):
    """An answer to a request."""

    def parts(self, dialect: Dialect, request: Mapping[str, Any]) -> Iterator[Part]:
        """Generate the whole HTTP response."""
        ...


def undivided(data: bytes) -> Iterable[bytes]:
    """Return an event in one piece."""
    return (data,)


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """Return every byte alone, which splits all characters but ASCII."""
    return (data[i : i + 1] for i in range(len(data)))


@dataclass(frozen=True)
class Reply:
    """A model's reply, streamed if the request wants a stream.

    Steps are done in order. Without `finish` the answer ends well-formed after the last step, but without a
    finish reason, usage and `[DONE]`. In a reply that is not streamed the gates and cuts of all steps lie in
    the middle of the JSON, and only text and thoughts count among the others.
    """

    steps: Sequence[Step]
    finish: str | None = "stop"
    usage: tuple[int, int] | None = (11, 7)
    """Tokens in and out; OpenAI streams them only with `stream_options.include_usage`."""
    before_headers: asyncio.Event | Cut | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    newline: str = "\n"
    slices: Callable[[bytes], Iterable[bytes]] = undivided
    """Cuts the bytes of a step; each slice is one HTTP chunk."""

    def parts(self, dialect: Dialect, request: Mapping[str, Any]) -> Iterator[Part]:
        """Generate the whole HTTP response."""
        if self.before_headers is not None:
            yield self.before_headers
        wire = _Wire(dialect, request)
        yield from self._streamed(wire) if request.get("stream") else self._whole(wire)

    def _streamed(self, wire: _Wire) -> Iterator[Part]:
        framing = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        yield _head(200, {**framing, **self.headers})
        for part in self._events(wire):
            if isinstance(part, bytes):
                yield from self._chunked(part)
            else:
                yield part
        # In one piece with the end of the body, since a client may leave as soon as it has read this.
        done = b"" if self.finish is None else self._event("[DONE]")
        yield b"".join(self._chunked(done)) + b"0\r\n\r\n"

    def _chunked(self, data: bytes) -> Iterator[bytes]:
        return (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.slices(data) if piece)

    def _events(self, wire: _Wire) -> Iterator[Part]:
        """Generate the events; the role comes with the first token, so that an earlier gate holds it too."""
        opened = False
        for step in self.steps:
            if not opened and isinstance(step, str | Thought):
                opened = True
                yield self._event(wire.chunk(wire.role()))
            yield self._rendered(step, wire)
        if self.finish is not None:
            for chunk in wire.ending(self.finish, self.usage):
                yield self._event(wire.chunk(chunk))

    def _rendered(self, step: Step, wire: _Wire) -> Part:
        match step:
            case str() | Thought():
                return self._event(wire.chunk(wire.delta(step)))
            case Chunk():
                return self._event(wire.chunk(step))
            case Data(payload):
                return self._event(payload)
            case _:
                return step

    def _event(self, payload: Any) -> bytes:
        data = payload.encode() if isinstance(payload, str) else _json(payload)
        return b"data: " + data + 2 * self.newline.encode()

    def _whole(self, wire: _Wire) -> Iterator[Part]:
        text = "".join(step for step in self.steps if isinstance(step, str))
        thought = "".join(step.text for step in self.steps if isinstance(step, Thought))
        body = _json(wire.completion(text, thought, self.finish, self.usage))
        length = {"content-type": "application/json", "content-length": str(len(body))}
        yield _head(200, {**length, **self.headers}) + body[: len(body) // 2]
        yield from (step for step in self.steps if isinstance(step, asyncio.Event | Cut))
        yield body[len(body) // 2 :]


@dataclass(frozen=True)
class Response:
    """An answer that is no reply; a body that is not bytes has one JSON value per dialect."""

    status: int
    body: bytes | Mapping[Dialect, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    before_headers: asyncio.Event | Cut | None = None

    def parts(self, dialect: Dialect, request: Mapping[str, Any]) -> Iterator[Part]:
        """Generate the whole HTTP response."""
        if self.before_headers is not None:
            yield self.before_headers
        body = self.body if isinstance(self.body, bytes) else _json(self.body[dialect])
        length = {"content-type": "application/json", "content-length": str(len(body))}
        yield _head(self.status, {**length, **self.headers}) + body


@dataclass(frozen=True)
class Raw:
    """An answer as bytes, with its head, after which the connection is closed."""

    sent: Sequence[str | bytes | float]
    """A string is latin-1, a number a pause in seconds."""

    def parts(self, dialect: Dialect, request: Mapping[str, Any]) -> Iterator[Part]:
        """Generate the whole HTTP response."""
        yield from (part.encode("latin-1") if isinstance(part, str) else part for part in self.sent)
        yield Cut.FIN


@dataclass(frozen=True, slots=True)
class _Wire:
    """The JSON of one dialect for one request."""

    dialect: Dialect
    request: Mapping[str, Any]

    @property
    def groq(self) -> bool:
        return self.dialect is Dialect.GROQ

    @property
    def reports_usage(self) -> bool:
        return bool((self.request.get("stream_options") or {}).get("include_usage"))

    def chunk(self, chunk: Chunk) -> dict[str, Any]:
        usage = {"usage": None} if self.reports_usage and not self.groq else {}
        return self._envelope("chat.completion.chunk") | usage | dict(chunk.members)

    def role(self) -> Chunk:
        first = {"x_groq": {"id": "req_fake"}} if self.groq else {}
        return Chunk({**self._choice({"role": "assistant", "content": ""}), **first})

    def delta(self, step: str | Thought) -> Chunk:
        return Chunk(self._choice({"content": step} if isinstance(step, str) else self._thought(step.text)))

    def ending(self, finish: str, usage: tuple[int, int] | None) -> Iterator[Chunk]:
        last = self._choice({}, finish)
        if self.groq:
            usage_member = {"usage": _usage(*usage)} if usage else {}
            yield Chunk({**last, "x_groq": {"id": "req_fake", **usage_member}})
            return
        yield Chunk(last)
        if usage and self.reports_usage:
            yield Chunk({"choices": [], "usage": _usage(*usage)})

    def completion(self, text: str, thought: str, finish: str | None, usage: tuple[int, int] | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": text} | (self._thought(thought) if thought else {})
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        counted = {"usage": _usage(*usage)} if usage else {}
        return self._envelope("chat.completion") | {"choices": [choice]} | counted

    def _envelope(self, kind: str) -> dict[str, Any]:
        model = self.request.get("model")
        return {"id": "chatcmpl-fake", "object": kind, "created": 1_760_000_000, "model": model}

    def _thought(self, text: str) -> dict[str, str]:
        return {"reasoning" if self.groq else "reasoning_content": text}

    def _choice(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def stream_error(message: str, code: str | None = None, kind: str = "server_error") -> Data:
    """Build an error within a stream."""
    return Data({"error": {"message": message, "type": kind, "param": None, "code": code}})


def unauthorized() -> Response:
    """Build the answer to a wrong key (401)."""
    return _error(
        401,
        "invalid_request_error",
        "invalid_api_key",
        openai="Incorrect API key provided: sk-fake.",
        groq="Invalid API Key",
    )


def rate_limited(retry_after: int | None = 7) -> Response:
    """Build a rate limit (429) with the seconds to wait."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    reached = "Rate limit reached for the model in organization org-fake on tokens per min (TPM)."
    return _error(429, "tokens", "rate_limit_exceeded", openai=reached, groq=reached, headers=headers)


def context_too_long() -> Response:
    """Build the refusal of a prompt beyond the context window (400)."""
    return _error(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        openai="This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.",
        groq="Please reduce the length of the messages or completion.",
        param="messages",
    )


def too_large_a_minute(limit: int = 6_000) -> Response:
    """Build Groq's refusal of a prompt beyond the limit per minute (413)."""
    words = f"Request too large for model `m` on tokens per minute (TPM): Limit {limit}, Requested {2 * limit}."
    return _error(413, "tokens", "rate_limit_exceeded", openai=words, groq=words)


def server_error(status: int = 500) -> Response:
    """Build a server error (5xx)."""
    sorry = "The server had an error while processing your request. Sorry about that!"
    body = {"message": sorry, "type": "server_error", "param": None, "code": None}
    groq = {"message": "Internal Server Error", "type": "internal_server_error"}
    return Response(status, {Dialect.OPENAI: {"error": body}, Dialect.GROQ: {"error": groq}})


def redirect(location: str) -> Response:
    """Build a redirect (302)."""
    return Response(302, headers={"location": location})


def _error(
    status: int,
    kind: str,
    code: str,
    *,
    openai: str,
    groq: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build an error; OpenAI always writes `param`, Groq only when there is one."""
    error = {"type": kind, "code": code}
    named = {"param": param} if param else {}
    bodies = {
        Dialect.OPENAI: {"error": {"message": openai, **error, "param": param}},
        Dialect.GROQ: {"error": {"message": groq, **error, **named}},
    }
    return Response(status, bodies, headers or {})


def _usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    total = tokens_in + tokens_out
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": total}


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    phrases = {each.value: each.phrase for each in HTTPStatus}  # 529, which some send, is none of them
    lines = [f"HTTP/1.1 {status} {phrases.get(status, 'Busy')}", "x-request-id: req_fake"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _json(value: Any) -> bytes:
    # A half of a surrogate pair has no UTF-8; Python's way to write it is JSON's escape as well.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
